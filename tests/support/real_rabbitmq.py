"""A RabbitMQ of our own: its own data, its own ports, ended by its own process id."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from real_server import HOST, free_port, running

__all__ = ["Broker", "rabbitmq"]

_HOME = Path("/usr/lib/rabbitmq/bin")


@dataclass(frozen=True)
class Broker:
    """A broker that runs.

    Attributes:
        port, tls_port: Of STOMP, plain and by TLS.
        certificate: What it shows by TLS: for 127.0.0.1, signed by itself.
    """

    port: int
    tls_port: int
    certificate: Path


def _certificate(folder: Path) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=broker"
    extension = ["-addext", f"subjectAltName=IP:{HOST}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *extension], check=True, capture_output=True)
    # The broker is another user.
    key.chmod(0o644)
    return key, certificate


@contextmanager
def rabbitmq() -> Iterator[Broker]:
    """A broker whose STOMP port is there; user and passcode are ``guest``."""
    server = _HOME / "rabbitmq-server"
    assert server.exists(), "run: make setup"
    port, tls_port, names = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        key, certificate = _certificate(root)
        (root / "plugins").write_text("[rabbitmq_stomp].")
        settings = {
            "listeners.tcp": "none",
            "stomp.listeners.tcp.1": f"{HOST}:{port}",
            "stomp.listeners.ssl.1": f"{HOST}:{tls_port}",
            "ssl_options.certfile": certificate,
            "ssl_options.keyfile": key,
            "ssl_options.cacertfile": certificate,
        }
        (root / "rabbit.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
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
            "ERL_EPMD_ADDRESS": HOST,
            # Two cores are for more than this.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        try:
            with running([str(server)], port, **environment) as broker:
                try:
                    yield Broker(port, tls_port, certificate)
                finally:
                    # The script waits for its child, which is the broker.
                    os.kill(int((root / "pid").read_text()), 15)
                    broker.process.wait(30)
        finally:
            subprocess.run(
                ["epmd", "-kill"], env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=False
            )
