"""A browser's own process: started, waited for until it says where it listens, ended by its own process id."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["browser_process"]

START_SECONDS = 90.0
END_SECONDS = 10.0


@asynccontextmanager
async def browser_process(*command: str, says: str) -> AsyncIterator[tuple[Process, str]]:
    """Run a browser.

    Args:
        command: The program and its arguments.
        says: What stands before its address in what it writes.

    Yields:
        The process, and the address for remote control.
    """
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=PIPE)
    try:
        assert process.stderr is not None
        address = await asyncio.wait_for(_address(process.stderr, says), START_SECONDS)
        drained = asyncio.create_task(_drain(process.stderr))
        yield process, address
        drained.cancel()
    finally:
        await _end(process)


async def _address(output: asyncio.StreamReader, says: str) -> str:
    said = ""
    while line := (await output.readline()).decode(errors="replace"):
        said += line
        if line.startswith(says):
            return line.removeprefix(says).strip()
    raise AssertionError(f"the browser did not start: {said}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass


async def _end(process: Process) -> None:
    for ask in (process.terminate, process.kill):
        if process.returncode is None:
            ask()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), END_SECONDS)
