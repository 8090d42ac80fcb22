"""What a page must be able to do, in each browser: find a way through, keep it, take the next one, say good-bye."""

from __future__ import annotations

from typing import Any

import pytest
from browser import eventually, serve, with_page
from browsers import Browser, Tab

from holdfast import Server, Socket
from holdfast.demo.proxy import Kind, MisbehavingProxy

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PAGE = """<!doctype html><title>main</title><link rel="icon" href="data:,"><script type="module">
import { io } from "/socket.io/holdfast.esm.min.js";
const t = window.t = { heard: [], carriers: [], connects: 0, disconnects: [], errors: [], sent: 0 };
const asked = new URL(location).searchParams;
const socket = window.socket = io({
  ...(asked.has("transports") && { transports: asked.get("transports").split(",") }),
  ...(asked.has("quick") && { answerMs: 1500, doubtMs: 800, probeMs: 600, laterMs: [200], demoteMs: 400 }),
});
socket.on("connect", () => t.connects++);
socket.on("disconnect", (reason) => t.disconnects.push(reason));
socket.on("connect_error", (error) => t.errors.push(error.message));
socket.io.on("transport", ({ to }) => t.carriers.push(to));
socket.on("down", (n) => t.heard.push(n));
socket.on("bytes", (...parts) => socket.emit("bytes back", ...parts.map((part) => new Uint8Array(part).reverse())));
window.speak = (count) => { while (count--) socket.emit("up", ++t.sent); };
</script>"""

COMPAT_PAGE = """<!doctype html><title>compat</title><link rel="icon" href="data:,">
<script src="/socket.io/holdfast.compat.min.js"></script><script>
const t = window.t = { heard: [], replies: [] };
const socket = window.socket = io({ transports: ["polling", "websocket"] });
socket.on("bytes", (data) => t.heard.push([data instanceof ArrayBuffer, ...new Uint8Array(data)]));
socket.emit("upload", new File(["ab"], "a.txt"), (reply) => t.replies.push(reply));
</script>"""

# Seconds, on a busy machine. A heartbeat takes 45 to miss a page.
AT_ONCE = 5.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Application:
    """The server's side: what it heard, what it said, who has gone."""

    def __init__(self) -> None:
        self.io = Server()
        self.heard: list[int] = []
        self.bytes: list[tuple[bytes, ...]] = []
        self.gone: list[str] = []
        self.sockets: list[Socket] = []
        self.sent = 0
        self.io.on("connect", self.connect)
        self.io.on("up", self.up)
        self.io.on("upload", self.upload)
        self.io.on("bytes back", self.bytes_back)
        self.io.on("disconnect", self.disconnect)

    async def connect(self, socket: Socket) -> None:
        self.sockets.append(socket)

    async def up(self, socket: Socket, number: int) -> None:
        self.heard.append(number)

    async def upload(self, socket: Socket, data: bytes) -> int:
        await socket.emit("bytes", data)
        return len(data)

    async def bytes_back(self, socket: Socket, *data: bytes) -> None:
        self.bytes.append(data)

    async def disconnect(self, socket: Socket, reason: str) -> None:
        self.gone.append(reason)

    async def speak(self, count: int) -> None:
        for _ in range(count):
            self.sent += 1
            await self.sockets[0].emit("down", self.sent)


async def talk(tab: Tab, app: Application, *, count: int = 20) -> None:
    """So many more events each way, and all of them are there."""
    await tab.evaluate(f"speak({count})")
    await app.speak(count)
    sent = await tab.evaluate("t.sent")
    await tab.until(f"t.heard.length >= {app.sent}")
    await eventually(lambda: len(app.heard) >= sent)
    await whole(tab, app)


async def whole(tab: Tab, app: Application) -> None:
    state: dict[str, Any] = await tab.evaluate("t")
    assert app.heard == list(range(1, state["sent"] + 1))
    assert state["heard"] == list(range(1, app.sent + 1))
    assert (state["connects"], state["disconnects"], state["errors"]) == (1, [], [])
    assert app.gone == []
    assert tab.errors == []


