"""What is wrong with a request, said once and with Engine.IO's codes."""

from __future__ import annotations

import json

import anyio
import pytest
from asgi_driver import Client
from counting_peer import open_site

PATH = "/engine.io/"

# (query, code); the same for GET and, with websocket in polling's stead, for a WebSocket
QUERIES = [
    ("EIO=4", 0),
    ("EIO=4&transport=", 0),
    ("EIO=4&transport=abc", 0),
    ("EIO=4&transport=Polling", 0),
    ("EIO=4&transport=constructor", 0),
    ("", 0),
    ("transport=polling", 5),
    ("EIO=abc&transport=polling", 5),
    ("EIO=3&transport=polling", 5),
    ("EIO=&transport=polling", 5),
    ("EIO=4&transport=polling&sid=", 1),
    ("EIO=4&transport=polling&sid=unknown", 1),
    ("EIO=4&transport=polling&sid=%ff%00", 1),
]


@pytest.mark.parametrize(("query", "code"), QUERIES)
async def test_query_that_is_wrong_is_refused(query: str, code: int) -> None:
    async with open_site() as site:
        exchange = site.client.get(f"{PATH}?{query}")
        assert await exchange.start() == 400
        assert exchange.headers["content-type"] == "application/json"
        assert exchange.headers["cache-control"] == "no-store"
        refusal = await exchange.json()
        assert refusal["code"] == code
        assert refusal["message"]
        assert set(refusal) == {"code", "message"}


@pytest.mark.parametrize(("query", "code"), QUERIES)
async def test_websocket_with_a_wrong_query_is_refused_before_it_is_accepted(query: str, code: int) -> None:
    async with open_site() as site:
        socket = site.client.websocket(f"{PATH}?{query.replace('polling', 'websocket')}")
        start, body = await socket.next(), await socket.next()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 400)
        assert json.loads(body["body"])["code"] == code
        await socket.finished()


async def test_server_that_cannot_deny_with_a_response_gets_a_close() -> None:
    async with open_site() as site:
        plain = Client(site.engine, site.client.tasks, denial=False)
        socket = plain.websocket(f"{PATH}?EIO=3&transport=websocket")
        message = await socket.next()
        assert message["type"] == "websocket.close"
        assert "protocol version" in message["reason"]
        await socket.finished()
        plain.close()


@pytest.mark.asgi
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_session_is_opened_by_get_only(method: str) -> None:
    async with open_site() as site:
        for query in ("EIO=4&transport=polling", "EIO=4&transport=stream&holdfast=1"):
            exchange = site.client.request(method, f"{PATH}?{query}")
            assert await exchange.start() == 400
            assert (await exchange.json())["code"] == 2


@pytest.mark.asgi
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
async def test_session_takes_get_and_post_only(method: str) -> None:
    async with open_site("polling") as site:
        peer, poll = await site.opened()
        exchange = site.client.request(method, peer.url("polling"))
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 2
        await site.session.send("unharmed")
        assert await poll.take(1) == ["unharmed"]


async def test_transport_websocket_needs_a_websocket_and_only_it() -> None:
    async with open_site() as site:
        exchange = site.client.get(f"{PATH}?EIO=4&transport=websocket")
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 3
        socket = site.client.websocket(f"{PATH}?EIO=4&transport=polling")
        assert (await socket.next())["status"] == 400


async def test_query_of_many_fields_is_refused_and_not_read() -> None:
    async with open_site() as site:
        exchange = site.client.get(PATH + "?" + "&".join(f"a{number}=1" for number in range(1000)))
        assert await exchange.start() == 400
        assert (await exchange.json())["code"] == 3


# What Socket.IO's own server says for a code: clients that look at the text find it at the beginning.
FIRST_WORDS = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    4: "Forbidden",
    5: "Unsupported protocol version",
}

# (method, query, headers, status, code, what the message names)
REMEDIES: list[tuple[str, str, dict[str, str], int, int, list[str]]] = [
    ("GET", "", {}, 400, 0, ["it is running", "?EIO=4&transport=polling"]),
    ("GET", "transport=abc", {}, 400, 0, ["websocket, stream, polling"]),
    ("GET", "EIO=4&transport=stream", {}, 400, 0, ["holdfast=1"]),
    (
        "GET",
        "EIO=3&transport=polling",
        {},
        400,
        5,
        ["1.x or 2.x", "socket.io-client 3.x and 4.x", "must be updated"],
    ),
    ("GET", "transport=polling", {}, 400, 5, ["has no EIO=4", "socket.io-client 3.x and 4.x"]),
    ("GET", "EIO=5&transport=polling", {}, 400, 5, ["must say EIO=4"]),
    (
        "GET",
        "EIO=4&transport=polling&sid=x",
        {},
        400,
        1,
        ["restarted", "worker or host", "sticky sessions"],
    ),
    (
        "POST",
        "EIO=4&transport=polling&sid=x",
        {},
        400,
        1,
        ["restarted", "worker or host", "sticky sessions"],
    ),
    ("POST", "EIO=4&transport=polling", {}, 400, 2, ["opened by GET"]),
    ("GET", "EIO=4&transport=websocket", {}, 400, 3, ["needs a WebSocket"]),
    (
        "GET",
        "EIO=4&transport=polling",
        {"origin": "https://a.example"},
        403,
        4,
        ["origins=", "proxy_set_header"],
    ),
]


@pytest.mark.parametrize(("method", "query", "headers", "status", "code", "named"), REMEDIES)
async def test_refusal_begins_as_socketios_and_goes_on_with_the_remedy(
    method: str, query: str, headers: dict[str, str], status: int, code: int, named: list[str]
) -> None:
    async with open_site() as site:
        exchange = site.client.request(method, f"{PATH}?{query}" if query else PATH, headers=headers)
        assert await exchange.start() == status
        refusal = await exchange.json()
        assert refusal["code"] == code
        assert refusal["message"].startswith(FIRST_WORDS[code] + ": ")
        for words in named:
            assert words in refusal["message"]


async def test_refusals_of_a_session_begin_as_socketios_too() -> None:
    async with open_site("polling", max_payload=1000) as site:
        peer, _ = await site.opened()
        for body, status, code, named in (
            ("x" * 1001, 413, 3, "max_payload"),
            ("4x", 400, 3, "attach"),
            ('7{"key":"wrong","received":0}', 403, 4, "resume key"),
        ):
            exchange = site.client.post(peer.url("polling"), body)
            assert await exchange.start() == status
            refusal = await exchange.json()
            assert refusal["code"] == code
            assert refusal["message"].startswith(FIRST_WORDS[code] + ": ")
            assert named in refusal["message"]


async def test_server_that_is_full_or_closing_says_that_alone() -> None:
    async with open_site(max_sessions=1) as site:
        url = f"{PATH}?EIO=4&transport=polling"
        assert await site.client.get(url).start() == 200
        exchange = site.client.get(url)
        assert await exchange.start() == 503
        assert await exchange.json() == {
            "code": 4,
            "message": "the server has its 1 sessions (setting max_sessions)",
        }


async def test_requests_that_were_refused_leave_no_session() -> None:
    async with open_site() as site:
        for query, _ in QUERIES:
            await site.client.get(f"{PATH}?{query}").start()
        await anyio.wait_all_tasks_blocked()
        assert not site.engine.table.sessions
