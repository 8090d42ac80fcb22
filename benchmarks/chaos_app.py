"""The servers that talk with `chaos_client.mjs`: ours, and python-socketio's. `chaos_server.mjs` is the same on Node.

``RECOVERY=1 uvicorn chaos_app:app --app-dir benchmarks``; the other one is ``chaos_app:socketio_app``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import socketio

from holdfast import Disconnected, Server, Socket
from holdfast.demo.checker import Acks, Checker, Payloads

__all__ = ["app", "socketio_app"]

TICK_SECONDS = 0.005

Emit = Callable[[int, list[Any]], Awaitable[None]]


class Talk:
    """What the server says and hears in one talk."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.payloads = Payloads(plan.get("seed", 0), plan.get("limitBytes", 0), plan.get("binary", 0))
        self.checker = Checker(self.payloads if self.payloads.limit_bytes else None)
        self.acks = Acks()
        self.sent = 0
        self.heard: list[int] = []
        self.asking: set[asyncio.Task[None]] = set()
        self.socket: Socket | None = None

    def hear(self, number: int, data: object) -> None:
        self.heard.append(number)
        self.checker.take(number, data)

    async def speak(self, emit: Emit) -> None:
        """Say all there is to say, at the rate that was asked for."""
        began = time.monotonic()
        while self.sent < self.plan["count"]:
            owed = int((time.monotonic() - began) * self.plan["perSecond"]) + 1
            while self.sent < min(owed, self.plan["count"]):
                self.sent += 1
                data = self.payloads.of(self.sent)
                await emit(self.sent, [] if data is None else [data])
            await asyncio.sleep(TICK_SECONDS)

    def report(self) -> dict[str, Any]:
        more = {"damaged": self.checker.damaged, "acks": self.acks.to_json()}
        return {"sent": self.sent, "heard": self.heard, **more}


talks: dict[str, Talk] = {}
speaking: set[asyncio.Task[None]] = set()


def start(talk: Talk, emit: Emit) -> None:
    task = asyncio.create_task(talk.speak(emit))
    speaking.add(task)
    task.add_done_callback(speaking.discard)


# Ours

app = io = Server(connection_state_recovery=os.environ.get("RECOVERY") == "1")


async def ask(talk: Talk, socket: Socket, number: int, more: list[Any]) -> None:
    talk.acks.ask(number)
    try:
        talk.acks.answer(number, await socket.emit_with_ack("chaos-down", number, *more))
    except Disconnected:
        talk.acks.fail(number)


@io.on("chaos-join")
async def join(socket: Socket, plan: dict[str, Any]) -> None:
    is_new = plan["talk"] not in talks
    talk = talks.setdefault(plan["talk"], Talk(plan))
    talk.plan = plan
    talk.socket = socket
    socket.join(plan["talk"])
    every = plan.get("ackEvery", 0)

    async def emit(number: int, more: list[Any]) -> None:
        # To one peer it waits while much is on its way. An official client is told through its room, which is
        # there while it is away.
        if not plan.get("wait"):
            await io.to(plan["talk"]).emit("chaos-down", number, *more)
        elif talk.socket is not None:
            if every and number % every == 0:
                # In the order of its numbers: it is on its way when the first step of the task is done.
                task = asyncio.create_task(ask(talk, talk.socket, number, more))
                talk.asking.add(task)
                task.add_done_callback(talk.asking.discard)
                await asyncio.sleep(0)
            else:
                with suppress(Disconnected):
                    await talk.socket.emit("chaos-down", number, *more)

    if is_new:
        start(talk, emit)


@io.on("chaos-up")
async def up(socket: Socket, name: str, number: int, data: object = None) -> int:
    talks[name].hear(number, data)
    return number


@io.on("chaos-report")
async def report(socket: Socket, name: str) -> dict[str, Any]:
    return talks[name].report() if name in talks else {"sent": 0, "heard": []}


# python-socketio's

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
socketio_app = socketio.ASGIApp(sio)


@sio.on("chaos-join")
async def socketio_join(sid: str, plan: dict[str, Any]) -> None:
    name = plan["talk"]
    await sio.enter_room(sid, name)

    async def emit(number: int, more: list[Any]) -> None:
        await sio.emit("chaos-down", (number, *more), room=name)

    if name not in talks:
        talks[name] = Talk(plan)
        start(talks[name], emit)


@sio.on("chaos-up")
async def socketio_up(sid: str, name: str, number: int, data: object = None) -> int:
    if name in talks:
        talks[name].hear(number, data)
    return number


@sio.on("chaos-report")
async def socketio_report(sid: str, name: str) -> dict[str, Any]:
    return talks[name].report() if name in talks else {"sent": 0, "heard": []}
