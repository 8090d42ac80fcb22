"""What recovery tests are made of: a published client in its own process, a server that obeys, a bad network."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal
from real_peer import http_client
from real_server import HOST, PATIENCE, until

from holdfast.demo.proxy import MisbehavingProxy

__all__ = [
    "CLIENTS",
    "ControlledServer",
    "Network",
    "OfficialClient",
    "bad_network",
    "controlled",
    "node",
    "official_client",
]

CLIENTS = Path(__file__).resolve().parent.parent / "clients"
DRIVER = CLIENTS / "recovery" / "driver.js"

Line = dict[str, Any]


def node() -> str:
    """The program that runs JavaScript."""
    assert (CLIENTS / "node_modules").exists(), "run: make setup"
    found = shutil.which("node")
    assert found is not None
    return found


class OfficialClient:
    """One `Manager` of socket.io-client and its sockets. Made by `official_client`.

    Attributes:
        lines: What has happened, in order.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self._commands = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            with self._changed:
                self.lines.append(json.loads(text))
                self._changed.notify_all()

    def end(self) -> None:
        """Without a goodbye."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def wait_for(self, kind: str, times: int = 1, namespace: str = "/") -> Any:
        """The last of so many lines of a kind."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.all(kind, namespace)) >= times, PATIENCE)
            assert came, f"no {kind} number {times} in {namespace}; there came {self.lines}"
            return self.all(kind, namespace)[times - 1]

    def all(self, kind: str, namespace: str = "/") -> list[Any]:
        """What came of one kind so far."""
        values = [line[kind] for line in self.lines if kind in line]
        return [value for value in values if value.get("namespace", namespace) == namespace]

    def tell(self, what: str, *, namespace: str = "/", **options: Any) -> Any:
        """Do something, and wait until that is done. See driver.js."""
        self._commands += 1
        assert self._process.stdin is not None
        command = {"do": what, "id": self._commands, "namespace": namespace, **options}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        with self._changed:
            came = self._changed.wait_for(lambda: self._answer(self._commands) is not None, PATIENCE)
            assert came, f"{what} did not end; there came {self.lines}"
        answer = self._answer(self._commands)
        assert answer is not None
        return answer["value"]

    def _answer(self, number: int) -> Line | None:
        return next((line for line in self.lines if line.get("done") == number), None)

    def round_trip(self, namespace: str = "/") -> None:
        """Whatever was said before, either way, has been heard."""
        assert self.tell("ask", namespace=namespace, args=["there?"]) == ["there?"]

    def heard(self, namespace: str = "/") -> list[Any]:
        """The first argument of every event so far; offsets come after it."""
        return [event["args"][0] for event in self.all("event", namespace) if event["name"] == "event"]


@contextmanager
def official_client(
    url: str, transports: Sequence[str], *, reconnection: bool = False
) -> Iterator[OfficialClient]:
    """A client that comes back when told to, or with ``reconnection`` by itself."""
    options = {"url": url, "transports": transports, "reconnection": reconnection}
    process = subprocess.Popen(
        [node(), str(DRIVER), json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    client = OfficialClient(process)
    try:
        yield client
    finally:
        client.end()


class ControlledServer:
    """A server that does what the test asks: tests/apps/recovery_app.py, or node_server.js."""

    def __init__(self, port: int, client: httpx.Client) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._client = client

    def try_to_tell(self, what: str, **options: Any) -> httpx.Response:
        """Ask for something that may fail."""
        # A connection that is kept alive may be closed by the server just when it is used again.
        headers = {"connection": "close"}
        return self._client.post("/control", json={"do": what, **options}, headers=headers)

    def tell(self, what: str, **options: Any) -> Any:
        """Do something, see tests/apps/recovery_app.py."""
        response = self.try_to_tell(what, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def emit(
        self,
        *args: object,
        namespace: str = "/",
        rooms: Sequence[str] = (),
        except_: Sequence[str] = (),
        volatile: bool = False,
    ) -> None:
        """The event ``event``, to rooms or to all."""
        options = {"rooms": list(rooms), "except": list(except_), "volatile": volatile}
        self.tell("emit", namespace=namespace, args=list(args), **options)

    def live(self, id: str) -> list[Line]:
        """The sockets of this id for which ``connect`` ran, and ``disconnect`` not yet."""
        return [socket for socket in self.tell("live") if socket["id"] == id]

    def log(self, *kinds: str, id: str) -> list[list[Any]]:
        """What happened to the sockets of an id, in order; without the id."""
        return [[kind, *rest] for kind, of, *rest in self.tell("log") if of == id and kind in kinds]

    def until_attached(self, id: str) -> None:
        """Return when it could send to this client at once. One that is between two polls could not be seen to go."""
        until(lambda: any(socket["attached"] for socket in self.live(id)), "a carrier")

    def until_gone(self, id: str) -> None:
        """Return when the server has noticed."""
        until(lambda: not self.live(id), "the server's knowledge that the client is gone")


@contextmanager
def controlled(port: int) -> Iterator[ControlledServer]:
    with http_client(f"http://{HOST}:{port}") as client:
        yield ControlledServer(port, client)


class Network:
    """A `MisbehavingProxy` on an event loop of its own."""

    def __init__(self, proxy: MisbehavingProxy, call: Callable[..., Any]) -> None:
        self._proxy = proxy
        self._call = call
        self.url = proxy.url

    def cut(self) -> None:
        """Reset all connections, and new ones until `mend`."""
        self._call(self._proxy.cut_all, float("inf"))

    def black_hole(self) -> None:
        """Connections stay, bytes vanish, and so do their ends."""
        self._call(self._proxy.black_hole)

    def mend(self) -> None:
        self._call(self._proxy.clear)


@contextmanager
def bad_network(port: int) -> Iterator[Network]:
    """A way to the server that breaks as told."""
    with start_blocking_portal() as portal, ExitStack() as stack:
        manager = portal.wrap_async_context_manager(MisbehavingProxy(HOST, port))
        proxy = manager.__enter__()
        # The failure of a test is not passed through the proxy's task group: it would come out wrapped.
        stack.callback(manager.__exit__, None, None, None)
        yield Network(proxy, portal.call)
