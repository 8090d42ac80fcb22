"""M1: those who read nothing of 20 MB each cost a server at most 10 MB, all five together, and are gone soon."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from real_server import Running, free_port, running, server_command, until

pytestmark = pytest.mark.servers

PATH = "/socket.io/?EIO=4&transport="
MEGABYTE = 1_000_000


def memory(pid: int, what: str) -> int:
    """Bytes of a process: "VmRSS" now, "VmHWM" at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {what}")


def state(server: Running) -> dict[str, Any]:
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request("GET", "/state")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


class Stalled:
    """Clients that ask for much and then read nothing."""

    def __init__(self, server: Running, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack

    def _raw(self) -> socket.socket:
        peer = self._stack.enter_context(socket.socket())
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        peer.settimeout(20)
        peer.connect(("127.0.0.1", self._server.port))
        return peer

    def _get(self, peer: socket.socket, query: str, *headers: str) -> None:
        lines = [f"GET {PATH}{query} HTTP/1.1", f"Host: {self._server.address}", *headers, "", ""]
        peer.sendall("\r\n".join(lines).encode())

    def _post(self, query: str, body: str) -> None:
        connection = http.client.HTTPConnection(self._server.address, timeout=20)
        connection.request("POST", PATH + query, body)
        assert connection.getresponse().status == 200
        connection.close()

    @staticmethod
    def _read_until(peer: socket.socket, mark: bytes) -> bytes:
        found = b""
        while mark not in found:
            piece = peer.recv(4_096)
            assert piece, found
            found += piece
        return found

    def websocket(self, name: str, more: str) -> None:
        peer = self._raw()
        self._get(
            peer,
            f"websocket{more}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        self._read_until(peer, b'"sid"')
        for text in ("40", f'42["go","{name}"]'):
            peer.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode())

    def stream(self, name: str, more: str) -> None:
        peer = self._raw()
        self._get(peer, f"stream{more}")
        found = self._read_until(peer, b"}\n\n").decode()
        opened = json.loads(found[found.index("0{") + 1 :].partition("\n")[0])
        self._ask(name, more, opened)

    def polling(self, name: str, more: str) -> None:
        connection = http.client.HTTPConnection(self._server.address, timeout=20)
        connection.request("GET", f"{PATH}polling{more}")
        opened = json.loads(connection.getresponse().read()[1:])
        connection.close()
        self._ask(name, more, opened)
        headers: list[str] = []
        if more:
            attach = {"key": opened["holdfast"]["key"], "received": 0, "carrier": 2}
            headers = [f"Holdfast-Attach: {json.dumps(attach)}"]
        # What it asked for waits already.
        until(lambda: state(self._server)["sent"].get(name, 0) > 10)
        self._get(self._raw(), f"polling{more}&sid={opened['sid']}", *headers)

    def _ask(self, name: str, more: str, opened: dict[str, Any]) -> None:
        body = f'40\x1e42["go","{name}"]'
        if more:
            attach = {"key": opened["holdfast"]["key"], "received": 0}
            body = f"7{json.dumps(attach)}\x1e91\x1e{body}"
        self._post(f"polling{more}&sid={opened['sid']}", body)


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn-fast", "hypercorn-asyncio"])
def test_m1_stalled_readers_cost_at_most_ten_megabytes(name: str) -> None:
    port = free_port()
    with running(server_command(name, "stalled_app:app", port), port) as server, ExitStack() as stack:
        clients = Stalled(server, stack)
        # What a first client costs of code is no cost of a stalled one.
        before = state(server)
        assert before["sessions"] == 0
        # hypercorn works in a process of its own.
        pid = before["pid"]
        base = memory(pid, "VmRSS")
        counting = "&holdfast=1"
        clients.websocket("websocket", counting)
        clients.websocket("plain websocket", "")
        clients.stream("stream", counting)
        clients.polling("polling", counting)
        clients.polling("plain polling", "")
        until(lambda: len(state(server)["ended"]) == 5, "the end of those who read nothing")
        until(lambda: state(server)["sessions"] == 0, "the end of their sessions")
        assert max(state(server)["sent"].values()) < 1_500
        assert memory(pid, "VmHWM") - base < 10 * MEGABYTE
        assert memory(pid, "VmRSS") - base < 10 * MEGABYTE
