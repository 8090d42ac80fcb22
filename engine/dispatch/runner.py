"""Runs the handlers of one socket.

1. Handlers run one after the other, in the order in which the events came, `connect` first and `disconnect` last. They
   run in a task that exists only while there is something to run; it belongs to no carrier.
2. A handler that was registered as concurrent begins in its turn and is not waited for.
3. Which handler it is, is looked up in its turn: an earlier one may have registered or removed it.
4. However a handler ends, in a cancellation of its own task or in `SystemExit` too, the next one runs. What it was to
   answer becomes an error; only the end of the event loop ends the task.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import (
    ConnectionRefusedError,  # noqa: A004 - the name that users know
    Disconnected,
    EventError,
    LocalProtocolError,
    SessionClosed,
)
from ..hands import DONE, Begun, ended, failed
from ..host import Event, Task, make_event, running_task
from ..session.reason import CloseReason
from ..subprotocols.socketio import EventReceived
from ..wire.packet import new_tuple
from ..wire.socketio import EventFields
from .acks import Ack, Answer, error_answer
from .handlers import Handler, HandlerCancelled, WrongArguments, guard
from .listeners import ANY_EVENT

if TYPE_CHECKING:
    from .membership import Membership

__all__ = ["FAILED", "REFUSED", "Connecting", "Runner"]

# What a peer is told that the application says nothing to.
REFUSED = "Connection refused"
FAILED = "internal error"

logger = logging.getLogger("holdfast.dispatch")

# How long who comes back waits for the handlers of the socket that was lost.
_PATIENCE = 5.0
# What most answer with.
_PLAIN = frozenset((str, dict, list, int, float, bool))
_FAREWELLS = ("disconnecting", "disconnect")


class Connecting(NamedTuple):
    """A peer asks to enter: connection middleware, and who decides last."""

    middleware: list[Handler]
    handler: Handler | None


class _Received(NamedTuple):
    event: EventReceived
    size_bytes: int
    memory_bytes: int
    # It came after so many acknowledgements for which somebody waited (`LiveSession.gone_on`).
    awakened: int


class _Disconnect(NamedTuple):
    reason: CloseReason


def _received(event: EventFields) -> EventReceived:
    return event if isinstance(event, EventReceived) else EventReceived(*event)


class _Course:
    """One event on its way through middleware to its handler."""

    __slots__ = ("ack", "event", "handler", "has_run")

    def __init__(self, handler: Handler | None, event: EventReceived, ack: Ack | None) -> None:
        self.handler = handler
        self.event = event
        self.ack = ack
        # To the end, without failing.
        self.has_run = False

    @property
    def name(self) -> str:
        """For the log, where a peer's own words do not belong."""
        return ANY_EVENT if self.handler is None else self.handler.event


