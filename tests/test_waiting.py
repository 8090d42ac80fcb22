"""A test that waits for ever ends, on both event loops, and so does the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
CONFTEST = """
import pytest
from waiting_tests import pytest_pyfunc_call

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param
"""
TESTS = """
import anyio

async def test_waits():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)

async def test_does_not_wait():
    await anyio.lowlevel.checkpoint()
"""


@pytest.mark.slow
def test_async_test_that_waits_for_ever_is_ended(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nanyio_mode = auto\ntimeout = 4\npythonpath = {SUPPORT}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, cwd=tmp_path)
    assert "2 failed, 2 passed" in done.stdout
    assert done.stdout.count("TimeoutError") >= 2
    assert "Timeout >" not in done.stdout
