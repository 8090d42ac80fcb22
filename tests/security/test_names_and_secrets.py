"""No text of a peer becomes the name of an attribute, and no secret becomes part of a `repr`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partialmethod

import pytest
from asgi_driver import ManualClock, drive
from counting_peer import client_of

from holdfast import Handshake, Server
from holdfast.compat import socketio
from holdfast.engine.live import SocketHandshake
from holdfast.engine.wire.handshake import Attach, OpenPacket
from holdfast.transports.endpoint import Endpoint
from holdfast.transports.request import parse_request

SECRETS = ("c00kie", "t0ken", "qu3ry", "k3y", "s3ssion")
POLLING = "/socket.io/?EIO=4&transport=polling"


class Shop(socketio.AsyncNamespace):
    """As applications write them."""

    on_limit = 5
    on_kind = dict

    @property
    def on_sale(self) -> object:
        raise AssertionError("a peer ran a property")

    def __getattr__(self, name: str) -> object:
        if name.startswith("on_"):
            raise AssertionError(f"a peer's text became the attribute {name!r}")
        raise AttributeError(name)

    async def on_buy(self, *args: object) -> object:
        return ("bought", *args)

    @staticmethod
    def on_look(*args: object) -> object:
        return ("looked", *args)

    @classmethod
    async def on_ask(cls, *args: object) -> object:
        return (cls.__name__, *args)

    on_take = partialmethod(on_buy, "one")


class LaterShop(Shop):
    """Inherits its handlers."""


@pytest.mark.parametrize("event", ["limit", "kind", "sale", "_secret", "", "x\n", "\ud800", "__class__"])
async def test_d14_event_name_is_no_attribute(event: str) -> None:
    assert await LaterShop("/shop").trigger_event(event, "sid") is None


async def test_every_kind_of_method_still_handles_its_event() -> None:
    shop = LaterShop("/shop")
    vars(shop)["on_late"] = lambda *args: ("late", *args)
    answers = [await shop.trigger_event(event, "sid", 1) for event in ("buy", "look", "ask", "take", "late")]
    assert answers == [
        ("bought", "sid", 1),
        ("looked", "sid", 1),
        ("LaterShop", "sid", 1),
        ("bought", "one", "sid", 1),
        ("late", "sid", 1),
    ]


async def test_d14_forwarded_scheme_of_a_stranger_is_not_believed() -> None:
    sio = socketio.AsyncServer()
    seen: list[object] = []
    sio.on("connect", lambda sid, environ: seen.append(environ["wsgi.url_scheme"]))
    async with drive(socketio.ASGIApp(sio)) as client:
        for scheme in ("https", "\x1b[31m"):
            socket = client.websocket(
                "/socket.io/?EIO=4&transport=websocket", headers={"x-forwarded-proto": scheme}
            )
            await socket.accept()
            await socket.receive()
            socket.send("40")
            await socket.receive()
    assert seen == ["http", "http"]


def shown() -> Iterator[object]:
    headers = {"cookie": "c00kie", "authorization": "Bearer t0ken"}
    query = {"token": "qu3ry"}
    yield Handshake(headers=headers, query=query, url="/?token=qu3ry", scope={"cookie": "c00kie"})
    yield SocketHandshake(
        headers=headers,
        query=query,
        auth={"token": "t0ken"},
        address=None,
        secure=True,
        url="/?token=qu3ry",
        time=Handshake().time,
    )
    yield Attach(key="k3y", received=0)
    yield OpenPacket(
        sid="s3ssion", upgrades=(), ping_interval_ms=1, ping_timeout_ms=1, max_payload_bytes=1, key="k3y"
    )
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"EIO=4&transport=polling&sid=s3ssion&token=qu3ry",
        "headers": [(b"cookie", b"c00kie"), (b"authorization", b"t0ken")],
    }
    yield parse_request(scope, Server().table.settings)


@pytest.mark.parametrize("value", list(shown()), ids=lambda value: type(value).__name__)
def test_no_secret_is_in_a_repr(value: object) -> None:
    text = f"{value!r}{value}"
    assert type(value).__name__ in text
    assert [secret for secret in SECRETS if secret in text] == []


async def test_answer_about_a_session_or_a_refusal_is_never_stored_nor_sniffed() -> None:
    server: Endpoint = Server(clock=ManualClock())
    stranger = {"origin": "https://evil.example"}
    async with client_of(server) as client:
        for exchange in (
            client.get(POLLING),
            client.get(f"{POLLING}&sid=unknown"),
            client.post(f"{POLLING}&sid=unknown", "4"),
            client.request("PUT", POLLING),
            client.request("OPTIONS", POLLING),
            client.get(POLLING, headers=stranger),
            client.get("/socket.io/nothing.js"),
            client.request("POST", "/socket.io/holdfast.min.js"),
            client.get("/elsewhere"),
        ):
            await exchange.start()
            check(exchange.headers)
        for url in (POLLING.replace("polling", "websocket&sid=unknown"), POLLING):
            start = await client.websocket(url).next()
            check({name.decode(): value.decode() for name, value in start["headers"]})


async def test_not_found_of_python_socketios_application_is_neither() -> None:
    async with drive(socketio.ASGIApp(socketio.AsyncServer())) as client:
        exchange = client.get("/elsewhere")
        assert await exchange.start() == 404
        check(exchange.headers)


def check(headers: dict[str, str]) -> None:
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
