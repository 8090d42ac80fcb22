"""The broker: who gets what is sent to a destination, and what the application has to say about it.

=====================  =========================================================================================
``/topic/…``           each subscriber gets it; where it is a room, who is in the room, too
``/queue/…``           one of the subscribers gets it; it is kept until somebody has, and until he acknowledges it
``/user/queue/…``      of the client who says it: all clients of its user that subscribe to the same
``/user/NAME/queue/…``  of that user; the application sends there
``/app/…``             a function of the application
=====================  =========================================================================================
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar, cast, overload

from ..dispatch.namespace import Namespace
from ..errors import (
    ConnectionRefusedError,  # noqa: A004 - the name users know
    EventError,
    LocalProtocolError,
)
from ..host import Host, guarded
from ..live import Allowed
from ..settings import StompSettings
from ..subprotocols.stomp import Action, Commit, Connect, SendTo, StompError, Subscribe
from .client import Messages, Peer, StompClient, StompLogin, StompMessage
from .destinations import plain, plain_parts, quoted_user, user_destination
from .functions import Function, Functions, call
from .message import Published, content_of
from .queue import Letter
from .queues import Queues, check_size, drop, published
from .rooms import RoomFilter, Rooms
from .session import Close, StompSession, Subscriber

__all__ = ["Authenticate", "Authorize", "StompBroker"]

logger = logging.getLogger("holdfast.stomp")

F = TypeVar("F", bound=Function)

Authenticate = Callable[[StompLogin], object]
"""Who is this? See `StompBroker.authenticate`."""
Authorize = Callable[[StompClient, Literal["send", "subscribe"], str], object]
"""May it? See `StompBroker.authorize`."""

_ERRORS = "/queue/errors"
_FAILED = "internal error"


class StompBroker:
    """Topics, queues, users and functions, without any transport.

    Args:
        limits: What clients may ask for.
        server: What CONNECTED calls us.
    """

    def __init__(
        self,
        limits: StompSettings | None = None,
        *,
        host: Host | None = None,
        server: str = "holdfast",
    ) -> None:
        self.limits = StompSettings.given(limits)
        self.host = host or Host()
        self.server = server
        self._id = secrets.token_urlsafe(9)
        self._clients: dict[str, StompSession] = {}
        self._topics: dict[str, dict[Subscriber, None]] = {}
        self._users: dict[tuple[str, str], dict[Subscriber, None]] = {}
        self.queues = Queues(self.limits, self.host)
        self._handlers = Functions("the destination")
        self._answers = Functions("the subscription")
        self._rooms: list[Rooms] = []
        self._authenticate: Authenticate | None = None
        self._authorize: Authorize | None = None
        self._other_users = False

    # -- what an application registers

    def authenticate(self, function: F) -> F:
        """Let a function say who a client is: ``@stomp.authenticate``, with a `StompLogin`.

        What it returns is the client's principal; None or True leaves that of `allow_request`. False refuses the
        client, and so does a `ConnectionRefusedError`, with its message. An `Allowed` says also for how long.
        ``async def``, or ``def`` that runs in a worker thread. Without one, everybody is let in.
        """
        self._authenticate = function
        return function

    @overload
    def authorize(self, function: F, /, *, other_users: bool = False) -> F: ...

    @overload
    def authorize(self, /, *, other_users: bool = False) -> Callable[[F], F]: ...

    def authorize(self, function: F | None = None, /, *, other_users: bool = False) -> F | Callable[[F], F]:
        """Let a function say what a client may do: ``@stomp.authorize``, with the `StompClient`, ``"send"`` or
        ``"subscribe"``, and the destination. True lets it; all else is answered with ERROR.

        A destination has one spelling here, however the client has quoted it: in ``/app/…`` and in a user's name only
        slashes and percent signs are quoted, and the client's own user destinations are ``/user/queue/…``.

        ``async def``, or ``def`` that runs in a worker thread. Without one, clients may do everything but send to other
        users' destinations.

        Args:
            other_users: Whether it is asked, too, when a client sends to another user's destinations. Else that is
                refused, whatever it would say.
        """

        def register(function: F) -> F:
            self._authorize, self._other_users = function, other_users
            return function

        return register if function is None else register(function)

    def handle(self, destination: str, *, send_to: str | None = None) -> Callable[[F], F]:
        """Let a function have what clients send to a destination: ``@stomp.handle("/app/rooms/{room}/say")``.

        It is called with a `StompMessage`, one message of a client after the other. What it returns, if that is not
        None, is sent on: text and bytes as they are, all else as JSON. An `EventError` goes to the client's
        ``/user/queue/errors``; any other exception goes there as "internal error", and to the log.

        Args:
            destination: ``{name}`` takes what stands between two slashes.
            send_to: Where the answer goes: a topic, a queue, or ``/user/queue/…`` of the client itself. None for the
                topic of the same name: ``/app/greetings`` answers to ``/topic/greetings``.

        Raises:
            LocalProtocolError: the destination has a function already, does not begin with ``/app/`` or is none, or the
                answer could not be sent.
        """
        if send_to is not None and not self._can_publish(send_to):
            raise LocalProtocolError(
                f"send_to={send_to!r} is no destination: /topic/…, /queue/…, or /user/queue/… of the client itself"
            )

        def register(function: F) -> F:
            self._handlers.add(destination, function, send_to)
            return function

        return register

    def on_subscribe(self, destination: str) -> Callable[[F], F]:
        """Let a function answer who subscribes to a destination that begins with ``/app/``: with one message, which is
        what it returns. It is called with a `StompMessage` that has no body.

        Raises:
            LocalProtocolError: as `handle`.
        """

        def register(function: F) -> F:
            self._answers.add(destination, function)
            return function

        return register

    def join_rooms(
        self, namespace: Namespace, rooms: RoomFilter, *, prefix: str = "/topic/", event: str = "message"
    ) -> None:
        """Make topics of rooms: who is in the room ``news`` and who subscribes to ``/topic/news`` get the same.

        An event that is sent to the room is a MESSAGE whose header ``event`` is its name and whose body is its argument
        in JSON, or (with the header ``arguments``) the list of its arguments. What a client of STOMP sends to the topic
        is an event of the name in its header ``event``.

        Args:
            namespace: Whose rooms: a `Server` is its own namespace ``/``.
            rooms: Which: their names, a pattern for whole names, or a function. Clients choose their topics, and rooms
                are yours to give: name only those that are for everybody, or ask in `authorize`. A room that bears a
                socket's id is never one.
            prefix: Of the topics.
            event: The name of events whose header does not say one.

        Raises:
            LocalProtocolError: the event's name is reserved.
            TypeError: ``rooms`` is a single text.
        """
        if isinstance(rooms, str | bytes):
            raise TypeError(f"rooms={rooms!r} would be all parts of this text: say [{rooms!r}]")
        limit = self.limits.max_frame_bytes
        self._rooms.append(
            Rooms(namespace, prefix=prefix, rooms=rooms, event=event, id=self._id, limit_bytes=limit)
        )

    # -- what an application does

    @property
    def clients(self) -> Mapping[str, StompClient]:
        """Who is connected now, by `StompClient.id`: a copy."""
        return {id: session.client for id, session in self._clients.items() if session.client is not None}

    async def send(
        self, destination: str, value: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message to a destination.

        Args:
            destination: ``/topic/…``, ``/queue/…`` or ``/user/NAME/queue/…``; a name with a slash is to be quoted, as
                in a URL.
            value: Text and bytes as they are, all else as JSON.
            headers: Besides ``content-type``, which they may change.

        Raises:
            LocalProtocolError: there is no such destination, its queue is full, or this cannot be sent, as when it is
                larger than what may wait for a client (``max_outgoing_bytes``). Nobody got it.
        """
        content_type, body = content_of(value)
        for name, text in (headers or {}).items():
            # Somebody who comes from JSON hands in numbers.
            if not isinstance(cast("object", text), str):
                raise LocalProtocolError(
                    f"the header {name!r} is to be text, such as {str(text)!r}: not {text!r}"
                )
        headers = {"content-type": content_type, **(headers or {})}
        try:
            await self._publish(destination, headers, body, None)
        except StompError as error:
            raise LocalProtocolError(str(error)) from error

    async def send_to_user(
        self, user: str, destination: str, value: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message to all clients of a user that have subscribed to ``/user`` + destination.

        Args:
            user: As `StompClient.user`: the principal as text; of a client without one, its id.
            destination: ``/queue/…``

        Raises:
            LocalProtocolError: as `send`.
        """
        await self.send(f"/user/{quoted_user(user)}{destination}", value, headers=headers)

    async def serve(
        self, session: Peer, *, heart_beat: float | None = None, close: Close | None = None
    ) -> None:
        """Speak STOMP on a session of messages, to its end: ``Engine(stomp.serve)``, or whatever else carries messages.

        Args:
            heart_beat: Seconds, in place of the setting; 0 where the session itself watches its peer.
            close: Ends the session with a code of RFC 6455 and a reason; None for the session's own `close`.
        """

        async def end(code: int, reason: str) -> None:
            session.close()

        await self.speak(session, end if close is None else close, heart_beat=heart_beat)

    async def speak(self, messages: Messages, close: Close, *, heart_beat: float | None = None) -> None:
        """`serve` on what does not end by itself."""
        beat = self.limits.heart_beat if heart_beat is None else heart_beat
        one = self._new_session(messages, beat, close)
        self._clients[one.id] = one
        await one.run()

    def _new_session(self, peer: Messages, heart_beat: float, close: Close) -> StompSession:
        return StompSession(self, peer, heart_beat=heart_beat, close=close)

    # -- called by sessions

    def sessions(self) -> list[StompSession]:
        """All, those among them that are not let in yet."""
        return list(self._clients.values())

    def forget(self, session: StompSession) -> None:
        """It is over."""
        self._clients.pop(session.id, None)

    def takes_time(self, action: Action[Letter | None] | StompError) -> bool:
        """Whether functions of the application are asked for it."""
        match action:
            case Connect():
                return self._authenticate is not None
            case SendTo():
                return self._authorize is not None or action.destination.startswith("/app/")
            case Subscribe():
                return self._authorize is not None or action.subscription.destination.startswith("/app/")
            case Commit():
                return any(self.takes_time(each) for each in action.actions)
            case _:
                return False

    async def let_in(self, session: StompSession, connect: Connect) -> StompClient:
        """Who it is.

        Raises:
            StompError: it is refused.
        """
        request = session.peer.request
        login = StompLogin(
            login=connect.login,
            passcode=connect.passcode,
            host=connect.host,
            headers=connect.headers,
            request=request,
        )
        principal: object = request.principal
        answer = await self._ask_who(login)
        if isinstance(answer, Allowed):
            session.expire_at(answer)
            answer = answer.principal
        if answer is not None and answer is not True:
            principal = answer
        user = session.id if principal is None else str(principal)
        return StompClient(session.id, login, principal, user, session.disconnect)

    async def _ask_who(self, login: StompLogin) -> object:
        if self._authenticate is None:
            return None
        try:
            answer = await guarded(call(self._authenticate, login), "authenticate")
        except ConnectionRefusedError as error:
            raise StompError(str(error.message) or "access refused") from error
        except Exception as error:
            # A check that failed has let nobody in; why is nothing for a stranger.
            logger.exception("authenticate failed; the client is refused")
            raise StompError("access refused") from error
        if answer is False:
            raise StompError("access refused")
        return answer

    async def check(
        self, client: StompClient, action: Literal["send", "subscribe"], destination: str
    ) -> None:
        if action == "send" and not self._other_users:
            user, _ = user_destination(destination, client.user)
            if user not in (None, client.user):
                raise StompError("clients may not send to other users")
        if self._authorize is None:
            return
        try:
            answer = await guarded(
                call(self._authorize, client, action, plain(destination, client.user)), "authorize"
            )
        except Exception:
            logger.exception("authorize failed; the client is refused")
            answer = False
        if answer is not True:
            raise StompError(f"this client may not {action} here")

    async def check_send(self, client: StompClient, send: SendTo) -> None:
        """Return if it may be sent.

        Raises:
            StompError: it may not, or there is no such destination.
        """
        await self.check(client, "send", send.destination)
        if not send.destination.startswith("/app/"):
            self._check_destination(client, send)
        elif self._handlers.find(send.destination) is None:
            raise StompError("there is no such destination")

    def _check_destination(self, client: StompClient, send: SendTo) -> None:
        destination = send.destination
        if not destination.startswith(("/topic/", "/queue/")):
            if user_destination(destination, client.user)[0] is None:
                raise StompError("there is no such destination")
        elif destination.startswith("/topic/"):
            for rooms in self._rooms:
                if rooms.room_of(destination) is not None:
                    rooms.event_of(send.headers, send.body)

    async def send_from(self, client: StompClient, *sends: SendTo) -> bool:
        """Send what may be sent, all of it or nothing; False if a function of the application failed.

        Raises:
            StompError: it cannot be sent.
        """
        # What is sent, and what it answers. Functions come first: nothing has been sent yet when one fails.
        parts: list[tuple[SendTo, SendTo | None]] = []
        for send in sends:
            if not send.destination.startswith("/app/"):
                parts.append((send, None))
                continue
            answers = await self._run(client, send)
            if answers is None:
                return False
            parts += [(answer, send) for answer in answers]
        if len(sends) > 1 and not await self._can_send(client, parts):
            return False
        for part, asked in parts:
            if asked is None and part.destination.startswith("/queue/"):
                self.queues.put(part.destination, published(part.headers, part.body), client)
            elif asked is None:
                await self._publish(part.destination, part.headers, part.body, client.user)
            elif not await self._send_answer(client, part, asked):
                return False
        return True

    async def _can_send(self, client: StompClient, parts: Sequence[tuple[SendTo, SendTo | None]]) -> bool:
        """Whether all of it can be sent; if an answer cannot, its client is told.

        Raises:
            StompError: what the client sends cannot.
        """
        # Others may have filled its queues while functions ran.
        self.queues.check_room(client, [part for part, asked in parts if asked is None])
        asked = None
        try:
            for part, asked in parts:
                if asked is not None:
                    self._check_destination(client, part)
                if not part.destination.startswith("/queue/"):
                    check_size(self.limits, published(part.headers, part.body))
            to_queues = (each for part, each in parts if each and part.destination.startswith("/queue/"))
            asked = next(to_queues, None)
            self.queues.check_room(None, [part for part, _ in parts])
        except StompError as error:
            if asked is None:
                raise
            await self._answer_failed(client, asked, error)
            return False
        return True

    async def _send_answer(self, client: StompClient, answer: SendTo, asked: SendTo) -> bool:
        try:
            await self._publish(answer.destination, answer.headers, answer.body, client.user, only=client)
        except (StompError, LocalProtocolError) as error:
            await self._answer_failed(client, asked, error)
            return False
        return True

    async def _run(self, client: StompClient, send: SendTo) -> list[SendTo] | None:
        """What the function answers; None if it failed, and its client has been told."""
        found = self._handlers.find(send.destination)
        if found is None:
            raise StompError("there is no such destination")
        function, send_to, params = found
        message = StompMessage(client, plain_parts(send.destination), send.headers, send.body, params)
        content: dict[str, object] = {"message": _FAILED}
        try:
            value = await guarded(call(function, message), "the function")
        except EventError as error:
            content = {"message": error.message, "code": error.code, "data": error.data}
        except Exception:
            # Whatever it is, it is the application's: the client hears that, and the log the rest.
            logger.exception("the function of %r failed", send.destination)
        else:
            if value is None:
                return []
            try:
                content_type, body = content_of(value)
            except LocalProtocolError as error:
                await self._answer_failed(client, send, error)
                return None
            to = send_to or "/topic/" + send.destination.removeprefix("/app/")
            return [SendTo(to, {"content-type": content_type}, body, None)]
        await self._tell(client, send, content)
        return None

    async def _answer_failed(self, client: StompClient, send: SendTo, error: Exception) -> None:
        logger.error("what the function of %r returns cannot be sent: %s", send.destination, error)
        await self._tell(client, send, {"message": _FAILED})

    def _can_publish(self, destination: str) -> bool:
        """Whether there is such a destination."""
        return (
            destination.startswith(("/topic/", "/queue/")) or user_destination(destination, "")[0] is not None
        )

    async def _tell(self, client: StompClient, send: SendTo, content: dict[str, object]) -> None:
        headers = {"failed-destination": send.destination}
        if send.receipt is not None:
            headers["receipt-id"] = send.receipt
        try:
            content_type, body = content_of(
                {name: value for name, value in content.items() if value is not None}
            )
        except LocalProtocolError as error:
            logger.error("the error of the function of %r cannot be sent: %s", send.destination, error)
            content_type, body = content_of({"message": _FAILED})
        headers["content-type"] = content_type
        await self._publish(f"/user{_ERRORS}", headers, body, client.user, only=client)

    async def _publish(
        self,
        destination: str,
        headers: Mapping[str, str],
        body: bytes,
        sender: str | None,
        *,
        only: StompClient | None = None,
    ) -> None:
        """Send to a destination.

        Args:
            sender: The user whose own destinations ``/user/queue/…`` are; None where nobody sends.
            only: Of that user, only this client.
        """
        message = published(headers, body)
        if not destination.startswith("/queue/"):
            check_size(self.limits, message)
        if destination.startswith("/topic/"):
            for rooms in self._rooms:
                room = rooms.room_of(destination)
                if room is not None:
                    await self._send_to_room(rooms, room, message)
                    return
            self._to_topic(destination, message)
        elif destination.startswith("/queue/"):
            self.queues.put(destination, message)
        else:
            user, rest = user_destination(destination, sender)
            if user is None:
                raise StompError("there is no such destination")
            for subscriber in list(self._users.get((user, rest), ())):
                if only is None or subscriber.session.client is only:
                    subscriber.hear(message)

    async def _send_to_room(self, rooms: Rooms, room: str, message: Published) -> None:
        try:
            await rooms.send(room, rooms.event_of(message.headers, message.body), message)
        except LocalProtocolError as error:
            raise StompError(f"this cannot be an event: {error}") from error

    def _to_topic(self, destination: str, message: Published) -> None:
        for subscriber in list(self._topics.get(destination, ())):
            subscriber.hear(message)

    def _check_number(self) -> None:
        most = self.limits.max_destinations
        if len(self._topics) + len(self._users) >= most:
            raise StompError(f"there are {most} destinations already (setting max_destinations)")

    async def subscribe(self, client: StompClient, subscriber: Subscriber) -> None:
        """Serve a subscription.

        Raises:
            StompError: it may not be, or there is no such destination.
        """
        destination = subscriber.subscription.destination
        await self.check(client, "subscribe", destination)
        if destination.startswith("/app/"):
            await self._answer_one(client, subscriber)
        elif destination.startswith("/topic/"):
            self._join_topic(destination, subscriber)
        elif destination.startswith("/queue/"):
            queue = subscriber.queue = self.queues.get(destination)
            subscriber.leave = lambda: self.queues.leave(queue, subscriber)
            self.queues.join(queue, subscriber)
        else:
            user, rest = user_destination(destination, client.user)
            if user is None or user != client.user:
                raise StompError("there is no such destination")
            key = (user, rest)
            if key not in self._users:
                self._check_number()
            members = self._users.setdefault(key, {})
            members[subscriber] = None
            subscriber.leave = lambda: drop(self._users, key, subscriber)

    def _join_topic(self, destination: str, subscriber: Subscriber) -> None:
        found = [(rooms, room) for rooms in self._rooms if (room := rooms.room_of(destination)) is not None]
        is_first = destination not in self._topics
        if is_first:
            self._check_number()
        self._topics.setdefault(destination, {})[subscriber] = None
        if is_first and found:
            rooms, room = found[0]
            rooms.enter(room, lambda message: self._to_topic(destination, message))

        def leave() -> None:
            drop(self._topics, destination, subscriber)
            if found and destination not in self._topics:
                rooms, room = found[0]
                rooms.leave(room)

        subscriber.leave = leave

    async def _answer_one(self, client: StompClient, subscriber: Subscriber) -> None:
        subscription = subscriber.subscription
        found = self._answers.find(subscription.destination)
        if found is None:
            raise StompError("there is no such destination")
        function, _, params = found
        message = StompMessage(
            client, plain_parts(subscription.destination), subscription.headers, b"", params
        )
        try:
            value = await guarded(call(function, message), "the function")
            content_type, body = content_of(value)
            answer = Published({"content-type": content_type}, body)
            check_size(self.limits, answer)
        except EventError as error:
            raise StompError(error.message) from error
        except Exception as error:
            logger.exception("the function of %r failed", subscription.destination)
            raise StompError(_FAILED) from error
        subscriber.hear(answer)
