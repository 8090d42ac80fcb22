"""What each kind of setting may be. A rule stands at its field, so none can be without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard, TypeVar, cast

from .cookie import Cookie
from .origins import normal_origin
from .proxies import Network, network

__all__ = [
    "Rule",
    "a_cookie",
    "count",
    "meeting_place",
    "one_of",
    "origins",
    "owner",
    "proxies",
    "rule_of",
    "seconds",
    "seconds_or_none",
    "size",
    "some_of",
    "switch",
    "text_of",
    "url_or_none",
]

_T = TypeVar("_T")
_URL = re.compile(r"(https?://[^/\s\"'<>\\]+)?/[^\s\"'<>\\]*")

# What a peer is told is whole milliseconds: less than one would be none.
_SHORTEST = 0.001
_HOUR, _DAY = 3_600.0, 86_400.0
_MOST = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Rule:
    """What one setting may be.

    Attributes:
        check: Takes name and value, returns the value as it is kept; raises `TypeError` or `ValueError`.
        unit: "s", "bytes" or nothing.
    """

    check: Callable[[str, object], object]
    unit: str = ""


def rule_of(setting: Field[Any]) -> Rule:
    """The rule that stands at a field."""
    return cast("Rule", setting.metadata["rule"])


def _field(default: _T, check: Callable[[str, object], object], unit: str = "") -> _T:
    return field(default=default, metadata={"rule": Rule(check, unit)})


def text_of(name: str, value: object, allowed: str) -> str:
    """The one form of every complaint: the setting, the value, what is allowed."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:79] + "…"
    return f"setting {name}={shown}: must be {allowed}"


def _check_seconds(name: str, value: object, most: float, other: str = "") -> float:
    allowed = f"a number of seconds from {_SHORTEST:g} to {most:,.0f}{other}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(text_of(name, value, allowed))
    # Written so that NaN, which is not above or below anything, is refused too.
    if not _SHORTEST <= value <= most:
        slip = f"; is that milliseconds? {value / 1000:g} s" if most < value <= most * 1000 else ""
        raise ValueError(text_of(name, value, allowed) + slip)
    return value


def seconds(default: float, *, most: float = _HOUR) -> float:
    """A time, at least a millisecond."""
    return _field(default, lambda name, value: _check_seconds(name, value, most), "s")


def seconds_or_none() -> float | None:
    """A time; None, which is the default, for no limit."""

    def check(name: str, value: object) -> float | None:
        return None if value is None else _check_seconds(name, value, _DAY, ", or None")

    return _field(None, check, "s")


def count(default: int, *, unit: str = "") -> int:
    """A whole number from 1."""

    def check(name: str, value: object) -> int:
        allowed = f"a whole number{' of ' + unit if unit else ''} from 1"
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(text_of(name, value, allowed))
        if not 1 <= value <= _MOST:
            raise ValueError(text_of(name, value, allowed))
        return value

    return _field(default, check, unit)


def size(default: int) -> int:
    """A number of bytes."""
    return count(default, unit="bytes")


def one_of(default: str, *others: str) -> Any:
    """One of these words."""
    # Any: the field's own annotation names the words.
    words = (default, *others)
    allowed = " or ".join(f'"{word}"' for word in words)

    def check(name: str, value: object) -> object:
        if value in words:
            return value
        raise (ValueError if isinstance(value, str) else TypeError)(text_of(name, value, allowed))

    return _field(default, check)


def switch(default: bool) -> bool:
    """True or False, and no number."""

    def check(name: str, value: object) -> bool:
        if not isinstance(value, bool):
            hint = "; how long is the setting max_disconnection_duration" if _is_mapping(value) else ""
            raise TypeError(text_of(name, value, "True or False") + hint)
        return value

    return _field(default, check)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def owner() -> Literal["own", "app"]:
    """Who writes the CORS headers."""

    def check(name: str, value: object) -> object:
        if value in ("own", "app"):
            return value
        if _is_mapping(value):
            hint = "; Socket.IO's cors.origin is the setting origins, cors.credentials is credentials"
            raise TypeError(text_of(name, value, '"own" or "app"') + hint)
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(text_of(name, value, '"own" or "app"'))

    return _field("own", check)


