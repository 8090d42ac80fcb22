"""JSON text and values, as quickly as they can be had.

The standard library says what is JSON and what comes of it, here and everywhere else. Its own C code is called without
what stands round it, which takes longer than a message. Where msgspec is installed (the extra ``holdfast[fast]``) it
reads what is longer: what it reads it reads alike, and on whatever it refuses the standard library has the last word.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any, cast

__all__ = [
    "QUICK_FROM",
    "decode_json",
    "encode_json",
    "find_quick",
    "make_decode",
    "make_encode",
    "refuse_constant",
    "scan_json",
]

QUICK_FROM = 128
"""Characters below which nothing is quicker than the standard library."""


def refuse_constant(name: str) -> object:
    """NaN and the infinities are no JSON, though the standard library reads them: its ``parse_constant``."""
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=refuse_constant)
# Any: typeshed does not know it.
scan_json = cast("Callable[[str, int], tuple[Any, int]]", vars(_DECODER)["scan_once"])
"""The value that begins at an index, and where it ends; what cannot be read here may still be JSON for `decode_json`.

Raises:
    ValueError, StopIteration, RecursionError: it cannot be read.
"""


def find_quick() -> Callable[[str], object] | None:
    """What reads JSON faster, if that is installed."""
    try:
        import msgspec
    except ImportError:
        return None
    return msgspec.json.Decoder().decode


def make_decode(
    quick: Callable[[str], object] | None, *, quick_from: int = QUICK_FROM
) -> Callable[[str, int], object]:
    """`decode_json`, with or without help for texts of at least so many characters."""

    def decode(text: str, start: int) -> object:
        if quick is not None and len(text) - start >= quick_from:
            try:
                return quick(text[start:])
            except (ValueError, RecursionError):
                # A number that is no float, half of a surrogate pair, or no JSON: not for it to say.
                pass
        try:
            value, end = scan_json(text, start)
        except StopIteration:
            end = -1
        else:
            if end == len(text):
                return value
        # White space round it, or it is wrong.
        return _DECODER.decode(text[start:])

    return decode


decode_json = make_decode(find_quick())
"""The value that a text has from an index to its end. NaN and the infinities are none.

Raises:
    ValueError: it is not JSON.
    RecursionError: it is nested too deeply for Python.
"""


def _no_other(value: object) -> object:
    raise TypeError(f"{value.__class__.__name__} cannot be sent")


# Of the standard library's C code, where Python has it; typeshed does not know it.
_MakeParts = Callable[..., Callable[[object, int], tuple[str, ...]]]
_make_parts = cast("_MakeParts | None", encoder.c_make_encoder)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


def make_encode(make_parts: _MakeParts | None) -> Callable[[object], str]:
    """`encode_json`, with or without that."""
    if make_parts is None:
        return json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_no_other
        ).encode
    # What contains itself it takes for what is nested too deeply.
    parts = make_parts(None, _no_other, encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(parts(value, 0))


encode_json = make_encode(_make_parts)
"""The text of a value: no spaces, and letters that are not ASCII as they are.

Raises:
    Exception: of whatever class; JSON has no such value, or it is bytes, a time or infinite, which become something
        else.
"""
