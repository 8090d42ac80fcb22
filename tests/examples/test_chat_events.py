from __future__ import annotations

import re
from typing import Any

import pytest
from example_events import Guest, Scene

pytestmark = pytest.mark.anyio

KEYS = {name: f"{name:x<20}" for name in ("Ada", "Grace", "Alan", "ADA")}


@pytest.fixture
def scene() -> Scene:
    scene = Scene("chat")
    # Long enough to be away in a test, and nobody waits for its end.
    scene.events.RETURN_SECONDS = 0.02
    return scene


async def enter(scene: Scene, name: str, *rooms: str) -> Guest:
    """Somebody who has joined, and has heard nothing yet but that."""
    guest = await scene.guest()
    answer = await guest.ask("join", name, KEYS[name], list(rooms))
    assert answer["name"] == name
    guest.all_heard()
    return guest


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages]


def nonce(number: int) -> str:
    return f"nonce-{number:016}"


async def test_whoever_joins_is_announced_and_everybody_sees_who_is_here(scene: Scene) -> None:
    ada = await enter(scene, "Ada")
    await enter(scene, "Grace")
    assert ada.all_heard() == [
        ["notice", {"to": "#lobby", "who": "Grace", "what": "joined"}],
        ["presence", {"people": ["Ada", "Grace"], "rooms": {"lobby": 2}}],
    ]


async def test_a_name_is_one_persons_however_it_is_written(scene: Scene) -> None:
    await enter(scene, "Ada")
    other = await scene.guest()
    assert await other.refused("join", "ADA", KEYS["ADA"]) == "NAME_TAKEN"
    assert await other.refused("join", "\uff21\uff44\uff41", KEYS["ADA"]) == "NAME_TAKEN"
    answer = await other.ask("join", "Grace", KEYS["Grace"])
    assert answer["name"] == "Grace"
    assert await other.refused("join", "Alan", KEYS["Alan"]) == "JOINED"


async def test_joining_again_by_the_same_name_changes_nothing(scene: Scene) -> None:
    ada, grace = await enter(scene, "Ada", "compilers"), await enter(scene, "Grace")
    answer = await ada.ask("join", "Ada", KEYS["Ada"])
    assert answer == {"name": "Ada", "rooms": ["compilers", "lobby"], "messages": []}
    assert {event for event, *_ in grace.all_heard()} == {"presence"}


async def test_who_loses_the_connection_and_comes_back_is_not_announced_and_has_missed_nothing(
    scene: Scene,
) -> None:
    scene.events.RETURN_SECONDS = 3600
    ada, grace = await enter(scene, "Ada", "compilers"), await enter(scene, "Grace", "compilers")
    ada.lose()
    await grace.ask("say", "#lobby", "are you there?", nonce(1))
    await grace.ask("say", "@Ada", "psst", nonce(2))
    again = await scene.guest()
    assert again.id != ada.id
    answer = await again.ask("join", "Ada", KEYS["Ada"], [])
    assert sorted(texts(answer["messages"])) == ["are you there?", "psst"]
    assert answer["rooms"] == ["compilers", "lobby"]
    assert {event for event, *_ in grace.all_heard()} <= {"presence"}
    # It is in its rooms again, and nobody else is.
    await grace.ask("say", "#compilers", "welcome back", nonce(3))
    assert (await again.hear("message"))[0]["text"] == "welcome back"


async def test_who_comes_back_before_the_old_connection_is_known_to_be_dead_keeps_the_name(
    scene: Scene,
) -> None:
    ada, grace = await enter(scene, "Ada"), await enter(scene, "Grace")
    again = await enter(scene, "Ada")
    ada.leave()
    await again.ask("say", "#lobby", "still here", nonce(1))
    assert [event for event, *_ in grace.all_heard()] == ["presence", "message"]
    assert scene.events.online() == {"people": ["Ada", "Grace"], "rooms": {"lobby": 2}}


async def test_who_leaves_is_gone_and_the_name_is_free(scene: Scene) -> None:
    ada, grace = await enter(scene, "Ada", "compilers"), await enter(scene, "Grace")
    ada.leave()
    assert await grace.hear("notice") == [{"to": "#lobby", "who": "Ada", "what": "left"}]
    # The room that is empty now is gone too.
    assert await grace.hear("presence") == [{"people": ["Grace"], "rooms": {"lobby": 1}}]
    assert (await (await scene.guest()).ask("join", "Ada", KEYS["ADA"]))["name"] == "Ada"


async def test_a_closed_tab_is_gone_after_a_moment(scene: Scene) -> None:
    ada, grace = await enter(scene, "Ada"), await enter(scene, "Grace")
    ada.peer.session.close()
    assert await grace.hear("notice") == [{"to": "#lobby", "who": "Ada", "what": "left"}]
    assert await grace.hear("presence") == [{"people": ["Grace"], "rooms": {"lobby": 1}}]