def origins() -> Collection[str | re.Pattern[str]] | re.Pattern[str] | str | None:
    """None, "*", one origin or pattern or several; kept as None, "*" or a tuple."""
    allowed = (
        'None (the same host only), "*" (all), an origin such as "https://app.example", a compiled pattern, '
        "or a list of these"
    )

    def check(name: str, value: object) -> object:
        if value is None or value == "*":
            return value
        if callable(value):
            hint = '; for a function, take origins="*" with cors="app", and decide in allow_request'
            raise TypeError(text_of(name, value, allowed) + hint)
        entries = (
            [cast("object", value)]
            if isinstance(value, str | re.Pattern)
            else _collection(name, value, allowed)
        )
        if "*" in entries and len(entries) == 1:
            return "*"
        return tuple(dict.fromkeys(_origin(name, entry, allowed) for entry in entries))

    return _field(None, check)


def _origin(name: str, entry: object, allowed: str) -> str | re.Pattern[str]:
    if _is_pattern(entry):
        return entry
    if not isinstance(entry, str):
        raise TypeError(text_of(name, entry, allowed))
    try:
        return normal_origin(entry)
    except ValueError as error:
        raise ValueError(f"setting {name}: {entry!r} is not an origin; {error}") from error


def _is_pattern(entry: object) -> TypeGuard[re.Pattern[str]]:
    # Any: what a pattern is of is not known before it is looked at.
    return isinstance(entry, re.Pattern) and isinstance(cast("re.Pattern[Any]", entry).pattern, str)


def _collection(name: str, value: object, allowed: str) -> Collection[object]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeError(text_of(name, value, allowed))
    return cast("Collection[object]", value)


def proxies() -> Collection[str | Network]:
    """Addresses and networks; kept as a tuple of networks."""
    allowed = 'a list of addresses and networks, such as ["10.0.0.5", "10.1.0.0/16"]'

    def check(name: str, value: object) -> tuple[Network, ...]:
        try:
            return tuple([network(entry) for entry in _collection(name, value, allowed)])
        except ValueError as error:
            raise ValueError(text_of(name, value, allowed)) from error

    return _field((), check)


def some_of(*names: str) -> Sequence[str]:
    """Some of these, at least one; kept in this order."""
    allowed = f"a list of one or more of {', '.join(map(repr, names))}"

    def check(name: str, value: object) -> object:
        for entry in _collection(name, value, allowed):
            if entry not in names:
                raise ValueError(text_of(name, value, allowed) + f", and {entry!r} is not one")
        kept = tuple(known for known in names if known in cast("Collection[object]", value))
        if not kept:
            raise ValueError(text_of(name, value, allowed))
        return kept

    return _field(names, check)


def a_cookie() -> Cookie | str | None:
    """None, a `Cookie`, or a name for one; kept as None or a `Cookie`."""

    def check(name: str, value: object) -> Cookie | None:
        if value is None or isinstance(value, Cookie):
            return value
        if isinstance(value, str):
            return Cookie(name=value)
        raise TypeError(text_of(name, value, 'None, a name such as "io", or holdfast.Cookie(name=…, path=…)'))

    return _field(None, check)


def meeting_place() -> str | Path | None:
    """ "auto", a directory, or None; kept as a text."""
    allowed = '"auto", an absolute path of a directory, or None'

    def check(name: str, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str | Path):
            hint = "; how many workers there are is for the server that starts them: uvicorn --workers 4"
            raise TypeError(text_of(name, value, allowed) + (hint if isinstance(value, int) else ""))
        if value != "auto" and not Path(value).is_absolute():
            raise ValueError(text_of(name, value, allowed))
        return str(value)

    return _field("auto", check)


def url_or_none() -> str | None:
    """A path or an address of the web; None, which is the default, for none."""
    allowed = 'a path such as "/static/sockjs.min.js", an address such as "https://…/sockjs.min.js", or None'

    def check(name: str, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise TypeError(text_of(name, value, allowed))
        if not _URL.fullmatch(value):
            raise ValueError(text_of(name, value, allowed))
        return value

    return _field(None, check)
