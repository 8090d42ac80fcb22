"""Who is here, what was said, and what may be said. No network here."""

from __future__ import annotations

import re
import time
import unicodedata
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import cast

from holdfast import EventError

__all__ = [
    "LOBBY",
    "Chat",
    "Message",
    "Person",
    "Refused",
    "folded",
    "name_of",
    "room_of",
    "text_of",
    "token_of",
]

LOBBY = "lobby"
MAX_NAME = 20
MAX_TEXT = 1000
MAX_PEOPLE = 200
MAX_ROOMS = 30
MAX_HISTORY = 100
MAX_TOLD = 200
MAX_REMEMBERED = 5000

Message = dict[str, object]
"""`id`, `from`, `to` ("#room" or "@name"), `text`, and `at` in milliseconds since 1970."""

ROOM = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
TOKEN = re.compile(r"[A-Za-z0-9-]{16,64}")


def Refused(code: str, message: str) -> EventError:  # noqa: N802 - it is raised like the class it makes
    return EventError(message, code=code)


def name_of(value: object) -> str:
    """A name as it will be shown.

    Raises:
        EventError: not a text, too long, or with what cannot be seen.
    """
    if isinstance(value, str) and len(value) <= 4 * MAX_NAME:
        name = " ".join(unicodedata.normalize("NFKC", value).split())
        if 0 < len(name) <= MAX_NAME and name.isprintable():
            return name
    raise Refused("INVALID_NAME", f"A name has 1 to {MAX_NAME} visible characters.")


def folded(name: str) -> str:
    """What two names have in common that look alike to people: ADA is ada."""
    return name.casefold()


def text_of(value: object) -> str:
    """The text of a message.

    Raises:
        EventError: not a text, empty, too long, or with control characters.
    """
    if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_TEXT >= len(value):
        raise Refused("INVALID_TEXT", f"A message has 1 to {MAX_TEXT} characters.")
    # "Cs" is half a character: JSON can bring it, and no codec could send it on to the others.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value if character not in "\n\t"):
        raise Refused("INVALID_TEXT", "A message has no control characters.")
    return value.strip()


def room_of(value: object) -> str:
    """The name of a room, without its ``#``.

    Raises:
        EventError: it could not be one.
    """
    if not isinstance(value, str) or not ROOM.fullmatch(value):
        raise Refused("INVALID_ROOM", "A room's name has 1 to 20 letters a to z, digits and hyphens.")
    return value


def token_of(value: object) -> str:
    """A random text that the page has made.

    Raises:
        EventError: it could not be one.
    """
    if not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise Refused("INVALID_TOKEN", "This is not a random text of a page.")
    return value


@dataclass(eq=False)
class Person:
    """Somebody with a name, on one or more sockets, or on none for the moment.

    Attributes:
        key: Known to their page alone; with it they get their name back.
        sockets: Ids.
        private: Said to them or by them, in private.
    """

    name: str
    key: str
    sockets: set[str] = field(default_factory=set[str])
    rooms: set[str] = field(default_factory=set[str])
    private: deque[Message] = field(default_factory=lambda: deque[Message](maxlen=MAX_HISTORY))


class Chat:
    """Everybody and everything said. All of it is bounded."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.rooms: dict[str, deque[Message]] = {LOBBY: deque(maxlen=MAX_HISTORY)}
        self._said: OrderedDict[tuple[str, str], Message] = OrderedDict()
        # Pages sort by these numbers and know a repeat by them: they go on growing after a restart.
        self._ids = count(time.time_ns() // 1_000_000)

    def admit(self, name: str, key: str) -> Person:
        """The person of this name.

        Raises:
            EventError: somebody else has the name, or there is no room for one more.
        """
        person = self.people.get(folded(name))
        if person is None:
            if len(self.people) >= MAX_PEOPLE:
                raise Refused("FULL", f"{MAX_PEOPLE} people are here, which is as many as fit.")
            person = self.people[folded(name)] = Person(name, key)
        elif person.key != key:
            raise Refused("NAME_TAKEN", f"{person.name} is here already. Take another name.")
        return person

    def find(self, name: str) -> Person:
        """Somebody who is here.

        Raises:
            EventError: nobody of this name is.
        """
        person = self.people.get(folded(name))
        if person is None:
            raise Refused("NOBODY", "Nobody of this name is here.")
        return person

    def dismiss(self, person: Person) -> bool:
        """Forget somebody without a socket; False if they have one, or are forgotten already."""
        if person.sockets or self.people.get(folded(person.name)) is not person:
            return False
        del self.people[folded(person.name)]
        for room in person.rooms:
            self._tidy(room)
        return True

    def enter(self, person: Person, room: str) -> bool:
        """Let somebody into a room, made if there is none; False if they are in it.

        Raises:
            EventError: there are too many rooms.
        """
        if room not in self.rooms:
            if len(self.rooms) >= MAX_ROOMS:
                raise Refused(
                    "TOO_MANY_ROOMS", f"There are {MAX_ROOMS} rooms, which is enough. Enter one of them."
                )
            self.rooms[room] = deque(maxlen=MAX_HISTORY)
        is_new = room not in person.rooms
        person.rooms.add(room)
        return is_new

    def leave(self, person: Person, room: str) -> None:
        """Let somebody out of a room; the last one turns off the light.

        Raises:
            EventError: they are not in it, or it is the lobby.
        """
        if room == LOBBY or room not in person.rooms:
            raise Refused("NOT_IN_ROOM", f"You cannot leave #{room}.")
        person.rooms.remove(room)
        self._tidy(room)

    def _tidy(self, room: str) -> None:
        if room != LOBBY and not any(room in person.rooms for person in self.people.values()):
            self.rooms.pop(room, None)

    def say(self, person: Person, to: object, text: object, nonce: object) -> tuple[Message, list[str]]:
        """Keep what somebody says.

        Returns:
            The message, and who is to hear of it, as rooms of the server: none, if it had been said already.

        Raises:
            EventError: it cannot be said.
        """
        text, nonce = text_of(text), token_of(nonce)
        known = self._said.get((person.key, nonce))
        if known is not None:
            return known, []
        if isinstance(to, str) and to.startswith("@"):
            other = self.find(to[1:])
            histories, audience = {id(who): who.private for who in (person, other)}, [other, person]
            to, targets = f"@{other.name}", [f"@{folded(who.name)}" for who in audience]
        else:
            room = to[1:] if isinstance(to, str) and to.startswith("#") else ""
            if room not in person.rooms:
                raise Refused("NOT_IN_ROOM", "You are not in this room.")
            histories, targets = {0: self.rooms[room]}, [f"#{room}"]
        message: Message = {
            "id": next(self._ids),
            "from": person.name,
            "to": to,
            "text": text,
            "at": time.time_ns() // 1_000_000,
        }
        for history in histories.values():
            history.append(message)
        self._said[person.key, nonce] = message
        if len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)
        return message, targets

    def heard_by(self, person: Person) -> list[Message]:
        """What somebody may read, their rooms and their private messages: the last of it, in order."""
        found = [*person.private, *(message for room in person.rooms for message in self.rooms[room])]
        # Together they have to fit into what a server keeps for one session.
        return sorted(found, key=lambda message: cast("int", message["id"]))[-MAX_TOLD:]

    def presence(self) -> dict[str, object]:
        """Who is here, and how many are in each room."""
        people = sorted(self.people.values(), key=lambda person: folded(person.name))
        return {
            "people": [person.name for person in people],
            "rooms": {room: sum(room in person.rooms for person in people) for room in self.rooms},
        }
