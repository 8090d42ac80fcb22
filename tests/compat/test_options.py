"""python-socketio's options: what they become, and what is said of those that cannot be honoured."""

from __future__ import annotations

import json
import logging
import re
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from asgi_driver import drive, settled
from memory_client import join

from holdfast import Cookie, LocalProtocolError, MemoryHub, Settings
from holdfast.compat import socketio


def settings(**options: Any) -> Settings:
    return socketio.AsyncServer(**options).native.settings


def changed(**options: Any) -> dict[str, object]:
    """The settings that are not what they are without options."""
    plain, found = Settings(), settings(**options)
    return {
        name: getattr(found, name)
        for name in Settings.__slots__
        if getattr(found, name) != getattr(plain, name)
    }


def readable(value: object) -> str:
    """An id that is the same in every run."""
    return re.sub(r" at 0x\w+", "", repr(value))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"async_mode": "asgi", "client_manager": None, "json": json, "serializer": "default"}, {}),
        ({"always_connect": True, "monitor_clients": True, "http_compression": False}, {}),
        ({"serializer": "msgpack", "cookie": None, "transports": None}, {}),
        ({"ping_interval": 10, "ping_timeout": 5}, {"ping_interval": 10, "ping_timeout": 5}),
        ({"ping_interval": (10, 3)}, {"ping_interval": 10, "ping_timeout": 23.0}),
        ({"ping_interval": (10, 3), "ping_timeout": 5}, {"ping_interval": 10, "ping_timeout": 8}),
        ({"max_http_buffer_size": 1e8}, {"max_payload": 100_000_000}),
        ({"allow_upgrades": False}, {"allow_upgrades": False}),
        ({"transports": "websocket"}, {"transports": ("websocket",)}),
        ({"transports": ["polling"]}, {"transports": ("stream", "polling")}),
        ({"cookie": "io"}, {"cookie": Cookie(name="io")}),
        (
            {
                "cookie": {
                    "name": "n",
                    "path": "/p",
                    "SameSite": "Strict",
                    "Secure": True,
                    "Max-Age": lambda: "5",
                }
            },
            {
                "cookie": Cookie(
                    name="n", path="/p", same_site="strict", secure=True, max_age=5, http_only=False
                )
            },
        ),
        ({"cors_allowed_origins": None, "cors_credentials": False}, {}),
        ({"cors_allowed_origins": "*"}, {"origins": "*"}),
        ({"cors_allowed_origins": ["https://a.example", "*"]}, {"origins": "*"}),
        ({"cors_allowed_origins": []}, {"origins": "*", "cors": "app"}),
        (
            {"cors_allowed_origins": "https://a.example"},
            {"origins": ("https://a.example",), "credentials": True},
        ),
        (
            {"cors_allowed_origins": ["https://a.example", "https://b.example"], "cors_credentials": False},
            {"origins": ("https://a.example", "https://b.example")},
        ),
        (
            {"grace_period": 10, "connection_state_recovery": True},
            {"grace_period": 10, "connection_state_recovery": True},
        ),
    ],
    ids=readable,
)
def test_an_option_becomes_a_setting(options: dict[str, Any], expected: dict[str, object]) -> None:
    assert changed(**options) == expected


@pytest.mark.parametrize(
    ("options", "kind", "remedy"),
    [
        ({"async_mode": "aiohttp"}, TypeError, "ASGI"),
        ({"client_manager": object()}, TypeError, "MemoryHub"),
        ({"serializer": object}, TypeError, "Codec"),
        ({"cookie": {"name": "io", "Priority": "High"}}, TypeError, "Priority"),
        ({"cors_allowed_origins": "*", "cors_credentials": True}, ValueError, "credentials"),
        ({"transports": ["webtransport"]}, ValueError, "transports"),
        ({"ping_intervall": 5}, TypeError, "ping_interval"),
        ({"pingInterval": 5}, TypeError, "ping_interval"),
    ],
    ids=readable,
)
def test_what_cannot_be_honoured_says_what_to_do(
    options: dict[str, Any], kind: type[Exception], remedy: str
) -> None:
    with pytest.raises(kind, match=remedy):
        socketio.AsyncServer(**options)


