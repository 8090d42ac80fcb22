"""Workers of one host: how they find each other, what lies between them, and what goes over it."""

from __future__ import annotations

from .finder import Finder
from .siblings import Siblings, siblings_of

__all__ = ["Finder", "Siblings", "siblings_of"]
