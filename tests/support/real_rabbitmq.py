"""A RabbitMQ of our own: its own data, its own ports, ended by its own process id."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from real_server import Running, free_port, running

__all__ = ["rabbitmq"]

_HOME = Path("/usr/lib/rabbitmq/bin")


@contextmanager
def rabbitmq() -> Iterator[Running]:
    """A broker whose STOMP port is there; user and passcode are ``guest``."""
    server = _HOME / "rabbitmq-server"
    assert server.exists(), "run: make setup"
    port, names = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "plugins").write_text("[rabbitmq_stomp].")
        (root / "rabbit.conf").write_text(f"listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{port}\n")
        environment = {
            "HOME": folder,
            "RABBITMQ_NODENAME": f"holdfast{port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(root / "data"),
            "RABBITMQ_LOG_BASE": str(root / "log"),
            "RABBITMQ_PID_FILE": str(root / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(root / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(root / "rabbit"),
            # The daemon that knows the names of nodes is our own, too.
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Two cores are for more than this.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        try:
            with running([str(server)], port, **environment) as broker:
                try:
                    yield broker
                finally:
                    # The script waits for its child, which is the broker.
                    os.kill(int((root / "pid").read_text()), 15)
                    broker.process.wait(30)
        finally:
            subprocess.run(
                ["epmd", "-kill"], env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=False
            )