@pytest.mark.parametrize(
    "options",
    [{"http_compression": True}, {"compression_threshold": 1}, {"monitor_clients": False}],
    ids=readable,
)
def test_what_has_no_effect_is_logged(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        socketio.AsyncServer(**options)
    [record] = caplog.records
    assert "has no effect" in record.getMessage()


async def test_servers_of_one_process_share_rooms() -> None:
    hub = MemoryHub()
    one, two = socketio.AsyncServer(adapter=hub), socketio.AsyncServer(adapter=hub)
    async with drive(socketio.ASGIApp(one)) as client:
        peer = await join(client)
        await two.emit("from the other", to=peer.sid)
        await one.emit("from the other", to=peer.sid, ignore_queue=True)
        assert await peer.event() == ["from the other"]
        assert await peer.event() == ["from the other"]
        await two.emit("lost", ignore_queue=True)
        await two.disconnect(peer.sid)
        assert await peer.packet() == ("1", None)


async def test_a_json_module_knows_more_types() -> None:
    module = SimpleNamespace(dumps=lambda value, **_: json.dumps(value, default=str), loads=json.loads)
    sio = socketio.AsyncServer(json=module)
    app = socketio.ASGIApp(sio)

    @sio.event
    def price(sid: str) -> dict[str, object]:
        return {"price": [Decimal("1.50")], "plain": (1, None, "text")}

    async with drive(app) as client:
        peer = await join(client)
        assert await peer.ask("price") == [{"price": ["1.50"], "plain": [1, None, "text"]}]


@pytest.mark.parametrize(
    ("options", "event", "setting"),
    [
        ({}, [[[[[[[]]]]]]], None),
        ({}, json.loads("[" * 64 + "]" * 64), "max_depth"),
        ({}, [[]] * 50_001, "max_containers"),
        ({"max_depth": 5}, [[[[[[[]]]]]]], "max_depth"),
        ({"max_containers": 20}, [[]] * 21, "max_containers"),
        ({"settings": Settings(max_depth=5)}, [[[[[[[]]]]]]], "max_depth"),
    ],
)
async def test_a_json_module_takes_no_more_of_a_client_than_the_server_does(
    options: dict[str, Any], event: object, setting: str | None
) -> None:
    sio = socketio.AsyncServer(json=SimpleNamespace(dumps=json.dumps), **options)
    async with drive(socketio.ASGIApp(sio)) as client:
        peer = client.websocket("/socket.io/?EIO=4&transport=websocket")
        await peer.accept()
        await peer.receive()
        peer.send("40")
        await peer.receive()
        peer.send(f"42{json.dumps(['e', event])}")
        await settled()
        if setting is None:
            assert peer.quiet()
            return
        while (message := await peer.next())["type"] != "websocket.close":
            pass
        assert message["code"] == 1009
        assert setting in message["reason"]


async def test_what_the_json_module_does_not_know_either_is_an_error() -> None:
    sio = socketio.AsyncServer(json=SimpleNamespace(dumps=json.dumps))
    async with drive(socketio.ASGIApp(sio)) as client:
        await join(client)
        with pytest.raises(LocalProtocolError, match="Decimal"):
            await sio.emit("event", Decimal(1))


async def status(sio: socketio.AsyncServer, origin: str) -> int:
    async with drive(socketio.ASGIApp(sio)) as client:
        return await client.get("/socket.io/?EIO=4&transport=polling", headers={"origin": origin}).start()


async def test_a_function_decides_on_origins() -> None:
    sio = socketio.AsyncServer(cors_allowed_origins=lambda origin: origin.endswith(".example"))
    assert await status(sio, "https://a.example") == 200
    assert await status(sio, "https://a.elsewhere") == 403


async def test_a_function_may_look_at_the_request() -> None:
    def allowed(origin: str, environ: dict[str, Any]) -> bool:
        return environ["HTTP_HOST"] == "testserver" and origin in environ["HTTP_ORIGIN"]

    assert await status(socketio.AsyncServer(cors_allowed_origins=allowed), "https://a.example") == 200


async def test_only_the_same_host_is_let_in_by_default() -> None:
    assert await status(socketio.AsyncServer(), "http://testserver") == 200
    assert await status(socketio.AsyncServer(), "https://a.example") == 403
