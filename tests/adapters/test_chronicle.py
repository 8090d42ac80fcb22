"""How far somebody has heard what is said, while it is being said to many."""

from __future__ import annotations

from holdfast.engine.adapters import Target
from holdfast.engine.adapters.chronicle import Chronicle, Entry, Place
from holdfast.engine.wire.socketio import SocketPacket, SocketPacketType

EVERYBODY = Target()


def packet(name: str) -> SocketPacket:
    return SocketPacket(SocketPacketType.EVENT, "/", [name])


async def read_nothing(after: str, until: str) -> list[Entry]:
    return []


def make(begun: str = "1-0") -> Chronicle:
    return Chronicle(lambda: "me", lambda: begun, read_nothing)


def said(chronicle: Chronicle, name: str) -> SocketPacket:
    found = packet(name)
    chronicle.number += 1
    chronicle.say(found, EVERYBODY)
    return found


def test_place_is_where_reading_began_until_something_has_passed() -> None:
    chronicle = make()
    assert chronicle.place(None) == Place("me", "1-0", 0)
    chronicle.passed("2-0", None)
    assert chronicle.place(None) == Place("me", "2-0", 0)
    assert make("").entry == ""


def test_what_was_said_here_is_unread_until_its_entry_has_passed() -> None:
    chronicle = make()
    for name in "abc":
        said(chronicle, name)
    assert chronicle.place(None) == Place("me", "1-0", 3)
    assert [entry.number for entry in chronicle.unread] == [1, 2, 3]
    chronicle.passed("2-0", 2)
    assert [entry.number for entry in chronicle.unread] == [3]
    chronicle.passed("3-0", None)
    assert [entry.number for entry in chronicle.unread] == [3]


def test_who_has_not_been_handed_it_yet_is_where_he_was() -> None:
    chronicle = make()
    mine = packet("mine")
    chronicle.number += 1
    with chronicle.saying(mine, EVERYBODY):
        assert chronicle.is_handing(mine)
        assert chronicle.place(None) == Place("me", "1-0", 0)
        assert chronicle.place(mine) == Place("me", "1-0", 1)
        # Equal is not the same.
        assert chronicle.place(packet("mine")) == Place("me", "1-0", 0)
    assert chronicle.place(None) == Place("me", "1-0", 1)
    theirs = packet("theirs")
    with chronicle.hearing(theirs, "5-0", ("other", 7)):
        assert chronicle.place(mine) == Place("me", "1-0", 1)
        assert chronicle.place(theirs) == Place("me", "5-0", 1)
        assert chronicle.origin == ("other", 7)
    assert chronicle.origin is None
    chronicle.passed("5-0", None)
    assert chronicle.place(theirs) == Place("me", "5-0", 1)
