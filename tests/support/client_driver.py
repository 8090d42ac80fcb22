"""Clients that live in another process, told by JSON lines what to do: one process per language, whatever runs in it.

Here goes ``{"id": 1, "peer": 3, "do": "ask", ...}``, there ``{"id": 1, "result": ...}``, or "error"; and in between
``{"peer": 3, "namespace": "/", "event": "welcome", "args": [...]}`` for what a peer hears. Bytes are written as
``{"$bytes": base64}``, JavaScript's undefined as ``{"$undefined": true}``.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

__all__ = [
    "ELSEWHERE",
    "ENGINES",
    "EVERYBODY",
    "JAVASCRIPT",
    "OURS",
    "PYTHON",
    "STANDARD_WAYS",
    "UNDEFINED",
    "WAYS",
    "Driver",
    "Peer",
    "driving",
    "joined",
    "ways_of",
]

PATIENCE = 40.0
UNDEFINED = {"$undefined": True}
WAYS: dict[str, list[str]] = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
    "stream": ["stream"],
}
STANDARD_WAYS = ["polling", "websocket", "upgrade"]

JAVASCRIPT = [
    "socket.io-client-4.8",
    "socket.io-client-4.8-msgpack",
    "socket.io-client-4.0",
    "socket.io-client-3.0",
]
PYTHON = ["python-AsyncClient", "python-AsyncClient-msgpack", "python-Client", "python-Client-msgpack"]
ENGINES = ["engine.io-client-6.6", "engine.io-client-5.0", "engine.io-client-4.0"]
# Behind the @ is the server, if it is not ours. The second shows that the tests ask for what Socket.IO does.
ELSEWHERE = ["holdfast-client@socket.io", "socket.io-client-4.8@socket.io"]
OURS = ["holdfast-client", "holdfast-client-compat"]
EVERYBODY = [*JAVASCRIPT, *PYTHON, *OURS, *ELSEWHERE]


def ways_of(pair: str) -> list[str]:
    """By which ways a client can go at its server."""
    return [*WAYS] if pair in OURS else STANDARD_WAYS


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, dict):
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        return {key: _from_json(item) for key, item in value.items()}
    return value


class Driver:
    """A process with clients in it."""

    def __init__(self, process: subprocess.Popen[str], log: Callable[[], str]) -> None:
        self._process = process
        self._log = log
        self._ids = count(1)
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self.heard: dict[tuple[int, str, str], deque[list[Any]]] = defaultdict(deque)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            value = _from_json(json.loads(line))
            with self._changed:
                if "id" in value:
                    self._answers[value["id"]] = value
                else:
                    self.heard[value["peer"], value["namespace"], value["event"]].append(value["args"])
                self._changed.notify_all()

    def call(self, do: str, **values: Any) -> Any:
        """Let something be done, and return what came of it.

        Raises:
            RuntimeError: the client raised.
        """
        id = next(self._ids)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(_to_json({"id": id, "do": do, **values})) + "\n")
        self._process.stdin.flush()
        self.until(lambda: id in self._answers, f"the answer to {do!r}")
        answer = self._answers.pop(id)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what the process will say."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not condition():
                assert self._process.poll() is None, self._log()
                assert self._changed.wait(deadline - time.monotonic()), f"{what} did not come\n{self._log()}"

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()


@contextmanager
def driving(command: Sequence[str]) -> Iterator[Driver]:
    # No proxy of the environment may stand between the tests and a server on the same machine.
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with tempfile.TemporaryFile("w+") as errors:

        def log() -> str:
            errors.seek(0)
            return errors.read()[-10_000:]

        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            bufsize=1,
            env=environment,
        )
        driver = Driver(process, log)
        try:
            yield driver
        finally:
            driver.end()


class Peer:
    """One client, with a session of its own."""

    _numbers = count(1)

    def __init__(self, driver: Driver, client: str, way: str) -> None:
        self._driver = driver
        self._client = client
        self.way = way
        self._number = next(self._numbers)

    def _call(self, do: str, **values: Any) -> Any:
        return self._driver.call(do, peer=self._number, **values)

    def connect(self, url: str, *namespaces: str, auth: object = None) -> dict[str, Any]:
        """Connect to namespaces, all at once; how each of them answered: "connected", or its refusal."""
        return self._call(
            "connect",
            client=self._client,
            url=url,
            transports=WAYS[self.way],
            namespaces=namespaces or ("/",),
            auth=auth,
        )

    def upgraded(self) -> None:
        """Wait until the WebSocket has taken over."""
        self._call("upgraded")

    def transport(self) -> str:
        return self._call("transport")

    def emit(self, event: str, *args: object, namespace: str = "/", times: int = 1) -> None:
        """Emit an event; several ``times`` with their numbers, from 0, as first argument."""
        self._call("emit", event=event, args=args, namespace=namespace, times=times)

    def ask(self, event: str, *args: object, namespace: str = "/") -> list[Any]:
        """Emit an event and return all arguments of its acknowledgement."""
        return self._call("ask", event=event, args=args, namespace=namespace)

    def next(self, event: str, namespace: str = "/") -> list[Any]:
        """The arguments of the next event of this name; also of "connect" and "disconnect"."""
        heard = self._driver.heard[self._number, namespace, event]
        self._driver.until(lambda: bool(heard), f"{event!r} in {namespace}")
        return heard.popleft()

    def heard(self, event: str, namespace: str = "/") -> list[list[Any]]:
        """What has come of this event, and was not asked for by `next`."""
        return list(self._driver.heard[self._number, namespace, event])

    def leave(self, namespace: str) -> None:
        """Disconnect from one namespace."""
        self._call("leave", namespace=namespace)

    def disconnect(self) -> None:
        """Disconnect for good; idempotent."""
        self._call("disconnect")


def joined(peer: Peer, url: str, *namespaces: str, auth: object = None) -> Peer:
    """The peer, connected and welcome, and on the WebSocket if that is its way."""
    answers = peer.connect(url, *namespaces, auth=auth)
    assert set(answers.values()) == {"connected"}, answers
    for namespace in namespaces or ("/",):
        assert peer.next("connect", namespace) == []
        assert peer.next("welcome", namespace)[0] == namespace
    if peer.way == "upgrade":
        peer.upgraded()
    return peer
