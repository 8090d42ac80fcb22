"""One program, run by python-socketio's server and by holdfast: its clients see the same.

Every test runs against both; what it expects is what python-socketio documents.
"""

from __future__ import annotations

import secrets
import urllib.request
from collections import Counter

import pytest
import socketio
from socketio_peer import connected, refusal

pytestmark = pytest.mark.servers

ARGS = (1, "zwei", None, True, {"three": [3.5, {}]}, [], "\x1b\u2028 \U0001f388")
BINARY = (bytes(range(256)), {"deep": [b"", "text", b"\xff" * 100_000]})


@pytest.fixture
def anyio_backend() -> str:
    """The client runs on asyncio alone."""
    return "asyncio"


def name() -> str:
    return secrets.token_hex(8)


# --- connecting


async def test_connect_sees_the_request_and_reaches_its_client(url: str, way: list[str]) -> None:
    async with connected(url, way, auth={"name": "Ann"}) as peer:
        assert await peer.several(2) == [
            ("/", "welcome", {"path": "/socket.io/", "method": "GET"}),
            ("/", "joined", "Ann"),
        ]


async def test_the_session_is_what_connect_put_into_it(url: str, way: list[str]) -> None:
    async with connected(url, way, auth={"name": "Ann"}) as peer:
        assert await peer.ask("who") == {"auth": {"name": "Ann"}, "agent": "tested"}


async def test_auth_is_none_where_the_client_sends_none(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        assert await peer.ask("who") == {"auth": None, "agent": "tested"}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("False", {"message": "Connection rejected by server"}),
        ("message", {"message": "not today"}),
        ("data", {"message": "not today", "data": {"until": "tomorrow"}}),
        ("several", {"message": "not today", "data": [1, "two"]}),
        ("builtin", {"message": "Connection refused by server"}),
    ],
)
async def test_a_refusal_says_why(url: str, way: list[str], how: str, told: object) -> None:
    assert await refusal(url, way, auth={"refuse": how}) == told


