"""Two real sessions and a network that does to them what networks do.

A schedule is a list of steps; each step is a kind and a number that chooses among what is possible at that moment, so
that any list is a valid schedule and Hypothesis can shrink it freely. After every step, each side must have heard a
prefix of what the other said, nothing is acknowledged that was not handed over, and neither keeps more than its bound;
when the network is healed at the end, both are level.

In an `EndingNetwork` sessions also end, by either side or because more waits than may: then what was heard before stays
a prefix, what was sent before an orderly end arrives, and nothing is kept any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from holdfast.engine.errors import MissingMessages, SessionClosed, StaleAttach
from holdfast.engine.session import CloseReason, Life
from holdfast.engine.session.carrier import Carrier, Role
from holdfast.engine.session.client import ClientSession
from holdfast.engine.session.server import ServerSession
from holdfast.engine.wire.handshake import decode_attach, encode_attach
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.packet import Packet, PacketType, encode_packet
from holdfast.engine.wire.payload import decode_payload, encode_frames, encode_payload

__all__ = ["ENDS", "KINDS", "EndingNetwork", "RandomNetwork", "schedules"]

KINDS = (
    "say_client",
    "say_server",
    "attach_websocket",
    "attach_stream",
    "attach_poll",
    "arrive",
    "arrive_again",
    "write_server",
    "write_client",
    "deliver_up",
    "deliver_down",
    "post",
    "post_arrives",
    "post_again",
    "post_answered",
    "cut",
    "server_notices",
    "client_notices",
    "time_passes",
    "attach_now",
    "post_now",
    "post_late",
    "ack_overtakes",
    "hear_all",
    "tell_all",
)

ENDS = ("server_closes", "server_fails", "client_leaves", "much_waits")

TEXTS: tuple[str | bytes, ...] = (
    "",
    "\x1e",
    "a\r\nb",
    "\ufeffé\x00",
    "4",
    "\U0001f600",
    b"",
    b"\x00\xff\x1e",
)


def _frames(text: str | bytes) -> list[Packet]:
    if isinstance(text, bytes):
        return [(PacketType.MESSAGE, text)]
    return list(decode_payload(text, counting=True))


@dataclass
class Line:
    """One carrier with what is in flight on it, each way. ``alive`` is about the network, not about who knows."""

    client: Carrier
    attach: str
    server: Carrier | None = None
    up: list[str | bytes] = field(default_factory=list[str | bytes])
    down: list[str | bytes] = field(default_factory=list[str | bytes])
    arrived: bool = False
    alive: bool = True
    client_over: bool = False
    server_over: bool = False


@dataclass
class Post:
    """One POST in flight: its body, and its answer once it has arrived."""

    body: str
    carrier: Carrier
    answers: list[str] = field(default_factory=list[str])


@st.composite
def schedules(draw: st.DrawFn, *, ends: bool = False) -> list[tuple[str, int]]:
    """Schedules without some kinds of step: a bug that needs ten in order drowns where cuts are everywhere."""
    missing = draw(st.sets(st.sampled_from(KINDS), max_size=10))
    kinds = [kind for kind in KINDS if kind not in missing]
    if ends:
        before = draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 11)), max_size=40))
        end = draw(st.tuples(st.sampled_from(ENDS), st.integers(0, 11)))
        after = draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 11)), max_size=30))
        return [*before, end, *after]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 11)), min_size=20, max_size=90))


class RandomNetwork:
    """The two sessions and everything between them."""

    server_class = ServerSession
    client_class = ClientSession
    limit_bytes = 10_000_000

    def __init__(self, opening: str) -> None:
        self.now = 100.0
        self.server = self.server_class(
            transport=opening,
            counting=True,
            ping_interval=10.0,
            ping_timeout=5.0,
            grace=1e9,
            limit_bytes=self.limit_bytes,
            now=self.now,
        )
        self.client = self.client_class(key="key", transport=opening, limit_bytes=self.limit_bytes)
        first = Line(self.client.opening, "", self.server.opening, arrived=True)
        self.lines = [first]
        self.posts: list[Post] = []
        self.said: dict[str, list[str | bytes]] = {"client": [], "server": []}
        self.heard: dict[str, list[str | bytes]] = {"client": [], "server": []}
        self.changes = 0

    # -- running a schedule

    def step(self, kind: str, choice: int) -> None:
        getattr(self, f"_{kind}")(choice)
        self.check()

    def check(self) -> None:
        for speaker, hearer in (("client", "server"), ("server", "client")):
            heard = self.heard[hearer]
            assert heard == self.said[speaker][: len(heard)], (
                f"{hearer} did not hear a prefix of what {speaker} said"
            )
        for mine, theirs in ((self.client, "server"), (self.server, "client")):
            assert mine.outbox.acknowledged <= len(self.heard[theirs]), "acknowledged and not handed over"
            assert mine.outbox.size_bytes <= mine.limit_bytes, "more is kept than may be"
        self._check_lives()

    def _check_lives(self) -> None:
        newest = self._newest_line()
        assert newest is None or self.server.writer is newest.server, "the newest carrier does not write"
        assert self.server.life is Life.OPEN, self.server.reason
        assert self.client.life is Life.OPEN, self.client.reason

    def heal(self) -> None:
        """A perfect network from here on: what carries both ways already brings all of it, and so does one more."""
        line = self._writing_line()
        if line is not None and line.alive and line.client is self.client.writer and not line.client_over:
            self._level(line)
        self._attach_websocket(0)
        line = self.lines[-1]
        self._arrive_line(line)
        self._level(line)

    def _level(self, line: Line) -> None:
        for _ in range(7):
            # First all that is under way, and then time: a pong that is still to come may be nearly too late.
            self._write_server(0)
            while line.down:
                self._deliver(line, down=True)
            self._write_client(0)
            while line.up:
                self._deliver(line, down=False)
            self.now += 2.0
            self._tick()
        self.check()
        for speaker, hearer in (("client", "server"), ("server", "client")):
            assert self.heard[hearer] == self.said[speaker], f"{hearer} did not hear all of {speaker}"
        for outbox in (self.client.outbox, self.server.outbox):
            assert outbox.acknowledged == outbox.last
            assert outbox.size_bytes == 0

    # -- what may happen

    def _say(self, who: str, choice: int) -> None:
        said = self.said[who]
        content = TEXTS[choice % len(TEXTS)]
        mark = f"{who}{len(said) + 1}"
        text = mark.encode() + content if isinstance(content, bytes) else mark + content
        said.append(text)
        session = self.client if who == "client" else self.server
        session.send(Message(text), now=self.now)

    def _say_client(self, choice: int) -> None:
        for extra in range(1 + choice % 4):
            self._say("client", choice + extra)

    def _say_server(self, choice: int) -> None:
        for extra in range(1 + choice % 4):
            self._say("server", choice + extra)

    def _attach_websocket(self, choice: int) -> None:
        self._attach("websocket")

    def _attach_stream(self, choice: int) -> None:
        self._attach("stream")

    def _attach_poll(self, choice: int) -> None:
        self._attach("polling")

    def _attach(self, transport: str) -> None:
        carrier = self.client.attach(transport)
        self.lines.append(Line(carrier, encode_attach(self.client.attach_value(carrier))))

    def _arrive(self, choice: int) -> None:
        waiting = [line for line in self.lines if not line.arrived]
        if waiting:
            self._arrive_line(waiting[choice % len(waiting)])

    def _arrive_again(self, choice: int) -> None:
        """An intermediary repeats a GET; the first response goes nowhere."""
        lines = [
            line
            for line in self.lines
            if line.arrived and line.attach and line.client.transport != "websocket"
        ]
        if lines:
            line = lines[choice % len(lines)]
            self.lines.append(Line(line.client, line.attach, client_over=True, alive=False))
            self._arrive_line(self.lines[-1])

    def _arrive_line(self, line: Line) -> None:
        line.arrived = True
        value = decode_attach(line.attach)
        assert value.carrier is not None
        try:
            line.server = self.server.attach(
                line.client.transport, number=value.carrier, received=value.received, now=self.now
            )
            self.changes += 1
        except StaleAttach:
            line.alive = False

    def _writing_line(self) -> Line | None:
        for line in self.lines:
            if line.server is not None and line.server is self.server.writer and not line.server_over:
                return line
        return None

    def _newest_line(self) -> Line | None:
        """The line with the highest carrier number that has arrived; of two with the same, the later."""
        newest: Line | None = None
        for line in self.lines:
            number, best = line.client.number or 0, -1 if newest is None else newest.client.number or 0
            if line.server is not None and number >= best:
                newest = line
        return None if newest is None or newest.server_over else newest

    def _write_server(self, choice: int) -> None:
        line = self._writing_line()
        if line is None or line.server is None or not self.server.has_packets(line.server, now=self.now):
            return
        limit = (None, 1, 40)[choice % 3]
        packets = self.server.packets_to_send(line.server, now=self.now, limit_bytes=limit)
        if line.client.transport == "websocket":
            line.down.extend(encode_frames(packets, counting=True))
        elif packets:
            line.down.append(encode_payload(packets, counting=True))
        if line.client.transport == "polling":
            line.server_over = True
            self.server.detach(line.server, now=self.now)

    def _write_client(self, choice: int) -> None:
        for line in self.lines:
            if (
                line.client is self.client.writer
                and line.client.transport == "websocket"
                and not line.client_over
            ):
                packets = self.client.packets_to_send(line.client, now=self.now)
                line.up.extend(encode_frames(packets, counting=True))

    def _deliver_up(self, choice: int) -> None:
        lines = [line for line in self.lines if line.alive and line.up and not line.server_over]
        if lines:
            line = lines[choice % len(lines)]
            for _ in range(min(len(line.up), 1 + choice % 5)):
                self._deliver(line, down=False)

    def _deliver_down(self, choice: int) -> None:
        lines = [line for line in self.lines if line.alive and line.down and not line.client_over]
        if lines:
            line = lines[choice % len(lines)]
            for _ in range(min(len(line.down), 1 + choice % 5)):
                self._deliver(line, down=True)

    def _deliver(self, line: Line, *, down: bool) -> None:
        frame = (line.down if down else line.up).pop(0)
        if down:
            self._receive("client", line.client, frame)
        else:
            assert line.server is not None
            self._receive("server", line.server, frame)

    def _receive(self, who: str, carrier: Carrier, frame: str | bytes) -> None:
        session = self.client if who == "client" else self.server
        for packet in _frames(frame):
            message = session.receive(carrier, packet, now=self.now)
            if message is not None:
                self.heard[who].append(message)

    def _post(self, choice: int) -> None:
        body = encode_payload(self.client.post(limit_bytes=(None, 40)[choice % 2]), counting=True)
        self.posts.append(Post(body, Carrier("polling", Role.BRINGER)))

    def _post_arrives(self, choice: int) -> None:
        waiting = [post for post in self.posts if not post.answers]
        if waiting:
            self._run_post(waiting[choice % len(waiting)])

    def _post_again(self, choice: int) -> None:
        if self.posts:
            self._run_post(self.posts[choice % len(self.posts)])

    def _run_post(self, post: Post) -> None:
        attach, *packets = decode_payload(post.body, counting=True)
        bringer = self.server.bring(received=decode_attach(attach[1]).received, now=self.now)
        try:
            for packet in packets:
                message = self.server.receive(bringer, packet, now=self.now)
                if message is not None:
                    self.heard["server"].append(message)
            post.answers.append(self.server.answer_to_post())
        except MissingMessages as gap:
            answer = encode_packet(PacketType.ATTACH, f'{{"received":{gap.received}}}')
            post.answers.append(answer)

    def _post_answered(self, choice: int) -> None:
        answered = [post for post in self.posts if post.answers]
        if answered:
            post = answered[choice % len(answered)]
            self._receive("client", post.carrier, post.answers[choice % len(post.answers)])

    def _cut(self, choice: int) -> None:
        lines = [line for line in self.lines if line.alive and line.arrived]
        if lines:
            line = lines[choice % len(lines)]
            line.alive = False
            line.up.clear()
            line.down.clear()

    def _server_notices(self, choice: int) -> None:
        lines = [line for line in self.lines if not line.alive and line.server is not None]
        if lines:
            line = lines[choice % len(lines)]
            line.server_over = True
            assert line.server is not None
            self.server.detach(line.server, now=self.now, reason=CloseReason.TRANSPORT_CLOSE)

    def _client_notices(self, choice: int) -> None:
        lines = [line for line in self.lines if not line.alive and not line.client_over]
        if lines:
            line = lines[choice % len(lines)]
            line.client_over = True
            self.client.detach(line.client, now=self.now)

    def _time_passes(self, choice: int) -> None:
        self.now += (0.1, 0.6, 4.0, 11.0)[choice % 4]
        self._tick()

    def _tick(self) -> None:
        silent = self.server.tick(now=self.now)
        for line in self.lines:
            if silent is not None and line.server is silent:
                line.alive = False
                line.server_over = True

    # -- several steps at once: what a quick network does between two slow ones

    def _attach_now(self, choice: int) -> None:
        self._attach("websocket")
        self._arrive_line(self.lines[-1])

    def _post_now(self, choice: int) -> None:
        self._post(choice)
        self._run_post(self.posts[-1])

    def _post_late(self, choice: int) -> None:
        """A POST that was on its way while a new carrier's answer came back."""
        self._post(0)
        self._hear_all(choice)
        self._run_post(self.posts[-1])

    def _ack_overtakes(self, choice: int) -> None:
        """What the old carrier still brought is acknowledged by a POST before the new one has written anything."""
        self._write_server(0)
        self._attach_now(choice)
        for line in self.lines[:-1]:
            while line.alive and line.down and not line.client_over:
                self._deliver(line, down=True)
        self._post_now(choice)

    def _hear_all(self, choice: int) -> None:
        self._write_server(choice)
        for line in self.lines:
            while line.alive and line.down and not line.client_over:
                self._deliver(line, down=True)

    def _tell_all(self, choice: int) -> None:
        self._write_client(choice)
        for line in self.lines:
            while line.alive and line.up and not line.server_over:
                self._deliver(line, down=False)


