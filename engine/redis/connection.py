"""One connection to a Redis or Valkey, made again whenever it is lost.

Rules:

1. Who asks while there is none waits for the next one, as long as he is willing to.
2. What was written and not answered when a connection is lost fails; it may have been carried out. Nothing is sent
   twice.
3. A connection is up when it answers. One that is quiet is asked every few seconds, and given up if it does not answer.
4. The first attempt comes at once, later ones after a time that doubles, with chance in it, up to two seconds.
5. The log has one line when it is lost and one when it is there again, and none of them says who we are.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from ..errors import BrokerRefused, BrokerUnavailable
from ..host import Host
from .address import RedisAddress
from .script import RedisScript

if TYPE_CHECKING:
    from .client import Client, Request

__all__ = ["RedisConnection", "Reply", "Word"]

logger = logging.getLogger("holdfast.redis")

Word = str | bytes | int | float
"""One part of a command."""

Reply = object
"""What the broker says, as RESP3 has it: bytes, int, float, bool, None, list, dict, set."""

Push = Callable[[Sequence[object]], None]
Prepare = Callable[[], Awaitable[None]]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


class RedisConnection:
    """Commands, pipelines, scripts and what the broker says unasked, on asyncio and on Trio.

    Several commands at once share the connection: they are written in the order of the calls, those of one turn of the
    event loop together, and answered in that order. A command that blocks in the broker keeps all others waiting, so it
    needs a connection of its own.

    Args:
        address: Where.
        host: Runs what keeps it alive.
        name: What the log calls it.
        scripts: Those that it knows: see `RedisScript.words`.
        on_push: Called with what comes unasked (subscriptions); must not wait.
        prepare: Awaited with each new connection, before anybody else may use it: what it sends goes by `write`.
        on_lost: Called when a connection that was up is no more.
        quiet_seconds: After which one that says nothing is asked whether it is there.
        timeout_seconds: For a command, the wait for a connection included; and for a connection to be made.

    Raises:
        ModuleNotFoundError: ``holdfast[redis]`` is not installed.
    """

    def __init__(
        self,
        address: RedisAddress,
        host: Host,
        *,
        name: str = "Redis",
        scripts: Iterable[RedisScript] = (),
        on_push: Push | None = None,
        prepare: Prepare | None = None,
        on_lost: Callable[[], None] | None = None,
        quiet_seconds: float = 5.0,
        timeout_seconds: float = 5.0,
    ) -> None:
        # What is not installed is said where the application is made.
        _client()
        self.address = address
        self.name = name
        self.timeout_seconds = timeout_seconds
        self.made = 0
        self.last_error = ""
        self._reset_why = ""
        self._host = host
        self._scripts = {script.digest: script for script in scripts}
        self._on_push = on_push
        self._prepare = prepare
        self._on_lost = on_lost
        self._quiet = quiet_seconds
        # While it is prepared, it is there for who prepares it and not for others.
        self._raw: Client | None = None
        self._is_up = False
        self._changed = anyio.Event()
        # Set when what keeps it is to end; None while nothing does.
        self._stop: anyio.Event | None = None
        self._kept = 0
        self._lost_since: float | None = None
        self._back_at: float | None = None

    # -- its life

    @property
    def is_up(self) -> bool:
        """Whether it is there now."""
        # It may be lost, and we have not heard of it yet.
        return self._is_up and self._raw is not None and self._raw.usable

    @property
    def seconds_back(self) -> float:
        """For how long it is there again after it was lost, or could not be made: 0 while it is not; infinite if that
        never was."""
        if self._lost_since is not None or (self.made and self.is_open and not self.is_up):
            return 0.0
        return math.inf if self._back_at is None else self._host.now() - self._back_at

    @property
    def is_open(self) -> bool:
        """Whether it is kept: there, or to be there soon."""
        return self._stop is not None

    @property
    def is_over(self) -> bool:
        """Whether it is closed, and nothing of it runs any more."""
        return not self._kept

    def open(self) -> None:
        """Begin to connect; idempotent. In a running event loop."""
        if self._stop is None:
            self._stop = anyio.Event()
            # The one before may belong to another event loop.
            self._changed = anyio.Event()
            self._host.spawn_aside(self._keep, self._stop)

    def close(self) -> None:
        """End it; who waits for answers gets an error. Idempotent; `open` begins again."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop.set()
            raw = self._raw
            self._down()
            if raw is not None:
                raw.invalidate("it is closed")

    async def over(self) -> None:
        """Return when it is closed and nothing of it runs any more, or it is opened again."""
        while self._kept and self._stop is None:
            await self._changed.wait()

    def reset(self, why: str) -> None:
        """Give up the connection that there is, and make another."""
        if self._raw is not None:
            self._reset_why = why
            self._raw.invalidate(why)

    async def up(self, timeout: float | None = None) -> None:
        """Return when it is there.

        Raises:
            BrokerUnavailable: not in that time (`timeout_seconds` unless told otherwise), or it is closed.
        """
        if self.is_up:
            return
        with anyio.move_on_after(self.timeout_seconds if timeout is None else timeout):
            while not self.is_up and self._stop is not None:
                await self._changed.wait()
        if not self.is_up:
            raise self._unavailable()

    # -- what it is for

    async def command(self, *words: Word, timeout: float | None = None) -> Reply:
        """Send one command and wait for its reply. Cancelled, it may be carried out all the same.

        Args:
            timeout: For the wait for a connection, and then for the reply.

        Raises:
            BrokerUnavailable: no reply came. Its ``uncertain`` says whether it may have been carried out.
            BrokerRefused: the broker says that it is wrong.
        """
        await self.up(timeout)
        reply = await self._reply(self._request(words, timeout))
        if isinstance(reply, BrokerRefused):
            raise reply
        return reply

    async def pipeline(
        self, commands: Iterable[Sequence[Word]], *, atomic: bool = False, timeout: float | None = None
    ) -> list[Reply]:
        """Send several at once and wait for all their replies: one way there and back.

        Args:
            atomic: As one transaction: nothing of others comes between them.
            timeout: As of `command`.

        Returns:
            In their order; in the place of one that is wrong, a `BrokerRefused`.

        Raises:
            BrokerUnavailable: not all replies came. If it is ``uncertain``, any of them may have been carried out.
            BrokerRefused: the transaction as a whole is wrong; nothing was carried out.
        """
        await self.up(timeout)
        if atomic:
            commands = [("MULTI",), *commands, ("EXEC",)]
        requests = [self._request(words, timeout) for words in commands]
        replies = [await self._reply(request) for request in requests]
        if not atomic:
            return replies
        last = replies[-1]
        if isinstance(last, BrokerRefused):
            raise last
        return [self._told(reply) for reply in cast("list[Reply]", last)]

    async def run(
        self, script: RedisScript, keys: Sequence[Word], *args: Word, timeout: float | None = None
    ) -> Reply:
        """Run a script, which need not be one of those that the connection was made with.

        Raises:
            BrokerUnavailable, BrokerRefused: as `command`.
        """
        try:
            return await self.command(*script.words(keys, args), timeout=timeout)
        except BrokerRefused as error:
            if error.kind != "NOSCRIPT":
                raise
        return await self.command("EVAL", script.text, len(keys), *keys, *args, timeout=timeout)

    def write(self, *words: Word) -> None:
        """Send what has no reply (to subscribe), if there is a connection; nothing otherwise."""
        if self._raw is not None:
            self._raw.tell(words)

    def _request(self, words: Sequence[Word], timeout: float | None) -> Request:
        if self._raw is None:
            raise self._unavailable()
        try:
            return self._raw.ask(words, self.timeout_seconds if timeout is None else timeout)
        except ConnectionError as error:
            raise self._unavailable(error) from error

    async def _reply(self, request: Request) -> Reply:
        return self._told(await request)

    def _told(self, reply: Reply) -> Reply:
        """Raises:
        BrokerUnavailable: it is none.
        """
        if not isinstance(reply, BaseException):
            return reply
        refused = _client().refusal(reply)
        if refused is None:
            raise self._unavailable(reply, uncertain=True) from reply
        if refused.kind == "READONLY":
            # What we speak to is not the one to speak to any more: the name may lead to another one by now.
            self.reset("it only reads")
        return refused

    def _unavailable(
        self, error: BaseException | None = None, *, uncertain: bool = False
    ) -> BrokerUnavailable:
        why = _reason(error) if error is not None else self.last_error or "it is closed"
        return BrokerUnavailable(
            f"{self.name} at {self.address} cannot be reached: {why}", uncertain=uncertain
        )

    # -- what keeps it

    async def _keep(self, stop: anyio.Event) -> None:
        self._kept += 1
        try:
            await self._supervise(stop)
        finally:
            self._kept -= 1
            self._tell()

    async def _supervise(self, stop: anyio.Event) -> None:
        pause = 0.0
        while not stop.is_set():
            before = self.made
            try:
                await self._live(stop)
                why = "the connection was lost"
            except Exception as error:
                # Whatever it is: only an attempt that succeeds ends it.
                why = _reason(error)
            if stop.is_set():
                return
            if self.made != before:
                pause = 0.0
            self._complain(why)
            with anyio.move_on_after(pause * random.uniform(0.5, 1.5)):
                await stop.wait()
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)

    def _complain(self, why: str) -> None:
        self.last_error = self._reset_why or why
        self._reset_why = ""
        if self._lost_since is None:
            self._lost_since = self._host.now()
            logger.warning("%s at %s cannot be reached: %s", self.name, self.address, self.last_error)
        else:
            logger.debug("%s at %s still cannot be reached: %s", self.name, self.address, self.last_error)

    async def _live(self, stop: anyio.Event) -> None:
        """One connection, from its making to its end."""
        with anyio.fail_after(self.timeout_seconds):
            raw = await _client().Client.connect(self.address)
        self._reset_why = ""
        made, lost = anyio.Event(), anyio.Event()

        async def run(*, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
            try:
                await raw.run(task_status=task_status)
            finally:
                lost.set()

        async def give_up() -> None:
            # Not by a cancellation, which would be logged there as a failure.
            with anyio.move_on_after(self.timeout_seconds):
                await stop.wait()
            if not made.is_set():
                await raw.break_off()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(give_up)
                await group.start(run)
                made.set()
                if not stop.is_set():
                    self._raw = raw
                    if self._on_push is not None:
                        group.start_soon(raw.hear, self._on_push)
                    await self._begin()
                    if not stop.is_set():
                        self._is_up = True
                        self.last_error = ""
                        self.made += 1
                        self._tell()
                        await self._watch(lost)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            if self._raw is raw:
                self._down()

    def _down(self) -> None:
        self._raw = None
        was_up, self._is_up = self._is_up, False
        self._tell()
        if was_up and self._on_lost is not None:
            self._on_lost()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _begin(self) -> None:
        wanted: list[tuple[Word, ...]] = [("PING",)]
        wanted += [("SCRIPT", "LOAD", script.text) for script in self._scripts.values()]
        requests = [self._request(words, None) for words in wanted]
        for request in requests:
            reply = await self._reply(request)
            if isinstance(reply, BrokerRefused):
                raise reply
        if self._prepare is not None:
            await self._prepare()
        if self._lost_since is not None:
            self._back_at = self._host.now()
            seconds = self._back_at - self._lost_since
            self._lost_since = None
            logger.info("%s at %s is there again after %.1f s", self.name, self.address, seconds)

    async def _watch(self, lost: anyio.Event) -> None:
        """Return when it is over, or does not answer."""
        while not lost.is_set():
            with anyio.move_on_after(self._quiet):
                await lost.wait()
                return
            request = self._request(("PING",), None)
            reply = await self._reply(request)
            if isinstance(reply, BrokerRefused):
                raise reply


def _client():
    """Raises:
    ModuleNotFoundError: ``holdfast[redis]`` is not installed.
    """
    try:
        from . import client
    except ModuleNotFoundError as error:
        missing = f"what speaks to Redis is not installed ({error.name}): pip install 'holdfast[redis]'"
        raise ModuleNotFoundError(missing, name=error.name) from error
    return client


def _reason(error: BaseException) -> str:
    """What went wrong, without the outer words of those who passed it on."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
