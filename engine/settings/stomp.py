"""What a STOMP endpoint may be told: every limit and interval of it, with its default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import cast

from .rules import Rule, count, rule_of, seconds, size, text_of

__all__ = ["StompSettings"]

_MOST_BEAT = 3_600.0


def _heart_beat(default: float) -> float:
    allowed = f"a number of seconds from 0 (none) to {_MOST_BEAT:,.0f}"

    def check(name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(text_of(name, value, allowed))
        if not 0 <= value <= _MOST_BEAT:
            raise ValueError(text_of(name, value, allowed))
        return value

    return field(default=default, metadata={"rule": Rule(check, "s")})


@dataclass(frozen=True, slots=True, kw_only=True)
class StompSettings:
    """What a STOMP endpoint may be told. Times in seconds, sizes in bytes. Every limit is on by default.

    Attributes:
        heart_beat: How often we send at least, and how often the client is asked to; it may ask for less of both. 0 for
            none. Over a session of ours there are none: it watches its peer itself.
        connect_timeout: In which the client must have sent CONNECT, and all that it needs to be let in.
        max_frame_bytes: The largest body of a frame.
        max_headers: Headers of one frame.
        max_head_bytes: Bytes of a frame's command and headers.
        max_subscriptions: Subscriptions of one client.
        max_transactions: Transactions of one client that are open at once.
        max_transaction_frames: Frames of all its open transactions.
        max_transaction_bytes: Bytes of those frames.
        max_unacked: Messages of one client that wait for its ACK; a queue gives it no more until then.
        max_pending_frames: Frames of one client that wait for the application's functions; then it is read no further.
        max_pending_bytes: Bytes of those frames.
        max_outgoing_bytes: Bytes kept for one client that is slow to take them; beyond it, it is closed. A message that
            is larger is refused where it is sent; to a queue, one of more than half of it.
        max_destinations: Topics and user destinations that have subscribers, in all.
        max_queues: Queues that have subscribers or messages, in all.
        max_unread_queues: Of those, how many one client may have begun by sending, while nobody subscribes to them.
        unread_queue_timeout: How long a queue to which only clients have sent is kept while nobody subscribes to it;
            then its messages are dropped, and the log says so. One to which the application sends is kept.
        max_queue_messages: Messages that one queue keeps; more are refused.
        max_queue_bytes: Memory of those messages: bodies, headers and some 500 bytes for each.
        max_all_queues_bytes: Memory of all queues together.
        max_deliveries: How often a message of a queue is given to a client that does not acknowledge it; then it is
            dropped, and the log says so.

    Raises:
        TypeError: a setting of that name does not exist, or its value is of another type.
        ValueError: the value is not allowed; the text names what is.
    """

    heart_beat: float = _heart_beat(10.0)
    connect_timeout: float = seconds(10.0)
    max_frame_bytes: int = size(1_000_000)
    max_headers: int = count(64)
    max_head_bytes: int = size(16_384)
    max_subscriptions: int = count(1_000)
    max_transactions: int = count(16)
    max_transaction_frames: int = count(1_000)
    max_transaction_bytes: int = size(4_000_000)
    max_unacked: int = count(1_000)
    max_pending_frames: int = count(1_000)
    max_pending_bytes: int = size(4_000_000)
    max_outgoing_bytes: int = size(8_000_000)
    max_destinations: int = count(10_000)
    max_queues: int = count(10_000)
    max_unread_queues: int = count(100)
    unread_queue_timeout: float = seconds(3_600.0)
    max_queue_messages: int = count(10_000)
    max_queue_bytes: int = size(16_000_000)
    max_all_queues_bytes: int = size(64_000_000)
    max_deliveries: int = count(16)

    @classmethod
    def given(cls, limits: StompSettings | None) -> StompSettings:
        """What was given as ``limits``, or the defaults.

        Raises:
            TypeError: it is something else.
        """
        if limits is None:
            return cls()
        # Somebody who comes from JavaScript hands in a dict.
        if not isinstance(cast("object", limits), StompSettings):
            kind = type(limits).__name__
            raise TypeError(
                f"limits must be StompSettings, not {kind}: limits=StompSettings(max_subscriptions=50)"
            )
        return limits

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = rule_of(setting).check(setting.name, getattr(self, setting.name))
            object.__setattr__(self, setting.name, value)
