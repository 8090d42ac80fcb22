"""Ten tabs of one profile behind a proxy that changes its mind all the time.

By default it lasts 20 seconds. `CHAOS_SECONDS=120 .venv/bin/python -m pytest -s tests/browser/test_chaos.py` is the
whole of it, and `CHAOS_SEED=7` is other weather. With `-s` it prints the longest time that each tab heard nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import Random

import anyio
import pytest
from browser import eventually, serve, with_page
from browsers import Browser, Tab, launched

from holdfast import Server, Socket
from holdfast.demo.proxy import CARRIERS, Kind, MisbehavingProxy, Mishap

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
TABS = 10
PER_SECOND = 5
# After the storm, until all that was said has been heard.
DRAIN_SECONDS = 90.0

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.timeout(SECONDS + 300)]

PAGE = """<!doctype html><title>chaos</title><link rel="icon" href="data:,"><script type="module">
import { io } from "/socket.io/holdfast.esm.min.js";
const t = window.t = { sent: 0, heard: [], gap: 0, carriers: [], connects: 0, disconnects: [], stop: false };
const name = new URL(location).searchParams.get("name");
const socket = window.socket = io({ auth: { name } });
socket.on("connect", () => t.connects++);
socket.on("disconnect", (reason, details) => t.disconnects.push([reason, String(details?.description)]));
socket.io.on("transport", ({ to }) => t.carriers.push(to));
let last;
socket.on("down", (number) => {
  const now = performance.now();
  t.gap = Math.max(t.gap, now - (last ?? now));
  last = now;
  t.heard.push(number);
  speak();
});
// A hidden page has a timer once a second at most; it answers as well.
const speak = () => { if (t.connects && !t.stop) socket.emit("up", ++t.sent); };
setInterval(speak, 200);
</script>"""

Weather = dict[str, object]


def mishaps(random: Random) -> Weather:
    return {
        "mishaps": tuple((mishap, random.uniform(0.05, 0.4)) for mishap in random.sample(list(Mishap), 2))
    }


FAULTS: list[Callable[[Random], Weather]] = [
    lambda random: {},
    lambda random: {"refuse_websocket": True},
    lambda random: {"hang_websocket": True},
    lambda random: {"swallow_websocket": True},
    lambda random: {"close_websocket": True},
    lambda random: {"strip_upgrade": True},
    lambda random: {"hold_streams": True},
    lambda random: {"hold_streams": True, "hold_stream_heads": True},
    lambda random: {"hold_under_bytes": random.choice([100, 4096])},
    lambda random: {"end_streams_after": random.uniform(0.1, 2)},
    lambda random: {"end_streams_after_bytes": random.choice([10, 2500, 20_000])},
    lambda random: {"end_websockets_after": random.uniform(0.1, 2)},
    lambda random: {"delay_up": random.uniform(0, 0.3), "jitter": 0.1},
    lambda random: {"delay_down": random.uniform(0, 0.3), "jitter": 0.1},
    lambda random: {"bad_gateway": True},
    lambda random: {"html_page": True},
    mishaps,
]

EVENTS: list[Callable[[MisbehavingProxy, Random], object]] = [
    lambda proxy, random: proxy.cut(),
    lambda proxy, random: proxy.cut(random.choice([*CARRIERS, Kind.POST]), reset=random.random() < 0.5),
    lambda proxy, random: proxy.cut_all(random.uniform(0, 2)),
    lambda proxy, random: proxy.black_hole(random.uniform(0.1, 2)),
]


async def storm(
    proxy: MisbehavingProxy, random: Random, seconds: float, is_over: Callable[[], object]
) -> None:
    """Change the weather every 0.3 to 3 seconds."""
    with anyio.move_on_after(seconds):
        while not is_over():
            proxy.clear()
            for fault in random.sample(FAULTS, random.randint(1, 3)):
                proxy.set(**fault(random))
            if random.random() < 0.4:
                random.choice(EVENTS)(proxy, random)
            await anyio.sleep(random.uniform(0.3, 3))
    proxy.clear()


class Talk:
    """What one tab and the server have said to each other, as the server sees it."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.sent = 0
        self.heard: list[int] = []
        self.gap = 0.0
        self._last: float | None = None

    async def speak(self) -> None:
        self.sent += 1
        await self.socket.emit("down", self.sent)

    def hear(self, number: int) -> None:
        now = time.monotonic()
        self.gap = max(self.gap, now - (self._last or now))
        self._last = now
        self.heard.append(number)


class Application:
    """A talk with each tab, by its name."""

    def __init__(self) -> None:
        self.io = Server()
        self.talks: dict[str, Talk] = {}
        self.gone: list[str] = []
        self.stop = False
        self.io.on("connect", self.connect)
        self.io.on("up", self.up)
        self.io.on("disconnect", self.disconnect)

    async def connect(self, socket: Socket, auth: dict[str, str]) -> None:
        # A second session is a failure, and the page says why it has one.
        self.talks.setdefault(auth["name"], Talk(socket))
        socket.data["name"] = auth["name"]

    async def up(self, socket: Socket, number: int) -> None:
        self.talks[socket.data["name"]].hear(number)

    async def disconnect(self, socket: Socket, reason: str) -> None:
        self.gone.append(reason)

    async def speak(self) -> None:
        while not self.stop:
            for talk in self.talks.values():
                await talk.speak()
            await anyio.sleep(1 / PER_SECOND)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def open_tabs(browser: Browser, url: str, app: Application) -> dict[str, Tab]:
    tabs = {str(number): await browser.open(f"{url}?name={number}") for number in range(TABS)}
    for tab in tabs.values():
        await tab.until("window.t?.connects")
    await eventually(lambda: len(app.talks) == TABS)
    return tabs


async def settle(tab: Tab, talk: Talk) -> None:
    """Until both have heard all that was said."""
    await tab.until(f"t.heard.length >= {talk.sent}", seconds=DRAIN_SECONDS)
    sent = await tab.evaluate("t.sent")
    await eventually(lambda: len(talk.heard) >= sent, seconds=DRAIN_SECONDS)


async def test_ten_tabs_lose_nothing_in_changing_weather(anyio_backend: str) -> None:
    app = Application()
    async with (
        serve(with_page(app.io, PAGE)) as port,
        MisbehavingProxy("127.0.0.1", port, seed=SEED) as proxy,
        launched("chromium") as browser,
    ):
        tabs = await open_tabs(browser, proxy.url, app)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app.speak)
            await storm(proxy, Random(SEED), SECONDS, lambda: app.gone)
            app.stop = True
        disconnects = [await tab.evaluate("t.stop = true, t.disconnects") for tab in tabs.values()]
        assert (app.gone, disconnects) == ([], [[]] * TABS)
        for name, tab in tabs.items():
            talk = app.talks[name]
            await settle(tab, talk)
            state = await tab.evaluate("t")
            changes = ", ".join(f"{state['carriers'].count(kind)} {kind}" for kind in set(state["carriers"]))
            print(
                f"tab {name}: {state['sent']} up, {talk.sent} down; longest gap {talk.gap:.1f} s up,"
                f" {state['gap'] / 1000:.1f} s down; {changes}"
            )
            assert talk.heard == list(range(1, state["sent"] + 1))
            assert state["heard"] == list(range(1, talk.sent + 1))
            assert (state["connects"], state["disconnects"], tab.errors) == (1, [], [])
        assert app.gone == []
        print(dict(proxy.stats.faults))
