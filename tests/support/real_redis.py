"""A Redis of our own: in memory, on its own port and socket, ended by its own process id."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
from real_server import Running, free_port, running

__all__ = ["Redis", "redis_server", "until"]


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again until something holds that a Redis and others bring about."""
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


class Redis:
    """One that may be ended and started again at the same place."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self._options = options
        self._folder = folder
        self._stack = ExitStack()
        self.server: Running | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        assert binary is not None, "run: make setup"
        places = [
            f"--port {self.port}",
            "--bind 127.0.0.1",
            f"--unixsocket {self.socket}",
            f"--dir {self._folder}",
        ]
        words = " ".join([*places, "--save '' --appendonly no", *self._options])
        configuration = self._folder / "redis.conf"
        configuration.write_text("\n".join(part.strip() for part in words.split("--") if part))
        self.server = self._stack.enter_context(running([binary, str(configuration)], self.port))

    def stop(self) -> None:
        """At once, as if it was killed; what it had is lost."""
        if self.server is not None:
            self.server.process.kill()
            self.server.process.wait()
            self.server = None
        self._stack.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It is there, takes connections and says nothing."""
        assert self.server is not None
        os.kill(self.server.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.process.pid, signal.SIGCONT)


@contextmanager
def redis_server(*options: str) -> Iterator[Redis]:
    """One that answers; ``options`` as on its command line."""
    with tempfile.TemporaryDirectory() as folder:
        redis = Redis(Path(folder), *options)
        redis.start()
        try:
            yield redis
        finally:
            redis.stop()
