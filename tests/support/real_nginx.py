"""A real nginx in front of a server: one that passes everything on, two that leave something out, and a hostile one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from real_server import HOST, Running, free_port, running

__all__ = ["Nginx", "nginx_before"]

_UPGRADE = """
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;"""

_HOST = """
            proxy_set_header Host $http_host;"""

_HOSTILE = (
    _HOST
    + """
            proxy_http_version 1.0;
            proxy_ignore_headers X-Accel-Buffering;
            proxy_read_timeout 5s;
            proxy_send_timeout 5s;
            client_max_body_size 1k;
            gzip on;
            gzip_types *;
            gzip_min_length 1;
            gzip_proxied any;"""
)

_SERVER = """
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://{upstream};{lines}
        }}
    }}
"""

_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        ''      '';
    }}
{servers}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Addresses of the four.

    Attributes:
        complete: Passes on the host and the WebSocket's upgrade.
        without_upgrade: Knows nothing of WebSocket.
        without_host: The default: the upstream's address for a host.
        hostile: No WebSocket, HTTP/1.0 to the server, all answers held back and compressed, 5 s for each of them, and
            1 kB for what is brought.
    """

    complete: str
    without_upgrade: str
    without_host: str
    hostile: str


@contextmanager
def nginx_before(upstream: Running, folder: Path) -> Iterator[Nginx]:
    """nginx as a foreground process, configured in ``folder``."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    assert Path(program).exists(), "run: make setup"
    ports = [free_port() for _ in range(4)]
    lines = [_HOST + _UPGRADE, _HOST, _UPGRADE, _HOSTILE]
    servers = [
        _SERVER.format(host=HOST, port=port, upstream=upstream.address, lines=some)
        for port, some in zip(ports, lines, strict=True)
    ]
    # Without this root's workers would be another user, who may not write here.
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(user=user, folder=folder, servers="".join(servers)))
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    with running(command, ports[0]):
        yield Nginx(*[f"http://{HOST}:{port}" for port in ports])
