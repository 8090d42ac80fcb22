"""Polls and POSTs of sessions that are there, answered without a coroutine.

What is decided here is decided as in transports/polling.py; whatever that has to wait for, or to look at twice, is left
to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...engine.errors import RemoteProtocolError, RequestRefused
from ...engine.host import Timer
from ...engine.live import Attachment, LiveSession
from ...engine.session import Carrier, Verdict, admit_plain
from ...engine.wire.handshake import decode_attach
from ...engine.wire.packet import Packet
from ..http import BASE_HEADERS, encode_headers, refusal_body, refusal_of, retry_headers
from ..known import find_session
from ..polling import (
    TEXT,
    answer_poll,
    seconds_to_hold,
    take_answer,
    take_body,
)
from ..request import Head as RequestHead
from ..request import check_head, check_origin, cors_headers, host_of
from .head import read_head
from .response import encode_head

if TYPE_CHECKING:
    from ..endpoint import Endpoint
    from .http import FastHttp

__all__ = ["Polls"]

_QUERY = re.compile(rb"[A-Za-z0-9_.~=&-]{1,300}")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*(?=\r\n|\Z)", re.IGNORECASE)
_ATTACH = re.compile(rb"\r\nholdfast-attach:([\t\x20-\x7e]{1,310})(?=\r\n|\Z)", re.IGNORECASE)
_END = b" HTTP/1.1"
_EMPTY_LINE = b"\r\n\r\n"
# Header blocks that a connection brings again and again; one for GETs and one for POSTs, usually.
_MOST_BLOCKS = 4
_MOST_HEAD = 8_192
# What is read twice is not read here.
_AGAIN = re.compile(rb"\r\n(content-length|holdfast-attach)[ \t]*:", re.IGNORECASE)
# More than this may be longer on its way than a call may take.
_MOST_AT_ONCE = 32_768


class Polls:
    """What one connection brings.

    Args:
        protocol: The connection.
        endpoint, path: Whose sessions they are.
    """

    __slots__ = ("_blocks", "_get", "_heads", "_named", "_post", "_protocol", "endpoint")

    def __init__(self, protocol: FastHttp, endpoint: Endpoint, path: bytes) -> None:
        self.endpoint = endpoint
        self._protocol = protocol
        self._get = b"GET " + path + b"/?"
        self._post = b"POST " + path + b"/?"
        # By the header block: what an answer to it says besides, or None where it has to be looked at.
        self._blocks: dict[bytes, list[tuple[bytes, bytes]] | None] = {}
        self._named: object = None
        self._heads: dict[str, bytes] = {}

    def take(self, data: bytes) -> bool:
        """Answer a request, if it is one for here."""
        is_post = data.startswith(self._post)
        if not is_post and not data.startswith(self._get):
            return False
        end, line_end = data.find(_EMPTY_LINE), data.find(b"\r\n")
        if end < 0 or end > _MOST_HEAD or not data.startswith(_END, line_end - len(_END)):
            return False
        query = data[len(self._post if is_post else self._get) : line_end - len(_END)]
        if _QUERY.fullmatch(query) is None:
            return False
        session = find_session(self.endpoint.table, query, is_post=is_post)
        return session is not None and self._go_on(session, data, line_end, end, is_post=is_post)

    def _go_on(self, session: LiveSession, data: bytes, line_end: int, end: int, *, is_post: bool) -> bool:
        block, length, attach = data[line_end:end], 0, b""
        found = _LENGTH.search(block)
        if found is not None:
            length = int(found[1])
            block = block[: found.start()] + block[found.end() :]
        if not is_post and session.counting:
            found = _ATTACH.search(block)
            if found is None:
                return False
            attach = found[1].strip(b" \t")
            block = block[: found.start()] + block[found.end() :]
        body_at = end + len(_EMPTY_LINE)
        if len(data) != body_at + length or (length and not is_post):
            return False
        more = self._blocks[block] if block in self._blocks else self._judge(block)
        table = self.endpoint.table
        if more is None or table.is_closing or length > session.max_payload:
            return False
        session.check_time()
        if table.sessions.get(session.sid) is not session:
            return False
        try:
            if not is_post:
                return self._poll(session, attach.decode(), more)
            return self._bring(session, data[body_at:], more)
        except (RequestRefused, RemoteProtocolError) as error:
            table.counters.refuse(error)
            self.refuse(error, more)
            return True

    def _judge(self, block: bytes) -> list[tuple[bytes, bytes]] | None:
        """Look at headers that have not come on this connection yet."""
        more = None
        head = read_head(b"GET / HTTP/1.1" + block)
        if head is not None and head.keeps and not head.upgrade and _AGAIN.search(block) is None:
            protocol = self._protocol
            scope, settings = protocol.scope_of(head, "http"), self.endpoint.table.settings
            headers = RequestHead(scope)
            try:
                check_head(scope, settings)
                check_origin(headers, settings, host=host_of(scope, headers, settings))
                more = encode_headers(cors_headers(headers, settings))
            except RequestRefused:
                pass
        if len(self._blocks) >= _MOST_BLOCKS:
            self._blocks.clear()
        self._blocks[block] = more
        return more

    # -- a GET

    def _poll(self, session: LiveSession, attach: str, more: list[tuple[bytes, bytes]]) -> bool:
        protocol, settings = self._protocol, self.endpoint.table.settings
        hold: float | None = None
        if session.counting:
            asked = decode_attach(attach)
            if asked.carrier is None:
                return False
            self.endpoint.table.find(session.sid, key=asked.key)
            attachment = session.attach("polling", number=asked.carrier, received=asked.received)
            hold = seconds_to_hold(asked, settings)
        else:
            verdict = admit_plain("poll", transport=session.transport, busy=session.attached)
            if verdict is not Verdict.ADMIT or session.is_upgrading:
                return False
            attachment = session.attach("polling")
        poll = _Poll(self, session, attachment, more)
        protocol.exchange = poll
        if session.has_packets(attachment):
            poll.flush()
        else:
            poll.wait(hold)
        return True

    # -- a POST

    def _bring(self, session: LiveSession, body: bytes, more: list[tuple[bytes, bytes]]) -> bool:
        left = None if session.is_posting else take_body(self.endpoint.table, session, body)
        if left is None:
            return False
        if left:
            self._protocol.exchange = post = _Post(self)
            session.host.begin_aside(post.go_on, session, *left, more)
        else:
            self.answer_post(session, more)
        return True

    def answer_post(self, session: LiveSession, more: list[tuple[bytes, bytes]]) -> None:
        """It is taken."""
        body = session.answer_to_post().encode() if session.counting else b"ok"
        self.write("text/html", body, more)

    async def answer_slowly(
        self, session: LiveSession, attachment: Attachment, headers: dict[str, str]
    ) -> None:
        """Answer a poll in pieces, as its client takes them."""
        exchange = self._protocol.exchange_of(keeps=True)
        settings = self.endpoint.table.settings
        await exchange.answer(answer_poll(session, attachment, exchange.send, headers, settings=settings))

    def refuse(self, error: RemoteProtocolError | RequestRefused, more: list[tuple[bytes, bytes]]) -> None:
        """Say why not."""
        refused = refusal_of(error)
        more = [*more, *encode_headers(retry_headers(refused))]
        self.write("application/json", refusal_body(refused), more, status=refused.status)

    def give_up(self) -> None:
        """There will be no answer."""
        self._protocol.exchanged(keeps=False)

    def write(
        self, content_type: str, body: bytes, more: list[tuple[bytes, bytes]], *, status: int = 200
    ) -> None:
        """Write a whole answer."""
        protocol = self._protocol
        named = protocol.server_state.default_headers
        if named is not self._named:
            # The server says the time in them.
            self._named = named
            self._heads.clear()
        exchange = protocol.exchange
        keeps = exchange is None or exchange.keeps
        if status == 200 and keeps and not more:
            start = self._heads.get(content_type)
            if start is None:
                head = encode_head(
                    200, [*named, *encode_headers({"content-type": content_type, **BASE_HEADERS})]
                )
                start = self._heads[content_type] = head[:-2]
            protocol.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body))
        else:
            headers = {"content-type": content_type, "content-length": str(len(body)), **BASE_HEADERS}
            end = [] if keeps else [(b"connection", b"close")]
            protocol.transport.write(
                encode_head(status, [*named, *encode_headers(headers), *more, *end]) + body
            )
        protocol.exchanged(keeps=keeps)


class _Poll:
    """A poll that is held, or answered: what serves its carrier."""

    __slots__ = ("_attachment", "_more", "_polls", "_session", "_timer", "keeps")

    def __init__(
        self, polls: Polls, session: LiveSession, attachment: Attachment, more: list[tuple[bytes, bytes]]
    ) -> None:
        self._polls = polls
        self._session = session
        self._attachment: Attachment | None = attachment
        self._more = more
        self._timer: Timer | None = None
        self.keeps = True

    def wait(self, seconds: float | None) -> None:
        """Until it is rung for."""
        assert self._attachment is not None
        self._attachment.begin_direct(self, answer=self.answer)
        if seconds is not None:
            self._timer = self._session.host.call_later(seconds, self.flush)

    def _leave(self) -> Attachment | None:
        attachment, self._attachment = self._attachment, None
        if self._timer is not None:
            self._timer.cancel()
        if attachment is not None:
            attachment.end_direct()
        return attachment

    def answer(self, text: str, task: object) -> None:
        """Answer, with the text of one message."""
        session, attachment = self._session, self._leave()
        assert attachment is not None
        session.poll_answered(attachment)
        self._polls.write(TEXT, b"4" + text.encode(), self._more)
        session.detach(attachment)

    def flush(self) -> None:
        """Answer, with what there is."""
        session, attachment = self._session, self._leave()
        if attachment is None:
            return
        if session.buffered_bytes > _MOST_AT_ONCE:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._more}
            session.host.begin_aside(self._polls.answer_slowly, session, attachment, headers)
            return
        body, _ = take_answer(session, attachment)
        session.poll_answered(attachment)
        self._polls.write(TEXT, body, self._more)
        session.detach(attachment)

    cut = flush

    def gone(self) -> None:
        """The client has left."""
        attachment = self._leave()
        if attachment is not None:
            self._session.detach(attachment)

    def wake(self) -> None:
        """Nothing here waits to write."""


class _Post:
    """A POST that is taken at the pace of the application."""

    __slots__ = ("_is_gone", "_polls", "keeps")

    def __init__(self, polls: Polls) -> None:
        self._polls = polls
        self._is_gone = False
        self.keeps = True

    async def go_on(
        self,
        session: LiveSession,
        carrier: Carrier,
        packets: Iterator[Packet],
        more: list[tuple[bytes, bytes]],
    ) -> None:
        """Take the rest, and answer."""
        try:
            with session.posting():
                await session.receive_rest(carrier, packets)
        except RemoteProtocolError as error:
            if not self._is_gone:
                self._polls.refuse(error, more)
            return
        except BaseException:
            self._polls.give_up()
            raise
        if not self._is_gone:
            self._polls.answer_post(session, more)

    def gone(self) -> None:
        """The client has left."""
        self._is_gone = True

    def wake(self) -> None:
        """Nothing here waits to write."""
