"""Which worker has a session whose id does not say so, because its client has chosen it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Any, cast

import anyio

from ...engine.errors import RemoteProtocolError
from ...engine.host import Event, make_event
from ..values import pack, unpack
from .link import Link
from .mesh import FIND, Mesh

__all__ = ["Finder"]

# Longer than any worker takes that is not stopped.
_SECONDS = 0.5
_MOST_KNOWN = 10_000


class _Question:
    """Which worker has this one?"""

    def __init__(self, asked: set[str]) -> None:
        self.missing = asked
        self.found = ""
        self.done: Event = make_event()

    def hear(self, name: str, *, has: bool) -> None:
        self.missing.discard(name)
        if has:
            self.found = name
        if has or not self.missing:
            self.done.set()


class Finder:
    """Asks the other workers, and is asked by them (a `Channel`). What was found is remembered.

    Args:
        mesh: To them.
        has: Whether this worker has a session.
    """

    def __init__(self, mesh: Mesh, has: Callable[[str], bool]) -> None:
        self._mesh = mesh
        self._has = has
        self._numbers = count()
        self._questions: dict[int, _Question] = {}
        self._known: OrderedDict[str, str] = OrderedDict()
        mesh.add(FIND, self)

    async def find(self, id: str) -> str:
        """The name of the worker that has it; empty if nobody has, or this one."""
        if self._has(id):
            return ""
        name = self._known.get(id, "")
        if name in self._mesh.links or not self._mesh.links:
            return name if self._mesh.links else ""
        number, question = next(self._numbers), _Question(set(self._mesh.links))
        self._questions[number] = question
        try:
            for link in list(self._mesh.links.values()):
                link.send(FIND, pack([number, id]))
            with anyio.move_on_after(_SECONDS):
                await question.done.wait()
        finally:
            del self._questions[number]
        if question.found:
            self._known[id] = question.found
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return question.found

    # -- a `Channel`

    def linked(self, link: Link) -> None:
        """It is asked when somebody looks for something."""

    def frame(self, link: Link, data: bytes) -> None:
        # Any: checked here.
        content = cast("list[Any]", unpack(data))
        if content.__class__ is not list or len(content) != 2 or content[0].__class__ is not int:
            raise RemoteProtocolError("it asks for no session")
        number, what = content
        if isinstance(what, str):
            link.send(FIND, pack([number, self._has(what)]))
        else:
            question = self._questions.get(number)
            if question is not None:
                question.hear(link.name, has=what is True)

    def unlinked(self, link: Link) -> None:
        for question in self._questions.values():
            question.hear(link.name, has=False)
