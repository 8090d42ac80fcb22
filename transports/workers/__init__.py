"""Workers of one host: how they find each other, what lies between them, and what goes over it."""

from __future__ import annotations

from .siblings import Siblings, siblings_of

__all__ = ["Siblings", "siblings_of"]
