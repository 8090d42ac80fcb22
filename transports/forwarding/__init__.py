"""Requests that are carried to the node whose session they are for."""

from __future__ import annotations

from .courier import Courier, Frames
from .forwarding import Forwarding, Unanswered
from .scope import decode_scope, encode_scope

__all__ = ["Courier", "Forwarding", "Frames", "Unanswered", "decode_scope", "encode_scope"]