async def test_a_message_reaches_its_room_and_nobody_else(scene: Scene) -> None:
    ada, grace, alan = (
        await enter(scene, "Ada", "compilers"),
        await enter(scene, "Grace", "compilers"),
        await enter(scene, "Alan"),
    )
    grace.all_heard()
    message = await ada.ask("say", "#compilers", " one pass \n", nonce(1))
    assert {key: message[key] for key in ("from", "to", "text")} == {
        "from": "Ada",
        "to": "#compilers",
        "text": "one pass",
    }
    assert ["message", message] in grace.all_heard()
    assert [event for event, *_ in alan.all_heard()] == []
    assert await alan.refused("say", "#compilers", "me too", nonce(2)) == "NOT_IN_ROOM"
    assert await alan.refused("say", "#nowhere", "hello", nonce(3)) == "NOT_IN_ROOM"


async def test_a_private_message_reaches_two(scene: Scene) -> None:
    ada, grace, alan = [await enter(scene, name) for name in ("Ada", "Grace", "Alan")]
    for guest in (ada, grace):
        guest.all_heard()
    message = await ada.ask("say", "@grace", "psst", nonce(1))
    assert message["to"] == "@Grace"
    assert grace.all_heard() == [["message", message]]
    assert alan.all_heard() == []
    assert await ada.refused("say", "@Nobody", "psst", nonce(2)) == "NOBODY"


async def test_what_is_said_again_with_its_nonce_is_told_once(scene: Scene) -> None:
    ada, grace = await enter(scene, "Ada"), await enter(scene, "Grace")
    first = await ada.ask("say", "#lobby", "hello", nonce(1))
    ada.leave()
    again = await enter(scene, "Ada")
    assert await again.ask("say", "#lobby", "hello", nonce(1)) == first
    assert [event for event, *_ in grace.all_heard() if event == "message"] == ["message"]
    # It was Ada's nonce: what Grace says with the same is another message.
    assert (await grace.ask("say", "#lobby", "hello", nonce(1)))["id"] > first["id"]


async def test_history_is_what_was_said_last_in_order(scene: Scene) -> None:
    ada = await enter(scene, "Ada")
    for number in range(105):
        await ada.ask("say", "#lobby", f"{number}", nonce(number))
    answer = await (await scene.guest()).ask("join", "Grace", KEYS["Grace"])
    assert texts(answer["messages"]) == [f"{number}" for number in range(5, 105)]
    ids = [message["id"] for message in answer["messages"]]
    assert ids == sorted(ids)


async def test_the_longest_history_can_be_told(scene: Scene) -> None:
    rooms = ["a", "b", "c"]
    ada = await enter(scene, "Ada", *rooms)
    for number in range(400):
        room = ["lobby", *rooms][number % 4]
        await ada.ask("say", f"#{room}", "\N{WAVING HAND SIGN}" * 1000, nonce(number))
    answer = await (await scene.guest()).ask("join", "Grace", KEYS["Grace"], rooms)
    assert len(answer["messages"]) == 200
    assert {message["to"] for message in answer["messages"]} == {"#lobby", "#a", "#b", "#c"}


async def test_rooms_are_made_entered_and_left(scene: Scene) -> None:
    ada, grace = await enter(scene, "Ada"), await enter(scene, "Grace")
    assert await ada.ask("enter", "compilers") == []
    assert (await grace.hear("presence"))[0]["rooms"] == {"lobby": 2, "compilers": 1}
    ada.all_heard()
    said = await ada.ask("say", "#compilers", "one pass", nonce(1))
    assert await grace.ask("enter", "compilers") == [said]
    assert await ada.hear("notice") == [{"to": "#compilers", "who": "Grace", "what": "joined"}]
    assert await grace.ask("leave", "compilers") is None
    assert await ada.hear("notice") == [{"to": "#compilers", "who": "Grace", "what": "left"}]
    assert await grace.refused("leave", "compilers") == "NOT_IN_ROOM"
    assert await grace.refused("leave", "lobby") == "NOT_IN_ROOM"
    await ada.ask("leave", "compilers")
    assert scene.events.online()["rooms"] == {"lobby": 2}


async def test_typing_is_told_where_it_belongs_and_never_kept(scene: Scene) -> None:
    ada, grace, alan = [await enter(scene, name) for name in ("Ada", "Grace", "Alan")]
    for guest in (ada, grace):
        guest.all_heard()
    await ada.ask("typing", "#lobby")
    await ada.ask("typing", "@Grace")
    assert grace.all_heard() == [
        ["typing", {"to": "#lobby", "who": "Ada"}],
        ["typing", {"to": "@Grace", "who": "Ada"}],
    ]
    assert alan.all_heard() == [["typing", {"to": "#lobby", "who": "Ada"}]]
    assert ada.all_heard() == []


