"""The application of docs/chaos.md, as it stands there, is put through what any other one is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_server import free_port, running

PAGE = Path(__file__).parents[2] / "docs" / "chaos.md"

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(300)]

Chaos = Callable[..., tuple[int, list[dict[str, Any]], str]]


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_application_of_the_page_passes(chaos: Chaos, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks()[0])
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", f"--app-dir={tmp_path}", f"--port={port}"]
    with running(command, port) as server:
        options = ("--events=100", "--rate=50", "--cuts=2", "--only=auto")
        status, cases, printed = chaos(f"--url={server.url}", *options)
        assert (status, len(cases)) == (0, 2), printed
        assert {case["figures"]["disconnects"] for case in cases} == {0}
        assert "Traceback" not in server.log()


def test_the_test_of_the_page_compiles() -> None:
    names: dict[str, object] = {}
    exec(compile(blocks()[1], "docs/chaos.md", "exec"), names)
    assert "through_bad_weather" in names
