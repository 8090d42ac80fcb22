"""The application's own word on who may open a session."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest
from asgi_driver import Client, ManualClock, settled
from counting_peer import CountingPeer, client_of, open_site

from holdfast import ConnectionRefusedError, Engine, Handshake, Server, Session

URL = "/engine.io/?EIO=4&transport="
NEW = ["polling", "stream&holdfast=1", "websocket", "websocket&holdfast=1"]
SECRET = "the password of the database is"


async def asked(client: Client, transport: str, url: str = URL) -> tuple[int, dict[str, Any]]:
    """What a request for a new session is answered with."""
    if transport.startswith("websocket"):
        socket = client.websocket(url + transport)
        first = await socket.next()
        if first["type"] == "websocket.accept":
            return 200, {}
        return first["status"], json.loads((await socket.next())["body"])
    exchange = client.get(url + transport)
    status = await exchange.start()
    return status, {} if status == 200 else await exchange.json()


@pytest.mark.parametrize("transport", NEW)
@pytest.mark.parametrize("answer", [True, None])
async def test_true_and_none_let_it_in(transport: str, answer: bool | None) -> None:
    async with open_site(allow_request=lambda handshake: answer) as site:
        assert (await asked(site.client, transport))[0] == 200
        assert len(site.engine.table.sessions) == 1


@pytest.mark.parametrize("transport", NEW)
async def test_false_is_forbidden_and_nothing_is_made(transport: str) -> None:
    async with open_site(allow_request=lambda handshake: False) as site:
        assert await asked(site.client, transport) == (403, {"code": 4, "message": "Forbidden"})
        assert not site.engine.table.sessions
        assert not site.application.sessions


@pytest.mark.parametrize("transport", NEW)
async def test_message_of_a_refusal_is_passed_on(transport: str) -> None:
    async def allow_request(handshake: Handshake) -> bool:
        raise ConnectionRefusedError("zurück um zwölf")

    async with open_site(allow_request=allow_request) as site:
        assert await asked(site.client, transport) == (403, {"code": 4, "message": "zurück um zwölf"})
        assert not site.engine.table.sessions


async def broken(handshake: Handshake) -> bool:
    raise KeyError(SECRET)


def answers_otherwise(handshake: Handshake) -> Any:
    return "yes"


@pytest.mark.parametrize("transport", NEW)
@pytest.mark.parametrize(("function", "error"), [(broken, "KeyError"), (answers_otherwise, "TypeError")])
async def test_check_that_fails_lets_nobody_in_and_says_why_in_the_log_alone(
    transport: str, function: Any, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "holdfast.server"):
        async with open_site(allow_request=function) as site:
            assert await asked(site.client, transport) == (403, {"code": 4, "message": "Forbidden"})
            assert not site.engine.table.sessions
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is not None
    assert record.exc_info[0].__name__ == error


async def test_it_sees_the_request() -> None:
    seen: list[Handshake] = []
    async with open_site(allow_request=seen.append) as site:
        url = f"{URL}polling&token=abc"
        await site.client.get(url, headers={"x-user": "me"}).start()
        await settled()
        [handshake] = seen
        assert (handshake.query["token"], handshake.headers["x-user"]) == ("abc", "me")
        assert (handshake.url, handshake.address, handshake.secure) == (url, ("127.0.0.1", 50000), False)
        assert site.session.request == handshake


async def test_it_is_asked_once_for_each_session_and_for_nothing_else() -> None:
    seen: list[str] = []

    async def allow_request(handshake: Handshake) -> None:
        seen.append(handshake.url)

    async with open_site(allow_request=allow_request, origins=[]) as site:
        client = site.client
        sid = json.loads((await client.get(f"{URL}polling").text())[1:])["sid"]
        assert len(seen) == 1
        assert await client.post(f"{URL}polling&sid={sid}", "4hello").text() == "ok"
        await client.websocket(f"{URL}websocket&sid={sid}").accept()
        peer = CountingPeer(client)
        await peer.open("websocket")
        assert len(seen) == 2
        await peer.attach("stream")
        await peer.attach("websocket")
        await peer.post("3")
        for method, url in (
            ("OPTIONS", f"{URL}polling"),
            ("GET", "/engine.io/?EIO=3&transport=polling"),
            ("GET", "/engine.io/?EIO=4"),
            ("POST", f"{URL}polling"),
            ("GET", f"{URL}polling&sid=unknown"),
        ):
            await client.request(method, url).start()
        await client.get(f"{URL}polling", headers={"origin": "https://other.example"}).start()
        assert len(seen) == 2


async def test_full_server_does_not_ask() -> None:
    seen: list[Handshake] = []
    async with open_site(allow_request=seen.append, max_sessions=1) as site:
        assert (await asked(site.client, "polling"))[0] == 200
        assert (await asked(site.client, "polling"))[0] == 503
        assert len(seen) == 1


async def test_server_that_fills_up_while_it_asks_is_full() -> None:
    both = anyio.Event()
    waiting: list[Handshake] = []

    async def allow_request(handshake: Handshake) -> None:
        waiting.append(handshake)
        if len(waiting) == 2:
            both.set()
        await both.wait()

    async with open_site(allow_request=allow_request, max_sessions=1) as site:
        exchanges = [site.client.get(f"{URL}polling") for _ in range(2)]
        assert sorted([await exchange.start() for exchange in exchanges]) == [200, 503]


async def test_plain_function_runs_in_a_worker_thread() -> None:
    threads: list[int] = []

    def allow_request(handshake: Handshake) -> bool:
        threads.append(threading.get_ident())
        return True

    async with open_site(allow_request=allow_request) as site:
        assert (await asked(site.client, "polling"))[0] == 200
        assert threads != [threading.get_ident()]


@pytest.mark.parametrize(("said", "heard"), [("", "Forbidden"), ({"reason": "full"}, "{'reason': 'full'}")])
async def test_message_is_always_a_text(said: Any, heard: str) -> None:
    def allow_request(handshake: Handshake) -> bool:
        raise ConnectionRefusedError(said)

    async with open_site(allow_request=allow_request) as site:
        assert await asked(site.client, "websocket") == (403, {"code": 4, "message": heard})


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancellation_of_what_it_waits_for_is_a_failure_of_its_own(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def allow_request(handshake: Handshake) -> None:
        task = asyncio.ensure_future(asyncio.sleep(3600))
        task.cancel()
        await task

    async with open_site(allow_request=allow_request) as site:
        assert await asked(site.client, "polling") == (403, {"code": 4, "message": "Forbidden"})
    assert "what allow_request waited for was cancelled" in caplog.text


class Gate:
    async def __call__(self, handshake: Handshake) -> bool:
        return False

    async def method(self, handshake: Handshake) -> bool:
        return False


def decorated(handshake: Handshake) -> Awaitable[bool]:
    return Gate().method(handshake)


@pytest.mark.parametrize("function", [Gate(), Gate().method, decorated, lambda handshake: Gate()(handshake)])
async def test_whatever_is_awaited_in_the_end_is_awaited(function: Any) -> None:
    async with open_site(allow_request=function) as site:
        assert (await asked(site.client, "polling"))[0] == 403


async def test_client_that_is_kept_waiting_and_cancelled_leaves_nothing() -> None:
    started = anyio.Event()

    async def allow_request(handshake: Handshake) -> None:
        started.set()
        await anyio.sleep_forever()

    async with open_site(allow_request=allow_request) as site:
        exchange = site.client.get(f"{URL}polling")
        await started.wait()
        assert not exchange.answered()
    assert not site.engine.table.sessions


async def test_page_of_a_listed_origin_may_read_the_refusal() -> None:
    origin = "https://pages.example"
    async with open_site(allow_request=lambda handshake: False, origins=[origin]) as site:
        exchange = site.client.get(f"{URL}polling", headers={"origin": origin})
        assert await exchange.start() == 403
        assert exchange.headers["access-control-allow-origin"] == origin


async def test_server_of_events_takes_it_too() -> None:
    server = Server(allow_request=lambda handshake: handshake.query.get("key") == "1", clock=ManualClock())
    async with client_of(server) as client:
        url = "/socket.io/?EIO=4&key={}&transport="
        assert (await asked(client, "polling", url.format(1)))[0] == 200
        assert (await asked(client, "polling", url.format(2)))[0] == 403


async def function(session: Session) -> None:
    del session


async def generator(handshake: Handshake) -> Any:
    yield True


def plain_generator(handshake: Handshake) -> Any:
    yield True


@pytest.mark.parametrize("wrong", [True, "yes", generator, plain_generator])
def test_what_cannot_answer_is_refused_when_the_server_is_made(wrong: Any) -> None:
    with pytest.raises(TypeError, match="allow_request must"):
        Engine(function, allow_request=wrong)
    with pytest.raises(TypeError, match="allow_request must"):
        Server(allow_request=wrong)