async def test_there_is_no_end_of_rooms(scene: Scene) -> None:
    ada = await enter(scene, "Ada")
    for number in range(29):
        await ada.ask("enter", f"room-{number}")
    assert await ada.refused("enter", "one-more") == "TOO_MANY_ROOMS"


@pytest.mark.parametrize(
    ("event", "arguments", "code"),
    [
        ("join", ["", KEYS["Grace"]], "INVALID_NAME"),
        ("join", ["x" * 21, KEYS["Grace"]], "INVALID_NAME"),
        ("join", ["x" * 100_000, KEYS["Grace"]], "INVALID_NAME"),
        ("join", ["a\u202eb", KEYS["Grace"]], "INVALID_NAME"),
        ("join", [None, KEYS["Grace"]], "INVALID_NAME"),
        ("join", [b"Grace", KEYS["Grace"]], "INVALID_NAME"),
        ("join", ["Grace", "short"], "INVALID_TOKEN"),
        ("join", ["Grace", {"$ne": ""}], "INVALID_TOKEN"),
        ("join", ["Grace", KEYS["Grace"], ["no room!"]], "INVALID_ROOM"),
        ("join", [], "wrong arguments"),
        ("say", ["#lobby", "hello", nonce(1)], "NOT_JOINED"),
        ("enter", ["compilers"], "NOT_JOINED"),
        ("leave", ["lobby"], "NOT_JOINED"),
        ("typing", ["#lobby"], "NOT_JOINED"),
    ],
)
async def test_garbage_of_a_stranger_is_refused(
    scene: Scene, event: str, arguments: list[Any], code: str
) -> None:
    ada, stranger = await enter(scene, "Ada"), await scene.guest()
    assert await stranger.refused(event, *arguments) == code
    assert ada.all_heard() == []
    assert scene.events.online()["people"] == ["Ada"]


@pytest.mark.parametrize(
    ("event", "arguments", "code"),
    [
        ("say", ["#lobby", "", nonce(1)], "INVALID_TEXT"),
        ("say", ["#lobby", " \n", nonce(1)], "INVALID_TEXT"),
        ("say", ["#lobby", "x" * 1001, nonce(1)], "INVALID_TEXT"),
        ("say", ["#lobby", "bell \x07", nonce(1)], "INVALID_TEXT"),
        ("say", ["#lobby", {"text": "hello"}, nonce(1)], "INVALID_TEXT"),
        ("say", ["#lobby", b"hello", nonce(1)], "INVALID_TEXT"),
        ("say", ["#lobby", "hello", 1], "INVALID_TOKEN"),
        ("say", [["#lobby"], "hello", nonce(1)], "NOT_IN_ROOM"),
        ("say", ["lobby", "hello", nonce(1)], "NOT_IN_ROOM"),
        ("say", ["#lobby", "hello"], "wrong arguments"),
        ("enter", ["NO"], "INVALID_ROOM"),
        ("enter", [7], "INVALID_ROOM"),
    ],
)
async def test_garbage_of_a_guest_is_refused(
    scene: Scene, event: str, arguments: list[Any], code: str
) -> None:
    ada, grace = await enter(scene, "Ada"), await enter(scene, "Grace")
    ada.all_heard()
    assert await grace.refused(event, *arguments) == code
    assert ada.all_heard() == []
    assert (await grace.ask("say", "#lobby", "hello", nonce(9)))["text"] == "hello"


async def test_half_a_character_spoils_nobodys_history(scene: Scene) -> None:
    ada, grace = await enter(scene, "Ada"), await enter(scene, "Grace")
    ada.all_heard()
    half = r"\ud83d"
    answer = await grace.ask_raw(f'["say","#lobby","{half}","{nonce(1)}"]')
    assert answer["error"]["code"] == "INVALID_TEXT"
    answer = await grace.ask_raw(f'["say","@{half}","hello","{nonce(2)}"]')
    assert answer["error"]["code"] == "NOBODY"
    answer = await (await scene.guest()).ask_raw(f'["join","{half}","{KEYS["Alan"]}"]')
    assert answer["error"]["code"] == "INVALID_NAME"
    assert ada.all_heard() == []


def test_the_limits_that_the_page_states_are_those_of_the_server() -> None:
    from example_events import EXAMPLES, fresh

    people = fresh("chat").chat.__class__.__module__
    import sys

    limits = sys.modules[people]
    page = (EXAMPLES / "chat" / "static" / "index.html").read_text()
    stated = dict(re.findall(r'id="(name|room|text)"[^>]*maxlength="(\d+)"', page))
    assert stated == {"name": f"{limits.MAX_NAME}", "room": "20", "text": f"{limits.MAX_TEXT}"}
