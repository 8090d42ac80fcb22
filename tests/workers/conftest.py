"""A place of their own for the workers of each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def base() -> Iterator[Path]:
    # Not pytest's own: the address of a socket has no room for what that calls its folders.
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp" if os.path.isdir("/tmp") else None) as folder:
        yield Path(folder)