@pytest.mark.parametrize(
    ("faults", "carriers"),
    [
        ({}, ["websocket"]),
        ({"refuse_websocket": True}, ["stream"]),
        ({"refuse_websocket": True, "hold_streams": True}, ["polling"]),
    ],
)
async def test_page_finds_the_best_way_that_is_open(
    each_browser: Browser, faults: dict[str, bool], carriers: list[str]
) -> None:
    app = Application()
    async with serve(with_page(app.io, PAGE)) as port, MisbehavingProxy("127.0.0.1", port) as proxy:
        proxy.set(**faults)
        tab = await each_browser.open(proxy.url)
        await tab.until(f"window.t && t.connects && {carriers}.includes(t.carriers.at(-1))")
        await talk(tab, app)
        assert (await tab.evaluate("t.carriers"))[-1] in carriers
        await tab.close()


async def test_nothing_is_lost_when_ways_are_cut_and_swallowed(each_browser: Browser) -> None:
    app = Application()
    async with serve(with_page(app.io, PAGE)) as port, MisbehavingProxy("127.0.0.1", port) as proxy:
        tab = await each_browser.open(f"{proxy.url}?quick")
        await tab.until("window.t && t.connects")
        for number, name in enumerate(("websocket", "stream", "polling")):
            proxy.set(refuse_websocket=number > 0, hold_streams=number > 1)
            for act in (proxy.cut, lambda: black_hole(proxy)):
                if number == 1:
                    proxy.cut(Kind.WEBSOCKET)
                await tab.until(f"t.carriers.at(-1) == '{name}'")
                act()
                await tab.evaluate("speak(50)")
                await app.speak(50)
                await talk(tab, app)
        proxy.clear()
        await tab.evaluate("dispatchEvent(new Event('online'))")
        await tab.until("t.carriers.at(-1) == 'websocket'")
        await talk(tab, app)
        print(each_browser.name, await tab.evaluate("t.carriers"))
        await tab.close()


def black_hole(proxy: MisbehavingProxy) -> None:
    """What is open now has no future, what is opened a moment later has."""
    proxy.black_hole(0.3)


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_closed_tab_is_gone_at_the_server_at_once(each_browser: Browser, transport: str) -> None:
    app = Application()
    async with serve(with_page(app.io, PAGE)) as port:
        other = await each_browser.open(f"http://127.0.0.1:{port}?transports={transport}")
        tab = await each_browser.open(f"http://127.0.0.1:{port}?transports={transport}")
        for one in (other, tab):
            await one.until(f"window.t && t.connects && t.carriers.at(-1) == '{transport}'")
        await tab.close()
        await eventually(lambda: app.gone, seconds=AT_ONCE)
        assert app.gone == ["transport close"]
        assert await other.evaluate("socket.emitWithAck('upload', new Uint8Array(3))") == 3
        await other.close()
        await eventually(lambda: len(app.gone) == 2, seconds=AT_ONCE)


@pytest.mark.parametrize("transport", ["websocket", "stream", "polling"])
async def test_bytes_arrive_as_they_are_both_ways(each_browser: Browser, transport: str) -> None:
    app = Application()
    data = [bytes(range(256)), b"", "é\x1e\r\n\ufeff".encode()]
    async with serve(with_page(app.io, PAGE)) as port:
        tab = await each_browser.open(f"http://127.0.0.1:{port}?transports={transport}")
        await tab.until("window.t && t.connects")
        await app.sockets[0].emit("bytes", *data)
        await eventually(lambda: app.bytes)
        assert app.bytes == [tuple(part[::-1] for part in data)]
        await tab.close()


async def test_page_of_socketio_client_connects(each_browser: Browser) -> None:
    app = Application()
    async with serve(with_page(app.io, COMPAT_PAGE)) as port:
        tab = await each_browser.open(f"http://127.0.0.1:{port}")
        await tab.until("window.t && t.replies.length && t.heard.length")
        assert await tab.evaluate("[t.replies, t.heard]") == [[2], [[True, 97, 98]]]
        await tab.until("socket.io.engine.transport.name == 'websocket'")
        assert tab.errors == []
        await tab.close()
