"""What happens to a page makes it look whether its network is still there: a probe with a deadline, no blind close."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from browser import eventually, serve, with_page
from browsers import Browser, Chromium, ChromiumTab, FirefoxTab, Tab
from request_log import RequestLog

from holdfast import Server, Socket
from holdfast.demo.proxy import MisbehavingProxy

pytestmark = [pytest.mark.browser, pytest.mark.servers]

PAGE = """<!doctype html><title>life</title><link rel="icon" href="data:,"><script type="module">
import { io } from "/socket.io/holdfast.esm.min.js";
const t = window.t = { carriers: [], reasons: [], disconnects: [], heard: [], events: [] };
const transports = new URL(location).searchParams.get("transports").split(",");
const socket = window.socket = io({ transports });
socket.on("disconnect", (reason) => t.disconnects.push(reason));
socket.on("down", (number) => t.heard.push(number));
socket.io.on("transport", ({ to, reason }) => { t.carriers.push(to); t.reasons.push(reason); });
for (const type of ["online", "offline", "pageshow", "visibilitychange", "freeze", "resume"])
  addEventListener(type, ({ persisted }) => t.events.push(persisted ? type + " persisted" : type), true);
</script>"""

# Seconds. A probe has two, and what a busy machine adds; a heartbeat would take 45 to miss the server.
PROBED = 10.0

# Longer than it takes a page to look at the clock again.
ASLEEP = 8.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Scene:
    """A page that is connected, and everything round it."""

    def __init__(
        self, browser: Browser, log: RequestLog, proxy: MisbehavingProxy, sockets: list[Socket]
    ) -> None:
        self.browser = browser
        self.log = log
        self.proxy = proxy
        self.sockets = sockets
        self.gone: list[str] = []
        self.tab: Tab

    async def open(self, transport: str) -> None:
        transports = "websocket,stream,polling" if transport == "websocket" else "stream,polling"
        self.tab = await self.browser.open(f"{self.proxy.url}?transports={transports}")
        await self.tab.until(f"window.socket?.connected && t.carriers.at(-1) == '{transport}'")
        await self.tab.evaluate("t.carriers = [], t.reasons = []")
        self.log.seen[:] = [seen for seen in self.log.seen if not seen.over]

    async def event(self, name: str) -> None:
        """Wait until the page has seen one, since the last time."""
        await self.tab.until(f"t.events.includes('{name}')")


Act = Callable[[Scene], Awaitable[None]]


async def hide_and_show(scene: Scene) -> None:
    other = await scene.browser.open("about:blank")
    await scene.tab.until("document.hidden")
    await other.close()
    await scene.tab.to_front()
    await scene.event("visibilitychange")
    await scene.tab.until("!document.hidden")


async def network_state(scene: Scene, offline: bool) -> None:
    """What the browser says of the network, and not what the network is."""
    tab = scene.tab
    if isinstance(tab, ChromiumTab):
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await tab.devtools.send("Network.overrideNetworkState", {"offline": offline, **speed})
    else:
        assert isinstance(tab, FirefoxTab)
        await tab.offline(offline)


async def go_offline(scene: Scene) -> None:
    await network_state(scene, True)
    await scene.event("offline")


async def come_online(scene: Scene) -> None:
    await network_state(scene, True)
    await scene.event("offline")
    await network_state(scene, False)
    await scene.event("online")


async def freeze_and_resume(scene: Scene) -> None:
    tab = scene.tab
    assert isinstance(tab, ChromiumTab)
    await tab.devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    await tab.devtools.send("Page.setWebLifecycleState", {"state": "active"})
    await scene.event("freeze")
    await scene.event("resume")


@asynccontextmanager
async def scene_of(browser: Browser, transport: str, *, stays: bool = True) -> AsyncIterator[Scene]:
    """A page with its server; unless it `stays`, the test closes it."""
    io = Server()
    sockets: list[Socket] = []

    @io.on("connect")
    async def connect(socket: Socket) -> None:
        sockets.append(socket)

    @io.on("echo")
    async def echo(socket: Socket, number: int) -> int:
        return number

    @io.on("disconnect")
    async def disconnect(socket: Socket, reason: str) -> None:
        scene.gone.append(reason)

    log = RequestLog(with_page(io, PAGE))
    async with serve(log) as port, MisbehavingProxy("127.0.0.1", port) as proxy:
        scene = Scene(browser, log, proxy, sockets)
        await scene.open(transport)
        yield scene
        if not stays:
            return
        assert await scene.tab.evaluate("socket.emitWithAck('echo', 7)") == 7
        assert await scene.tab.evaluate("t.disconnects") == []
        assert len(sockets) == 1
        assert scene.tab.errors == []
        await scene.tab.close()


async def healthy(browser: Browser, transport: str, act: Act) -> None:
    """It is asked, it answers, and that is all."""
    async with scene_of(browser, transport) as scene:
        await act(scene)
        await eventually(lambda: scene.log.probes(), seconds=PROBED)
        assert await scene.tab.evaluate("socket.emitWithAck('echo', 1)") == 1
        state = await scene.tab.evaluate("t")
        assert state["carriers"] == [], state
        if transport == "websocket":
            assert scene.log.what() == ["WEBSOCKET /socket.io/"]


async def dead(browser: Browser, transport: str, act: Act) -> None:
    """It is asked, says nothing, and another takes its place."""
    async with scene_of(browser, transport) as scene:
        scene.proxy.black_hole()
        began = time.monotonic()
        await act(scene)
        # The probe is lost, and with it what was open; what is opened now is not.
        await scene.proxy.until(lambda: scene.proxy.stats.faults["black hole"] > 0)
        scene.proxy.clear()
        await scene.tab.until("t.carriers.length", seconds=PROBED)
        print(browser.name, transport, act.__name__, f"{time.monotonic() - began:.1f} s")


async def sleep_and_wake(scene: Scene) -> None:
    assert isinstance(scene.browser, Chromium)
    await scene.browser.sleep(ASLEEP)


@pytest.mark.parametrize(
    ("transport", "act"),
    [("websocket", hide_and_show), ("stream", hide_and_show), ("websocket", come_online)],
)
async def test_carrier_that_lives_is_probed_and_left_alone(
    each_browser: Browser, transport: str, act: Act
) -> None:
    await healthy(each_browser, transport, act)


@pytest.mark.parametrize(
    ("transport", "act"),
    [
        ("stream", come_online),
        ("websocket", go_offline),
        ("stream", go_offline),
        ("stream", freeze_and_resume),
        ("websocket", sleep_and_wake),
    ],
)
async def test_carrier_that_lives_is_probed_and_left_alone_in_chromium(
    real_chromium: Chromium, transport: str, act: Act
) -> None:
    await healthy(real_chromium, transport, act)


@pytest.mark.parametrize("act", [hide_and_show, come_online])
async def test_carrier_that_has_died_is_replaced_within_the_probe(each_browser: Browser, act: Act) -> None:
    await dead(each_browser, "websocket", act)


@pytest.mark.parametrize(
    ("transport", "act"),
    [
        ("websocket", go_offline),
        ("websocket", freeze_and_resume),
        ("websocket", sleep_and_wake),
        ("stream", hide_and_show),
    ],
)
async def test_carrier_that_has_died_is_replaced_within_the_probe_in_chromium(
    real_chromium: Chromium, transport: str, act: Act
) -> None:
    await dead(real_chromium, transport, act)


async def test_websocket_that_chromium_ends_in_a_frozen_page_is_back_at_once(real_chromium: Chromium) -> None:
    async with scene_of(real_chromium, "websocket") as scene:
        await freeze_and_resume(scene)
        await scene.tab.until("t.carriers.at(-1) == 'websocket'", seconds=PROBED)
        assert await scene.tab.evaluate("t.reasons") == ["WebSocket 1006"]


async def test_page_that_is_kept_and_shown_again_goes_on(real_chromium: Chromium) -> None:
    async with scene_of(real_chromium, "websocket") as scene:
        await scene.tab.goto("about:blank")
        for number in range(3):
            await scene.sockets[0].emit("down", number)
        await scene.tab.back()
        await scene.tab.until("window.t?.events.includes('pageshow persisted')")
        await scene.tab.until("t.heard.length == 3", seconds=PROBED)
        assert await scene.tab.evaluate("t.heard") == [0, 1, 2]


async def test_page_that_is_left_has_said_good_bye_or_is_kept(each_browser: Browser) -> None:
    async with scene_of(each_browser, "websocket") as scene:
        await scene.tab.evaluate("t.isOld = true")
        await scene.tab.goto("about:blank")
        await scene.tab.back()
        await scene.tab.until("window.socket?.connected")
        if not await scene.tab.evaluate("t.isOld"):
            # Another page, and another session: the old one is over already.
            await eventually(lambda: len(scene.gone) == 1, seconds=PROBED)
            scene.sockets.pop(0)


async def test_tab_that_is_closed_says_so_on_what_works(each_browser: Browser) -> None:
    """A request of the page that goes away would be sent on a connection that nobody answers any more."""
    async with scene_of(each_browser, "websocket", stays=False) as scene:
        scene.proxy.silence()
        await scene.sockets[0].emit("down", 0)
        await scene.tab.until("t.carriers.at(-1) == 'websocket'", seconds=PROBED)
        assert scene.gone == []
        await scene.tab.close()
        await eventually(lambda: scene.gone == ["transport close"], seconds=PROBED)