class Runner:
    """See the module."""

    __slots__ = ("_before", "_beside", "_idle", "_member", "_queue", "_running")

    def __init__(self, member: Membership) -> None:
        self._member = member
        # How many concurrent handlers run.
        self._beside = 0
        # Only while there is something in it, or something runs.
        self._queue: deque[Connecting | _Received | _Disconnect] | None = None
        self._running = False
        self._idle: Event | None = None
        self._before: Runner | None = None

    def follow(self, before: Runner) -> None:
        """Begin only when another one is done."""
        self._before = before

    def push_connect(self, middleware: list[Handler], handler: Handler | None) -> None:
        self._member.session.change_begins()
        self._push(Connecting(middleware, handler))

    def wants(self, event: str) -> bool:
        """Whether there is anything to run for an event, as far as can be known now (rule 3)."""
        listeners = self._member.listeners
        return (
            self._running
            or listeners.handler_or_any(event) is not None
            or bool(listeners.any() or listeners.middleware("event"))
        )

    @property
    def is_running(self) -> bool:
        """Whether a handler runs, or is about to."""
        return self._running

    def run_at_once(self, event: EventFields) -> bool:
        """Run its handler, where `LiveSession.begins_at_once` and nothing else has to be done for it: whether that is
        so. What is only looked up in its turn is in its turn now (rule 3)."""
        if self._running or self._before is not None:
            return False
        member = self._member
        _, name, args, _ = event
        handler = member.listeners.simple(name, len(args) + 1)
        if handler is None:
            return False
        live = member.session.live
        entered = live.enter()
        if entered is None:
            return False
        self._running = True
        context = copy_context()
        try:
            rest = context.run(self._try, handler, event, entered.task)
            if rest is not None or self._queue:
                # What is queued, not yet as this task, which may have an answer to write.
                rest = self._run(rest)
            elif self._idle is None and not member.is_gone:
                # All that `_end_turn` would do.
                self._running, self._queue = False, None
            else:
                self._end_turn()
        except BaseException as error:
            rest = failed(error)
        live.ran(entered, context, rest)
        return True

    def push_event(self, event: EventFields, size_bytes: int, memory_bytes: int) -> None:
        """Let its handler have it in its turn.

        Args:
            size_bytes: What it came as.
            memory_bytes: What it takes as long as it waits.
        """
        awakened = self._member.session.live.awakened
        self._push(new_tuple(_Received, (_received(event), size_bytes, memory_bytes, awakened)))

    def drop_events(self) -> str:
        """See `Backlog`: the events that wait for their turn."""
        queue, dropped = self._queue or deque(), 0
        # It stays the same one: a turn may be in the middle of it.
        for _ in range(len(queue)):
            job = queue.popleft()
            if isinstance(job, _Received):
                dropped += 1
                self._dropped(job.event)
                self._member.session.event_taken(job.size_bytes, job.memory_bytes)
            else:
                queue.append(job)
        name, namespace = self._member.session.live.name, self._member.registry.name
        return f"session {name}: {dropped} events of a socket in {namespace!r}" if dropped else ""

    def _dropped(self, event: EventReceived) -> None:
        """An event will not be handled."""

    def push_disconnect(self, reason: CloseReason) -> None:
        if self._running or any(self._member.farewells(name) for name in _FAREWELLS):
            self._member.session.change_begins()
            self._push(_Disconnect(reason))

    def _push(self, job: Connecting | _Received | _Disconnect) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(job)
        if not self._running:
            self._running = True
            if self._member.is_gone:
                # Until the turn has ended.
                self._member.registry.hold()
            self._member.session.live.begin(self._turn)

    async def _done(self) -> None:
        while self._running:
            if self._idle is None:
                self._idle = make_event()
            await self._idle.wait()

    def _turn(self, task: Task | None) -> Coroutine[Any, Any, None] | None:
        """Run what there is, and return what is left when something has to be waited for.

        Most handlers do not wait, and the coroutines of `_run` cost more than they do.
        """
        queue = self._queue
        if task is None or self._before is not None:
            return self._run()
        live = self._member.session.live
        while queue:
            job = queue[0]
            if not isinstance(job, _Received):
                return self._run()
            event, size, memory, awakened = job
            handler = self._member.listeners.simple(event.name, len(event.args) + 1)
            if handler is None or awakened > live.went_on:
                return self._run()
            queue.popleft()
            self._member.session.event_taken(size, memory)
            rest = self._try(handler, event, task)
            if rest is not None:
                return self._run(rest)
        self._end_turn()
        return None

    def _try(self, handler: Handler, event: EventFields, task: Task) -> Coroutine[Any, Any, None] | None:
        """`_handle` by a handler that nothing stands round, as far as nothing waits; what is left then."""
        member = self._member
        _, _, args, ack_id = event
        try:
            # Any: it is `async def`.
            running: Any = handler.function(member.socket, *args)
            if running.__class__ is not CoroutineType:
                return self._go_on(handler, event, running)
        except BaseException as error:
            return self._go_on(handler, event, failed(error))
        result = None
        try:
            # Without an id nobody wants the result.
            waits_for = next(running.__await__(), DONE) if ack_id is None else running.send(None)
        except StopIteration as end:
            result, waits_for = end.value, DONE
        except BaseException as error:
            return self._go_on(handler, event, failed(error))
        if waits_for is not DONE:
            return self._go_on(handler, event, Begun(running, waits_for))
        if task.cancelling():
            return self._go_on(handler, event, ended(result))
        if ack_id is None:
            return None
        try:
            answer = (result,) if result.__class__ in _PLAIN else _answer(result)
            more = member.session.live.joins or bool(self._queue)
            messages = member.answer_at_once(ack_id, answer, None if more else task)
            if not messages or member.send_ack_now(messages, more=more):
                return None
        except LocalProtocolError:
            pass
        except BaseException as error:
            return failed(error)
        # To be answered by who can wait, or with the error.
        return self._go_on(handler, event, ended(result))

    def _go_on(
        self, handler: Handler, event: EventFields, running: Awaitable[object]
    ) -> Coroutine[Any, Any, None]:
        course = _Course(handler, _received(event), None)
        course.has_run = True
        return self._conclude(course, guard(running))

    async def _run(self, rest: Coroutine[Any, Any, None] | None = None) -> None:
        """Run what there is, after the rest of what was begun."""
        session = self._member.session
        try:
            if self._before is not None:
                before, self._before = self._before, None
                with session.live.host.move_on_after(_PATIENCE):
                    await before._done()
            while rest is not None or self._queue:
                try:
                    if rest is not None:
                        begun, rest = rest, None
                        await begun
                    while self._queue:
                        job = self._queue[0]
                        if isinstance(job, _Received) and job.awakened > session.live.went_on:
                            await session.live.gone_on(job.awakened)
                            if not self._queue:
                                # What waited was dropped meanwhile.
                                break
                        job = self._queue.popleft()
                        if not isinstance(job, _Received):
                            await self._change(job)
                            continue
                        handler = self._handler(job.event.name)
                        if handler is not None and handler.concurrent:
                            self._member.registry.hold()
                            self._beside += 1
                            session.live.host.spawn(self._run_beside, handler, job)
                        else:
                            session.event_taken(job.size_bytes, job.memory_bytes)
                            await self._handle(handler, job.event)
                except BaseException as error:
                    await session.live.host.go_on_after(error)
                    logger.error(
                        "a turn of a socket in %r failed", self._member.registry.name, exc_info=error
                    )
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        self._running = False
        if not self._queue:
            self._queue = None
        member = self._member
        if self._idle is not None:
            self._idle.set()
            self._idle = None
        if member.is_gone:
            # A namespace does not end under the handlers of the last that left it.
            member.registry.release()
            member.session.ran_out(self)
            self.let_go()

    def let_go(self) -> None:
        """Its socket is gone. When nothing is left to run, what belongs to it is not held by itself any more: memory
        comes back at once, not when the collector of garbage comes, which with ten thousand sessions takes a second.
        """
        if not (self._running or self._beside):
            self._member = self._member.let_go()

    async def _change(self, job: Connecting | _Disconnect) -> None:
        try:
            if isinstance(job, Connecting):
                await self._connect(job)
            else:
                await self._disconnect(job.reason)
        finally:
            self._member.session.change_ends()

    async def _failure(self, error: BaseException) -> BaseException:
        """What a handler has ended in; raises it if that is the end of this task (rule 4)."""
        await self._member.session.live.host.go_on_after(error)
        if isinstance(error, asyncio.CancelledError):
            failure = HandlerCancelled("the handler was cancelled")
            failure.__cause__ = error
            return failure
        return error

    async def _spare(self) -> None:
        """Undo a cancellation that a handler has asked for and not waited for: the next to wait would be ourselves."""
        await self._member.session.live.host.go_on_after(None)

    def _handler(self, event: str) -> Handler | None:
        listeners = self._member.listeners
        handler = listeners.handler_or_any(event)
        if handler is not None and handler.once:
            listeners.taken(handler)
        return handler

    async def _run_beside(self, handler: Handler, job: _Received) -> None:
        try:
            await self._handle(handler, job.event)
        finally:
            # Only now: what runs counts as waiting, so that a peer cannot start any number of them.
            member = self._member
            member.session.event_taken(job.size_bytes, job.memory_bytes)
            member.registry.release()
            self._beside -= 1
            if member.is_gone:
                self.let_go()

    # -- connect and disconnect

    async def _connect(self, job: Connecting) -> None:
        member = self._member
        if not member.is_pending:
            # It left before its turn came: nobody has heard of it, so nobody has to hear that it is gone.
            return
        args: list[object] = [member.socket, member.socket.handshake.auth]
        has_begun = False
        try:
            for middleware in job.middleware:
                if await middleware.call(args if middleware.takes(2) else args[:1]) is False:
                    member.refuse(REFUSED)
                if not member.is_pending:
                    return
            result = None
            has_begun = True
            if job.handler is not None:
                member.enter()
                result = await job.handler.call(args if job.handler.takes(2) else args[:1])
            await self._spare()
        except ConnectionRefusedError as error:
            self._refuse_safely(error.message, error.data)
            await self._spare()
        except BaseException as error:
            # The application's failure must not leave its peer without an answer.
            self._log("connect", await self._failure(error))
            if member.is_pending:
                member.refuse(FAILED)
            elif has_begun:
                # Most likely it failed because the peer had left.
                member.push_disconnect()
        else:
            if result is False:
                member.refuse(REFUSED)
            elif member.is_pending:
                member.accept()
            else:
                member.push_disconnect()

    def _refuse_safely(self, message: str, data: object) -> None:
        member = self._member
        try:
            member.refuse(message, data)
        except LocalProtocolError:
            logger.exception("the data of a refusal in %r cannot be sent", member.registry.name)
            try:
                member.refuse(message)
            except LocalProtocolError:
                member.refuse(REFUSED)

    async def _disconnect(self, reason: CloseReason) -> None:
        args: list[object] = [self._member.socket, reason.value]
        for name in _FAREWELLS:
            for handler in self._member.farewells(name):
                try:
                    await handler.call(args if handler.takes(2) else args[:1])
                    await self._spare()
                except BaseException as error:
                    # Nobody is left to be told.
                    self._log(name, await self._failure(error))

    # -- events

    async def _handle(self, handler: Handler | None, event: EventReceived) -> None:
        listeners = self._member.listeners
        for listener in listeners.any():
            await self._hear(listener, event)
        ack = Ack(self._member, event.ack_id) if handler is not None and handler.wants_ack else None
        course = _Course(handler, event, ack)
        chain = listeners.middleware("event")
        if chain or handler is None:
            running = self._pass(course, chain, 0)
        else:
            course.has_run = True
            try:
                running = handler.call(self._args(course, handler), ack)
            except BaseException as error:
                running = failed(error)
        await self._conclude(course, running)

    async def _conclude(self, course: _Course, running: Awaitable[object]) -> None:
        """Answer an event with what comes of it."""
        event, ack, handler = course.event, course.ack, course.handler
        try:
            result = await running
            # Kept here, it would look as if the application had kept it: see `Hands`.
            if (task := running_task()) is not None and task.cancelling():
                await self._spare()
        except BaseException as error:
            # An application's failure becomes the peer's answer; the next event is handled all the same.
            await self._answer_error(course, await self._failure(error))
            return
        if event.ack_id is None or (course.has_run and (ack is not None or handler is None)):
            return
        if ack is not None:
            if ack.given:
                return
            # It has not come to its handler, or that failed and middleware answers in its stead.
            ack.given = True
        try:
            messages = self._member.encode_ack(event.ack_id, _answer(result))
            await self._member.send_ack(messages, more=bool(self._queue))
        except LocalProtocolError as error:
            if ack is not None:
                ack.given = False
            await self._answer_error(course, error)

    async def _pass(self, course: _Course, chain: list[Handler], at: int) -> object:
        """Through the middleware that is left, then to the handler."""
        event = course.event
        if at == len(chain):
            handler, result = course.handler, None
            if handler is not None:
                result = await handler.call(self._args(course, handler), course.ack)
            course.has_run = True
            return result
        middleware = chain[at]
        if not middleware.takes(4):
            await middleware.call([self._member.socket, event.name, event.args])
            return await self._pass(course, chain, at + 1)
        was_called = False

        async def go_on() -> object:
            nonlocal was_called
            if was_called:
                raise LocalProtocolError("middleware calls `next` once")
            was_called = True
            return await self._pass(course, chain, at + 1)

        return await middleware.call([self._member.socket, event.name, event.args, go_on])

    def _args(self, course: _Course, handler: Handler) -> list[object]:
        event = course.event
        if handler.event == ANY_EVENT:
            return [self._member.socket, event.name, *event.args]
        return [self._member.socket, *event.args]

    async def _hear(self, listener: Handler, event: EventReceived) -> None:
        try:
            await listener.call([self._member.socket, event.name, *event.args])
            await self._spare()
        except BaseException as error:
            # Who listens has no say in what becomes of the event.
            self._log(listener.event, await self._failure(error))

    def tell(self, outgoing: list[Handler], name: str, args: tuple[object, ...]) -> None:
        """Let listeners hear an event that is sent."""
        for listener in outgoing:
            try:
                listener.function(self._member.socket, name, *args)
            except Exception as error:
                self._log(listener.event, error)

    async def _answer_error(self, course: _Course, error: BaseException) -> None:
        event, ack = course.event, course.ack
        wanted = event.ack_id is not None and (ack is None or not ack.given)
        if not wanted or not isinstance(error, EventError):
            self._log(course.name, error)
        if event.ack_id is None or not wanted:
            return
        if ack is not None:
            # Whoever kept it cannot answer a second time.
            ack.given = True
        if isinstance(error, WrongArguments):
            answer: object = {"error": {"message": "wrong arguments"}}
        else:
            answer = error_answer(error)
        member = self._member
        try:
            await member.send_ack(member.encode_ack(event.ack_id, (answer,)))
        except LocalProtocolError as unsendable:
            self._log(course.name, unsendable)
            await member.send_ack(member.encode_failure(event.ack_id))

    def _log(self, event: str, error: BaseException) -> None:
        member = self._member
        if member.is_gone and isinstance(error, Disconnected | SessionClosed):
            # That a peer leaves while it is being served is no failure of the application.
            logger.debug("the handler of %r was cut short: %s", event, error)
            return
        rest = member.session.complaints.note(event, type(error).__name__)
        if rest is None:
            return
        name = member.registry.name
        if isinstance(error, WrongArguments):
            # The peer's doing: there is no traceback worth reading.
            logger.warning("in %r: %s%s", name, error, rest)
        elif isinstance(error, EventError):
            # Meant for the peer, who has not asked to hear of it.
            logger.warning("the handler of %r in %r has nobody to give its error to%s", event, name, rest)
        else:
            logger.error("the handler of %r in %r failed%s", event, name, rest, exc_info=error)


def _answer(result: object) -> tuple[object, ...]:
    if result is None:
        return ()
    if isinstance(result, Answer):
        return result.args
    if isinstance(result, tuple):
        return result  # pyright: ignore[reportUnknownVariableType] - whatever the application returned
    return (result,)