class EndingNetwork(RandomNetwork):
    """One in which sessions end. What is over takes nothing any more, as its server knows it no more."""

    limit_bytes = 20_000

    @property
    def is_over(self) -> bool:
        return Life.CLOSED in (self.server.life, self.client.life)

    def step(self, kind: str, choice: int) -> None:
        if not self.is_over or kind in ("say_client", "say_server", "time_passes"):
            super().step(kind, choice)
        else:
            # What is still under way arrives, in either direction.
            for line in self.lines:
                while line.up and line.server is not None:
                    self._deliver(line, down=False)
                while line.down:
                    self._deliver(line, down=True)
            self.check()

    def _check_lives(self) -> None:
        if self.server.life is Life.OPEN and self.client.life is Life.OPEN:
            super()._check_lives()
        for session in (self.server, self.client):
            if session.life is Life.CLOSED:
                assert session.outbox.size_bytes == 0, "what is over keeps messages"
                assert session.budget.used_bytes == 0
                assert session.reason is not None

    def _say(self, who: str, choice: int) -> None:
        session = self.client if who == "client" else self.server
        if session.life is Life.OPEN:
            super()._say(who, choice)
            return
        try:
            session.send(Message("too late"), now=self.now)
        except SessionClosed:
            return
        raise AssertionError("what is over takes messages")

    def _server_closes(self, choice: int) -> None:
        self.server.close(CloseReason.FORCED_SERVER_CLOSE, now=self.now)
        assert self.server.life is Life.CLOSING, "it is over before it has said what it was to say"

    def _server_fails(self, choice: int) -> None:
        self.server.fail(CloseReason.PARSE_ERROR)

    def _client_leaves(self, choice: int) -> None:
        post = encode_payload([*self.client.post(), encode_packet(PacketType.CLOSE)], counting=True)
        self._run_post(Post(post, Carrier("polling", Role.BRINGER)))
        assert self.heard["server"] == self.said["client"]
        assert self.server.life is Life.CLOSED

    def _much_waits(self, choice: int) -> None:
        while self.server.life is Life.OPEN:
            self.said["server"].append("x" * 2_000)
            self.server.send(Message("x" * 2_000), now=self.now)
            self.check()
        assert self.server.reason is CloseReason.BUFFER_FULL

    def heal(self) -> None:
        if self.server.life is Life.OPEN:
            super().heal()
        elif self.server.life is Life.CLOSING:
            self._attach_now(0)
            for _ in range(7):
                self._write_server(0)
                self._hear_all(0)
                self._write_client(0)
                for line in self.lines:
                    while line.alive and line.up and not line.server_over:
                        self._deliver(line, down=False)
            assert self.heard["client"] == self.said["server"], "what was said before the end did not arrive"
            assert self.client.life is Life.CLOSED
            assert self.server.life is Life.CLOSED
        self.check()
