"""Runs python-socketio's clients as JSON lines tell; the format stands in tests/support/client_driver.py."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import socketio

TIMEOUT = 10
NAMESPACES = ("/", "/custom", "/other", "/closed", "/unknown")

CLIENTS: dict[str, Callable[..., Any]] = {
    "python-AsyncClient": lambda **options: socketio.AsyncClient(**options),
    "python-AsyncClient-msgpack": lambda **options: socketio.AsyncClient(serializer="msgpack", **options),
    "python-Client": lambda **options: in_order(socketio.Client(**options)),
    "python-Client-msgpack": lambda **options: in_order(socketio.Client(serializer="msgpack", **options)),
}

_printing = threading.Lock()


def in_order(client: socketio.Client) -> socketio.Client:
    """Take over what arrives one after the other.

    By itself this client starts a thread for each message, so that events overtake each other, and attachments the
    packet they belong to.
    """
    start_thread, one_thread = client.eio.start_background_task, ThreadPoolExecutor(1)

    def start(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if target == client.eio.handlers["message"]:
            return one_thread.submit(target, *args, **kwargs)
        return start_thread(target, *args, **kwargs)

    client.eio.start_background_task = start
    return client


def to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return {key: to_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        return {key: from_json(item) for key, item in value.items()}
    return value


def print_line(**value: Any) -> None:
    with _printing:
        print(json.dumps(to_json(value)), flush=True)


async def finished(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A method of either client: one is awaited, the other blocks."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


class Peer:
    def __init__(self, number: int, client: str) -> None:
        self.number = number
        options = {"reconnection_delay": 0.02, "reconnection_delay_max": 0.1, "randomization_factor": 0}
        self.client = CLIENTS[client](handle_sigint=False, **options)
        self.refusals: dict[str, Any] = {}
        for namespace in NAMESPACES:
            self._listen(namespace)

    def _listen(self, namespace: str) -> None:
        def note(event: str, *args: Any) -> None:
            print_line(peer=self.number, namespace=namespace, event=event, args=args)

        on = self.client.on
        on("connect", lambda: note("connect"), namespace=namespace)
        on("disconnect", lambda reason: note("disconnect", reason), namespace=namespace)
        on("connect_error", lambda error: self.refusals.update({namespace: error}), namespace=namespace)
        on("question", lambda *args: args[::-1], namespace=namespace)
        on("*", note, namespace=namespace)

    async def connect(self, *, url: str, transports: list[str], namespaces: list[str], auth: Any) -> Any:
        try:
            await finished(
                self.client.connect,
                url,
                transports=transports,
                namespaces=namespaces,
                auth=auth,
                wait_timeout=TIMEOUT,
            )
        except socketio.exceptions.ConnectionError:
            if not self.refusals:
                raise
        return {namespace: self.refusals.get(namespace, "connected") for namespace in namespaces}

    async def upgraded(self) -> None:
        # It upgrades before `connect` returns; after a reconnection, before it says that it is connected.
        assert self.client.transport() == "websocket"

    async def transport(self) -> str:
        return self.client.transport()

    async def emit(self, *, event: str, args: list[Any], namespace: str, times: int) -> None:
        for number in range(times):
            values = tuple(args) if times == 1 else (number, *args)
            await finished(self.client.emit, event, values, namespace=namespace)

    async def ask(self, *, event: str, args: list[Any], namespace: str) -> list[Any]:
        reply: Future[list[Any]] = Future()

        def answered(*values: Any) -> None:
            reply.set_result(list(values))

        await finished(self.client.emit, event, tuple(args), namespace=namespace, callback=answered)
        return await asyncio.wait_for(asyncio.wrap_future(reply), TIMEOUT)

    async def disconnect(self) -> None:
        await finished(self.client.shutdown)
        http = self.client.eio.http
        if http is not None:
            await finished(http.close)


peers: dict[int, Peer] = {}


async def run(id: int, peer: int, do: str, **values: Any) -> None:
    try:
        if do == "connect":
            peers[peer] = Peer(peer, values.pop("client"))
        result = None
        if do != "disconnect":
            result = await getattr(peers[peer], do)(**values)
        elif peer in peers:
            await peers.pop(peer).disconnect()
        print_line(id=id, result=result)
    except Exception as error:
        print_line(id=id, error=repr(error))


async def main() -> None:
    tasks: set[asyncio.Task[None]] = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(run(**from_json(json.loads(line))))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    # Without waiting for threads: those of the blocking client may have a last request to wait for.
    os._exit(0)


asyncio.run(main())
