"""`python -m examples`, in the repository's folder: runs the examples and prints their addresses."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module

import anyio
import uvicorn
from anyio.abc import TaskStatus

from holdfast.demo.__main__ import first_free, interrupted, port_number

__all__ = ["main"]

EXAMPLES = ("chat", "whiteboard")
FRAMEWORKS = ("fastapi", "starlette")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # Signals are for `run`; there are two of these servers.


async def serve(name: str, framework: str, port: int, *, task_status: TaskStatus[_Server]) -> None:
    app = import_module(f"examples.{name}.{framework}_app").app
    with first_free(port) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        server = _Server(config)
        print(f"Open {address}  ({name}, {framework})", flush=True)
        task_status.started(server)
        await server.serve([listener])


async def run(names: Sequence[str], framework: str, port: int) -> None:
    async with anyio.create_task_group() as tasks:
        servers = [await tasks.start(serve, name, framework, port) for name in names]
        print("Ctrl-C ends it.", flush=True)
        await interrupted()
        for server in servers:
            server.should_exit = True


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("examples", nargs="*", choices=[[], *EXAMPLES], help="one of them; both by default")
    parser.add_argument("--framework", choices=FRAMEWORKS, default=FRAMEWORKS[0])
    parser.add_argument(
        "--port", type=port_number, default=8000, help="of the first one; the next free one if it is taken"
    )
    options = parser.parse_args()
    try:
        with suppress(KeyboardInterrupt):
            anyio.run(run, options.examples or EXAMPLES, options.framework, options.port)
    except OSError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
