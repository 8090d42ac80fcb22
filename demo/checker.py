"""Checks numbered events: 1, 2, 3, … in one direction, each with data that its number decides, and acknowledgements.

What one side sends with `payload`, the other gives to a `Checker`::

    checker = Checker(Payloads(seed=1, limit_bytes=64_000, binary=0.2))
    checker.take(number, data)             # in the handler
    verdict = checker.verdict(sent=5_000)  # lost, repeated, disordered, damaged
    assert verdict.is_clean

`benchmarks/chaos_checker.mjs` is the same for JavaScript.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TypeVar

__all__ = ["Acks", "Checker", "Payloads", "Verdict"]

# All that a text may contain which some transport or encoding treats in a way of its own, one UTF-16 unit each.
_TEXT = 'abcdefgh \u00e9\u20ac\u65e5\x1e\n\r\n\n"\\\x00\ufeff,;:{}[]0123456789'
_BYTES = bytes(range(256))
_Data = TypeVar("_Data", str, bytes)


@dataclass(frozen=True, slots=True)
class Payloads:
    """The data of each number. Equal arguments give equal data, in JavaScript too.

    Args:
        seed: Of sizes, and of which are binary.
        limit_bytes: Sizes are spread from 1 to this, small ones as often as large ones, counted in characters and in
            bytes; 0: no data. A power of two.
        binary: How many of them are bytes, 0 to 1; the others are text.
    """

    seed: int = 0
    limit_bytes: int = 0
    binary: float = 0.0

    def of(self, number: int) -> str | bytes | None:
        """The data that goes with a number; None if there is none."""
        if not self.limit_bytes:
            return None
        chance = _mixed(number * 2654435761 + self.seed * 40503)
        scale = 1 << chance % max(1, self.limit_bytes.bit_length() - 1)
        size = scale + (chance >> 8) % scale
        is_binary = (chance >> 5) % 1000 < self.binary * 1000
        return _slice(_BYTES, number, size) if is_binary else _slice(_TEXT, number, size)


def _mixed(value: int) -> int:
    value &= 0xFFFFFFFF
    value = (value ^ value >> 16) * 0x45D9F3B & 0xFFFFFFFF
    value = (value ^ value >> 16) * 0x45D9F3B & 0xFFFFFFFF
    return value ^ value >> 16


def _slice(pattern: _Data, number: int, size: int) -> _Data:
    start = number % len(pattern)
    return (pattern * ((start + size) // len(pattern) + 1))[start : start + size]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the numbers of one direction."""

    sent: int
    received: int
    lost: int
    repeated: int
    disordered: int
    damaged: int

    @property
    def is_clean(self) -> bool:
        """Whether each number came once, in its place and with its data."""
        return self.received == self.sent and not (
            self.lost or self.repeated or self.disordered or self.damaged
        )

    def to_json(self) -> dict[str, int]:
        return asdict(self)


class Checker:
    """Takes the numbers of one direction as they come.

    Args:
        payloads: What the data must be; without it, data is not looked at.
    """

    def __init__(self, payloads: Payloads | None = None) -> None:
        self.received = 0
        self.repeated = 0
        self.disordered = 0
        self.damaged = 0
        self.highest = 0
        self._payloads = payloads
        self._missing: set[int] = set()

    def take(self, number: int, data: object = None) -> None:
        """Count one number."""
        self.received += 1
        if self._payloads is not None and data != self._payloads.of(number):
            self.damaged += 1
        if number > self.highest:
            self._missing.update(range(self.highest + 1, number))
            self.highest = number
        elif number in self._missing:
            self._missing.remove(number)
            self.disordered += 1
        else:
            self.repeated += 1

    @property
    def distinct(self) -> int:
        """How many different numbers have come."""
        return self.received - self.repeated

    def lost(self, sent: int) -> int:
        """How many of the numbers up to this one have not come."""
        return len(self._missing) + max(0, sent - self.highest)

    def verdict(self, sent: int | None = None) -> Verdict:
        """What became of the numbers up to ``sent``, by default up to the highest that came."""
        sent = self.highest if sent is None else sent
        return Verdict(
            sent=sent,
            received=self.received,
            lost=self.lost(sent),
            repeated=self.repeated,
            disordered=self.disordered,
            damaged=self.damaged,
        )


class Acks:
    """Checks that each acknowledgement that was asked for came once, with the right answer or an error."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.wrong = 0
        self._asked: set[int] = set()
        self._times: Counter[int] = Counter()

    def ask(self, number: int) -> None:
        """An answer to this number is asked for."""
        self._asked.add(number)

    def answer(self, number: int, answer: object) -> None:
        """The answer came; it must be the number itself."""
        self._times[number] += 1
        self.answered += 1
        self.wrong += answer != number or number not in self._asked

    def fail(self, number: int) -> None:
        """It was said that no answer will come."""
        self._times[number] += 1
        self.failed += 1

    @property
    def pending(self) -> int:
        """Of how many nothing has been heard."""
        return len(self._asked - self._times.keys())

    def to_json(self) -> dict[str, int]:
        return {
            "asked": len(self._asked),
            "answered": self.answered,
            "failed": self.failed,
            "wrong": self.wrong,
            "repeated": sum(times - 1 for times in self._times.values()),
            "pending": self.pending,
        }
