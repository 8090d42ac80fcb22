"""A random network whose server may be killed, or frozen and let go on, at every point between two steps.

The client is one and the same; the server is whichever node has the session, and what it had in memory dies with it.
Writes to the record take their time: they are gathered, the store takes them, its answer comes back, and a kill may
come between any of these. An application answers each message when it is done with it.

What must hold besides what holds on every network:

* The client hears what is in the record, all of it, once, in order: nothing of it dies with a node.
* Every message of the client is done in the end. One that is begun a second time is marked as replayed, and the first
  time was not known to be over when its node died. None is begun out of order.
* Each message is answered once: what a handler has sent and that it is over are in the record together or not at all.
* A node that was frozen gives its application nothing any more, and changes no record.
"""

from __future__ import annotations

from hypothesis import strategies as st
from random_network import KINDS, Line, RandomNetwork

from holdfast.engine.errors import MissingMessages, RemoteProtocolError
from holdfast.engine.session.durable import DurableSession
from holdfast.engine.session.record import Record, Write
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.payload import encode_frames

__all__ = ["NODE_KINDS", "DurableNetwork", "node_schedules"]

NODE_KINDS = (
    "gather",
    "store_takes",
    "store_takes_again",
    "store_answers",
    "store_forgets",
    "handler_ends",
    "write_through",
    "kill",
    "freeze",
    "frozen_goes_on",
)
# What moves things on comes often enough between what breaks them.
_WEIGHTED = (
    *KINDS,
    *NODE_KINDS,
    *NODE_KINDS[:4],
    "write_through",
    "handler_ends",
    "handler_ends",
    "hear_all",
    "attach_now",
)


