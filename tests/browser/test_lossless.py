"""2,000 numbered events each way through a network that does its worst, in a real browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from browser import launch, open_page, serve, until, with_page
from playwright.async_api import Page

from holdfast import Server, Socket
from holdfast.demo.proxy import Kind, MisbehavingProxy, Mishap

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.timeout(300)]

EVENTS = 2_000
CHANGES = 32
PER_SECOND = 60

PAGE = (
    """<!doctype html><title>lossless</title><script type="module">
import { io } from "/socket.io/holdfast.esm.min.js";
const t = window.t = { sent: 0, heard: [], changes: [], disconnects: 0, connects: 0, carrier: null, stop: false };
const socket = window.socket = io({
  answerMs: 1500, doubtMs: 800, probeMs: 600,
  laterMs: [200], demoteMs: 400, usefulMs: 100,
});
socket.on("connect", () => t.connects++);
socket.on("disconnect", (reason) => { t.disconnects++; t.reason = reason; });
socket.io.on("transport", ({ from, to, reason }) => { t.carrier = to; t.changes.push([from, to, reason]); });
socket.on("down", (n) => t.heard.push(n));
setInterval(() => { if (t.connects && !t.stop) socket.emit("up", ++t.sent); }, 1000 / %d);
</script>"""
    % PER_SECOND
)


class Numbers:
    """The server's side: what it said and what it heard."""

    def __init__(self, io: Server) -> None:
        self.heard: list[int] = []
        self.sent = 0
        self.stop = False
        self.disconnects: list[str] = []
        io.on("connect", self.connect)
        io.on("up", self.up)
        io.on("disconnect", self.disconnect)
        self.socket: Socket | None = None

    async def connect(self, socket: Socket) -> None:
        self.socket = socket

    async def up(self, socket: Socket, number: int) -> None:
        self.heard.append(number)

    async def disconnect(self, socket: Socket, reason: str) -> None:
        self.disconnects.append(reason)

    async def speak(self) -> None:
        while not self.stop:
            if self.socket is not None:
                self.sent += 1
                await self.socket.emit("down", self.sent)
            await anyio.sleep(1 / PER_SECOND)


async def carried_by(page: Page, *kinds: str) -> None:
    await until(page, f"{list(kinds)}.includes(t.carrier)")


async def changed(page: Page, act: Callable[[], object]) -> None:
    """Do something and wait until the session has moved."""
    before = await page.evaluate("t.changes.length")
    act()
    await until(page, f"t.changes.length > {before}")


async def cut_websocket(page: Page, proxy: MisbehavingProxy) -> None:
    await carried_by(page, "websocket")
    await changed(page, lambda: proxy.cut(Kind.WEBSOCKET))


async def without_websocket(page: Page, proxy: MisbehavingProxy) -> None:
    """On the stream, wherever the session was (a busy machine may have moved it on its own)."""
    proxy.set(refuse_websocket=True)
    proxy.cut(Kind.WEBSOCKET)
    await carried_by(page, "stream")


async def refused_websocket(page: Page, proxy: MisbehavingProxy) -> None:
    await without_websocket(page, proxy)
    await changed(page, lambda: proxy.cut(Kind.STREAM))
    proxy.clear()
    await carried_by(page, "websocket")


async def swallowed_websocket(page: Page, proxy: MisbehavingProxy) -> None:
    proxy.set(swallow_websocket=True)
    await carried_by(page, "stream", "polling")
    proxy.clear()
    await carried_by(page, "websocket")


async def buffered_stream(page: Page, proxy: MisbehavingProxy) -> None:
    await without_websocket(page, proxy)
    proxy.set(hold_streams=True)
    await carried_by(page, "polling")
    proxy.set(hold_streams=False)
    await carried_by(page, "stream")
    proxy.clear()
    await carried_by(page, "websocket")


async def cut_in_the_middle(page: Page, proxy: MisbehavingProxy) -> None:
    await without_websocket(page, proxy)
    plans = [
        proxy.next(Mishap.CUT_REQUEST, of=Kind.POST, after_bytes=40),
        proxy.next(Mishap.LOSE_ANSWER, of=Kind.POST),
        proxy.next(Mishap.REPEAT, of=Kind.POST),
        proxy.next(Mishap.CUT_RESPONSE, of=Kind.STREAM, after_bytes=2300),
        proxy.next(Mishap.CUT_RESPONSE, of=Kind.POLL, after_bytes=30),
        proxy.next(Mishap.LOSE_ANSWER, of=Kind.POLL),
    ]
    proxy.cut(Kind.STREAM)
    for plan in plans:
        with anyio.move_on_after(8):
            await plan.wait()
    proxy.clear()
    await carried_by(page, "websocket")


ROUND: list[Callable[[Page, MisbehavingProxy], Awaitable[None]]] = [
    cut_websocket,
    refused_websocket,
    swallowed_websocket,
    buffered_stream,
    cut_in_the_middle,
    cut_websocket,
]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_nothing_is_lost_repeated_or_reordered(anyio_backend: str) -> None:
    io = Server(counting_ping_interval=2.0, counting_ping_timeout=1.0)
    numbers = Numbers(io)
    async with (
        serve(with_page(io, PAGE)) as port,
        MisbehavingProxy("127.0.0.1", port) as proxy,
        launch() as browser,
        anyio.create_task_group() as tasks,
    ):
        page, errors = await open_page(browser, proxy.url)
        await until(page, "window.t && t.connects")
        tasks.start_soon(numbers.speak)
        step = 0
        while len(await page.evaluate("t.changes")) <= CHANGES:
            await ROUND[step % len(ROUND)](page, proxy)
            step += 1
        proxy.clear()
        await until(page, f"t.sent >= {EVENTS} && t.heard.length >= {EVENTS}", timeout_ms=120_000)
        await page.evaluate("t.stop = true")
        numbers.stop = True
        sent_up = await page.evaluate("t.sent")
        await until(page, f"t.heard.length >= {numbers.sent}")
        with anyio.fail_after(20):
            while len(numbers.heard) < sent_up:
                await anyio.sleep(0.01)
        state = await page.evaluate("t")
        print(f"{sent_up} up, {numbers.sent} down, {len(state['changes'])} changes of carrier, {step} steps")
        print([change[1] for change in state["changes"]])
        print(dict(proxy.stats.faults))
        assert numbers.heard == list(range(1, sent_up + 1))
        assert state["heard"] == list(range(1, numbers.sent + 1))
        assert state["disconnects"] == 0
        assert state["connects"] == 1
        assert numbers.disconnects == []
        assert errors == []