async def test_environ_is_that_of_the_request(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        expected = ["tested", "GET", "/socket.io/", "", "http", True, "/socket.io/", None]
        assert await peer.ask("environment") == expected


async def test_the_transport_has_its_name(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        assert [await peer.ask("transport")] == way


# --- events and acknowledgements


async def test_arguments_and_acknowledgement_arrive_as_they_were_sent(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        assert await peer.ask("echo", *ARGS) == ARGS


async def test_binary_arrives_in_both_directions(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        assert await peer.ask("echo", *BINARY) == BINARY


async def test_acknowledgements_follow_from_what_handlers_return(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        assert await peer.ask("plain", 1) == {"plain": 1}
        assert await peer.ask("nothing") is None
        assert await peer.ask("one", {"a": 1}) == [{"a": 1}]
        assert await peer.ask("echo", "first", "second") == ("first", "second")


async def test_a_tuple_is_several_arguments_and_a_list_is_one(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        await peer.several(2)
        await peer.ask("spread")
        assert await peer.several(5) == [
            ("/", "event", 1, "two", {"three": b"\x03"}),
            ("/", "event", "single"),
            ("/", "event", ["a", "list"]),
            ("/", "event"),
            ("/", "message", "a message"),
        ]


async def test_callbacks_get_what_the_client_answers(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        await peer.several(2)
        await peer.ask("ask_with_callback", 1, {"two": b"\x02"})
        heard = await peer.several(3)
        assert Counter(map(repr, heard)) == Counter(
            map(repr, [("/", "asked"), *[("/", "answered", [{"two": b"\x02"}, 1])] * 2])
        )


async def test_call_returns_what_the_client_answers(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        assert await peer.ask("call", 1) == [1]
        assert await peer.ask("call", 1, 2) == [[2, 1]]
        assert await peer.ask("call") == [None]


async def test_call_without_an_answer_is_a_timeout_error(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        assert await peer.ask("call_in_vain") == "no answer came"


async def test_events_without_a_handler_go_to_the_catch_all(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        await peer.several(2)
        assert await peer.ask("unheard of", 1, 2) == "caught"
        assert await peer.next() == ("/", "caught", ["unheard of", 1, 2])


async def test_a_background_task_reaches_the_client(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        await peer.several(2)
        await peer.ask("later", "first")
        assert await peer.next() == ("/", "later", ["first", 2])


async def test_wrong_sids_and_rooms_raise_the_same(url: str, way: list[str]) -> None:
    async with connected(url, way) as peer:
        expected = ["KeyError", "ValueError", "ValueError", "ValueError", None, None, None, None]
        assert await peer.ask("errors") == expected


# --- sessions and rooms


async def test_a_saved_session_is_there_for_the_next_event(url: str, way: list[str]) -> None:
    async with connected(url, way) as one, connected(url, way) as two:
        await one.ask("remember", {"deep": [1]})
        assert await one.ask("recall") == {"deep": [1]}
        assert await two.ask("recall") is None


async def test_rooms_are_entered_left_and_closed(url: str, way: list[str]) -> None:
    room = name()
    async with connected(url, way) as one, connected(url, way) as two:
        assert await one.ask("enter", room) == sorted(["all", room])
        assert await two.ask("enter", room) == sorted(["all", room])
        assert await one.ask("members", room) == 2
        assert await one.ask("leave", room) == ["all"]
        assert await one.ask("members", room) == 1
        assert await two.ask("close", room) == ["all"]
        assert await two.ask("members", room) == 0


async def test_a_room_may_be_named_by_a_number(url: str, way: list[str]) -> None:
    async with connected(url, way) as one, connected(url, way) as two:
        await one.several(3)
        await two.several(2)
        assert await one.ask("enter", 4711) == ["4711", "all"]
        await two.ask("tell", 4711, "hello")
        assert await one.next() == ("/", "told", "hello")
        await two.settle()
        assert two.heard.empty()


async def test_a_room_reaches_its_members_and_skips_who_is_to_be_skipped(url: str, way: list[str]) -> None:
    first, second = name(), name()
    async with connected(url, way) as one, connected(url, way) as two, connected(url, way) as three:
        for peer, number in ((one, 4), (two, 3), (three, 2)):
            await peer.several(number)
        await one.ask("enter", first)
        await two.ask("enter", first)
        await two.ask("enter", second)
        await one.ask("tell", first, "to the room")
        await one.ask("tell_others", first, "to the others")
        await one.ask("tell", [first, second], "to both, once")
        await one.ask("tell", three.sid(), "to one")
        assert await one.several(2) == [("/", "told", "to the room"), ("/", "told", "to both, once")]
        texts = ("to the room", "to the others", "to both, once")
        assert await two.several(3) == [("/", "told", text) for text in texts]
        assert await three.next() == ("/", "told", "to one")
        for peer in (one, two, three):
            await peer.settle()
            assert peer.heard.empty()


# --- disconnecting


async def test_the_client_may_leave(url: str, way: list[str]) -> None:
    who = name()
    async with connected(url, way) as observer:
        async with connected(url, way, auth={"name": who}) as peer:
            await peer.settle()
        found = await observer.ask("reason_of", who)
        assert found[0] == who
        assert found[1] in ("client disconnect", "transport close")
        assert found[2] == ["all"]


async def test_the_server_may_put_a_client_out(url: str, way: list[str]) -> None:
    who = name()
    async with connected(url, way) as observer, connected(url, way, auth={"name": who}) as peer:
        await peer.several(2)
        await peer.client.emit("put_me_out")
        assert await peer.next() == ("/", "disconnect")
        assert await observer.ask("reason_of", who) == [who, "server disconnect", ["all"]]


# --- namespaces


async def test_handlers_of_a_namespace_are_its_own(url: str, way: list[str]) -> None:
    async with connected(url, way, namespaces=("/", "/custom")) as peer:
        await peer.several(2)
        assert peer.sid("/custom") != peer.sid("/")
        assert await peer.ask("greet", "Ann", namespace="/custom") is True
        assert await peer.next() == ("/custom", "greeting", "Ann")
        assert await peer.ask("decorated", namespace="/custom") == "decorated"


async def test_a_namespace_that_was_only_listed_lets_clients_in(url: str, way: list[str]) -> None:
    async with connected(url, way, namespaces=("/plain",)) as peer:
        assert peer.sid("/plain")


async def test_an_unknown_namespace_does_not(url: str, way: list[str]) -> None:
    assert await refusal(url, way, auth=None, namespace="/nowhere")


async def test_a_class_handles_its_namespace(url: str, way: list[str]) -> None:
    async with connected(url, way, namespaces=("/chat",)) as peer:
        assert await peer.ask("say", "one", namespace="/chat") == 1
        assert await peer.ask("say", "two", namespace="/chat") == 2
        assert await peer.several(2) == [("/chat", "said", "one"), ("/chat", "said", "two")]
        assert await peer.ask("ask", namespace="/chat") == "chat"
        assert await peer.ask("rooms", namespace="/chat") == ["chatters"]
        assert await peer.ask("no such method", namespace="/chat") is None
        await peer.client.emit("leave", namespace="/chat")
        assert await peer.several(2) == [("/chat", "message", "left"), ("/chat", "disconnect")]
    async with connected(url, way) as observer:
        assert await observer.ask("reason_of", "chat") == ["chat", "without reason", []]


async def test_a_class_may_route_by_itself(url: str, way: list[str]) -> None:
    async with connected(url, way, namespaces=("/router",)) as peer:
        assert await peer.ask("any", 1, 2, namespace="/router") == ["any", 3]


# --- beside it


def test_static_files_are_served_and_all_else_is_not_found(url: str) -> None:
    with urllib.request.urlopen(f"{url}/me", timeout=10) as answer:
        assert b"socketio.ASGIApp" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{url}/elsewhere", timeout=10)
    refused.value.close()


async def test_another_origin_is_let_in(url: str) -> None:
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(url, headers={"X-Test": "tested", "Origin": "https://elsewhere.example"})
    await client.disconnect()
    if client.eio.http is not None:
        await client.eio.http.close()