@st.composite
def node_schedules(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Schedules without some kinds of step."""
    missing = draw(st.sets(st.sampled_from(sorted(set(_WEIGHTED))), max_size=12))
    kinds = [kind for kind in _WEIGHTED if kind not in missing]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 11)), min_size=20, max_size=110))


class Node:
    """One node's copy of the session, and its application."""

    def __init__(self, session: DurableSession) -> None:
        self.session = session
        self.write: Write | None = None
        self.is_taken = False
        # What the application has and is not done with.
        self.running: list[int] = []


class DurableNetwork(RandomNetwork):
    """See the module."""

    server: DurableSession
    session_class = DurableSession
    record_class = Record

    def __init__(self, opening: str) -> None:
        super().__init__(opening)
        self.record: Record | None = None
        self.node = Node(self._session(opening, 1, None))
        self.frozen: list[Node] = []
        self.begun: list[tuple[int, bool]] = []
        self.is_healing = False
        self.lines[0].server = self.server.opening
        self.own_lines: dict[int, DurableSession] = {id(self.lines[0]): self.server}
        # A node tells nobody of a session before there is a record of it.
        self._write_through(0)

    def _session(self, opening: str, epoch: int, record: Record | None) -> DurableSession:
        self.server = self.session_class(
            transport=opening,
            ping_interval=10.0,
            ping_timeout=5.0,
            grace=1e9,
            limit_bytes=self.limit_bytes,
            now=self.now,
            epoch=epoch,
            record=record,
        )
        return self.server

    def check(self) -> None:
        super().check()
        seen: set[int] = set()
        newest = 0
        for number, replayed in self.begun:
            if not replayed:
                assert number not in seen, "begun twice, and not marked"
                assert number > newest, "begun out of order"
                newest = number
            seen.add(number)

    def _check_lives(self) -> None:
        newest = self._newest_line()
        if newest is not None and self.own_lines.get(id(newest)) is self.server:
            super()._check_lives()

    # -- the record

    def _gather(self, choice: int) -> None:
        node = self.node
        if node.write is None and node.session.owes:
            node.write, node.is_taken = node.session.gather(), False

    def _store_takes(self, choice: int) -> None:
        node = self.node
        if node.write is not None and not node.is_taken:
            if self.record is None and not node.write.is_whole:
                node.write = None
                node.session.start_over()
                return
            if self.record is None:
                self.record = self.record_class(node.write)
            else:
                assert self.record.apply(node.write)
            node.is_taken = True

    def _store_takes_again(self, choice: int) -> None:
        """The answer was lost with the connection, and the write is tried again."""
        if self.node.is_taken and self.record is not None:
            assert self.node.write is not None
            assert self.record.apply(self.node.write)

    def _store_answers(self, choice: int) -> None:
        node = self.node
        if node.is_taken:
            node.write, node.is_taken = None, False
            for number, _ in node.session.confirm(now=self.now):
                self.begun.append((number, False))
                node.running.append(number)

    def _write_through(self, choice: int) -> None:
        self._gather(choice)
        for _ in range(3):
            self._store_takes(choice)
            self._gather(choice)
        self._store_answers(choice)

    def _store_forgets(self, choice: int) -> None:
        """Redis was restarted without its data, while the node was there."""
        if self.node.write is None:
            self.record = None
            self.node.write, self.node.is_taken = self.node.session.gather(), False
            self._store_takes(choice)
            self._write_through(choice)
            assert self.record is not None

    # -- the application

    def _handler_ends(self, choice: int) -> None:
        """Any of those that run: handlers may run side by side."""
        node = self.node
        if node.running:
            number = node.running.pop(choice % len(node.running))
            self._answer(node, number)

    def _answer(self, node: Node, number: int) -> None:
        text = f"answer{number}"
        if node is self.node:
            self.said["server"].append(text)
        node.session.send(Message(text), now=self.now)
        node.session.done(number)

    # -- nodes

    def _kill(self, choice: int) -> None:
        if self.record is None:
            return
        self._take_over()
        for line in self.lines:
            if self.own_lines.get(id(line)) not in (None, self.server):
                line.alive = False
                line.server_over = True
                line.up.clear()
                line.down.clear()

    def _take_over(self) -> None:
        """Another node goes on from the record; what only the old one knew never was."""
        record = self.record
        assert record is not None
        record.epoch += 1
        copy = self.record_class(
            Write(
                epoch=record.epoch,
                first=record.acknowledged + 1,
                sent=tuple(record.sent),
                acknowledged=record.acknowledged,
                received=record.received,
                taken=tuple(record.unfinished.items()),
                done=(),
                carrier=record.carrier,
                state=None,
                is_whole=True,
            )
        )
        del self.said["server"][record.last :]
        del self.heard["server"][record.received :]
        self.node = Node(self._session(self.server.transport, record.epoch, copy))
        for number, _ in self.server.unfinished:
            # Not even begun, if the node died between the store's taking it and hearing of that.
            self.begun.append((number, True))
            self.node.running.append(number)

    def _freeze(self, choice: int) -> None:
        if self.record is not None:
            self.frozen.append(self.node)
            self._take_over()

    def _frozen_goes_on(self, choice: int) -> None:
        """It reads what its connections still have, runs its handlers, writes; and finds out with its next write."""
        if not self.frozen:
            return
        node = self.frozen.pop(choice % len(self.frozen))
        session = node.session
        before = self._copy_of_record()
        for number in list(node.running):
            self._answer(node, number)
        for line in self.lines:
            if self.own_lines.get(id(line)) is session and line.alive and not line.server_over:
                self._ghost_line(session, line)
        if node.write is None and session.owes:
            node.write = session.gather()
        if node.write is not None and not node.is_taken and self.record is not None:
            assert not self.record.apply(node.write), "a frozen node changed the record"
        assert self._copy_of_record() == before
        for line in self.lines:
            if self.own_lines.get(id(line)) is session:
                line.alive = False
                line.server_over = True
                line.up.clear()

    def _ghost_line(self, session: DurableSession, line: Line) -> None:
        assert line.server is not None
        taken = session.inbox.received
        while line.up:
            heard = list(self.heard["server"])
            server, self.server = self.server, session
            try:
                self._receive("server", line.server, line.up.pop(0))
            except (MissingMessages, RemoteProtocolError):
                line.up.clear()
            finally:
                self.server = server
                self.heard["server"] = heard
        assert session.inbox.received == taken, "a frozen node acknowledges"
        if session.has_packets(line.server, now=self.now):
            packets = session.packets_to_send(line.server, now=self.now)
            if line.client.transport == "websocket":
                line.down.extend(encode_frames(packets, counting=True))

    def _copy_of_record(self) -> tuple[object, ...]:
        record = self.record
        assert record is not None
        return (
            record.epoch,
            tuple(record.sent),
            record.acknowledged,
            record.received,
            dict(record.unfinished),
        )

    # -- which node a line leads to

    def _arrive_line(self, line: Line) -> None:
        super()._arrive_line(line)
        self.own_lines[id(line)] = self.server

    def _deliver(self, line: Line, *, down: bool) -> None:
        if not down and self.own_lines.get(id(line)) is not self.server:
            # The node is frozen: what is on its way to it stays there.
            return
        super()._deliver(line, down=down)

    def _deliver_up(self, choice: int) -> None:
        lines = [line for line in self.lines if self.own_lines.get(id(line)) is self.server]
        with_up = [line for line in lines if line.alive and line.up and not line.server_over]
        if with_up:
            line = with_up[choice % len(with_up)]
            for _ in range(min(len(line.up), 1 + choice % 5)):
                self._deliver(line, down=False)

    def _tell_all(self, choice: int) -> None:
        self._write_client(choice)
        for line in self.lines:
            while (
                line.alive
                and line.up
                and not line.server_over
                and self.own_lines.get(id(line)) is self.server
            ):
                self._deliver(line, down=False)

    def _server_notices(self, choice: int) -> None:
        if self._is_own(choice):
            super()._server_notices(choice)

    def _is_own(self, choice: int) -> bool:
        lines = [line for line in self.lines if not line.alive and line.server is not None]
        return bool(lines) and self.own_lines.get(id(lines[choice % len(lines)])) is self.server

    # -- the end

    def heal(self) -> None:
        self.is_healing = True
        self._go_on()
        super().heal()
        everything = set(range(1, len(self.said["client"]) + 1))
        assert {number for number, _ in self.begun} == everything, "a message of the client was lost"
        answers = [text for text in self.heard["client"] if str(text).startswith("answer")]
        assert sorted(answers, key=str) == sorted([f"answer{number}" for number in everything])

    def _tick(self) -> None:
        super()._tick()
        if self.is_healing:
            self._go_on()

    def _go_on(self) -> None:
        self._write_through(0)
        while self.node.running:
            self._handler_ends(0)
        self._write_through(0)
