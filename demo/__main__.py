"""`python -m holdfast.demo`: a server, a proxy that misbehaves as you tell it, and a page to watch both."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import webbrowser
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
import uvicorn
from starlette.types import ASGIApp

from .app import Events, create_app, create_switches
from .proxy import MisbehavingProxy
from .tcp import listen

__all__ = ["main", "run_demo"]

HOST = "127.0.0.1"
TRIES = 50


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # Signals are for `main`; there are two of these servers.


def first_free(port: int) -> socket.socket:
    """Listen on this port, or on the next one that is free.

    Raises:
        OSError: None of the next fifty is.
    """
    last = min(port + TRIES - 1, 65535)
    for candidate in range(port, last + 1):
        with suppress(OSError):
            return listen(HOST, candidate)
    raise OSError(f"no free port from {port} to {last}")


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncGenerator[None, None]:
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            try:
                yield
            finally:
                server.should_exit = True


@asynccontextmanager
async def run_demo(port: int) -> AsyncGenerator[MisbehavingProxy, None]:
    """Run the demo on this port, or the next that is free (0: any); yields its proxy, whose address is the page's."""
    with first_free(port) as public:
        public_port = public.getsockname()[1]
        # Any will do, but one beside the page's is easier to recognise.
        switches_socket = first_free(public_port + 1 if 0 < port < 65535 else 0)
        server_socket = listen(HOST, 0)
    proxy = MisbehavingProxy(HOST, server_socket.getsockname()[1], host=HOST, port=public_port)
    async with anyio.create_task_group() as tasks:
        events = Events(tasks)
        app = create_app(events, switches_port=switches_socket.getsockname()[1])
        switches = create_switches(proxy, lambda: events.count, events.report)
        async with serving(app, server_socket), serving(switches, switches_socket), proxy:
            yield proxy
        tasks.cancel_scope.cancel()


async def run(port: int, *, open_page: bool) -> None:
    async with run_demo(port) as proxy:
        address = f"{proxy.url}/"
        taken = f" (port {port} is taken)" if port and proxy.port != port else ""
        print(f"Open {address}{taken}  Ctrl-C ends it.", flush=True)
        if open_page:
            webbrowser.open(address)
        await interrupted()


async def interrupted() -> None:
    """Return when the user has had enough."""
    if sys.platform == "win32":
        await anyio.sleep_forever()
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def port_number(text: str) -> int:
    """A command-line argument.

    Raises:
        argparse.ArgumentTypeError: not a port.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.demo", description=__doc__)
    parser.add_argument(
        "--port", type=port_number, default=8000, help="of the page; the next free one if it is taken"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    options = parser.parse_args()
    try:
        with suppress(KeyboardInterrupt):
            anyio.run(lambda: run(options.port, open_page=options.open))
    except OSError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
