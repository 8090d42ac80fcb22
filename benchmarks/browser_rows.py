"""The networks of `browser.py`, each as what it does to one run. A row is a function: it returns what it measured."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from browser_visit import Outcome, Visit, freeze, now_ms

__all__ = ["ROWS", "Row"]

OFFLINE_SECONDS = 20.0
SLEEP_SECONDS = 60.0
RESTART_SECONDS = 2.0, 5.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table.

    Attributes:
        key: For ``--rows``.
        title: In the table.
        note: What exactly is done, and from when on time counts.
        run: Does it.
        traffic: Whether the server sends everyone a number every 50 ms.
        alone: Runs of it do not overlap with others.
        own: What each run needs for itself; see `visit`.
        only: The clients it is for; by default all.
    """

    key: str
    title: str
    note: str
    run: Callable[[Visit], Awaitable[Outcome]]
    traffic: bool = False
    alone: bool = False
    own: str = ""
    only: tuple[str, ...] = ()


def first_event(**faults: Any) -> Callable[[Visit], Awaitable[Outcome]]:
    """From the call that connects until the first event."""

    async def run(visit: Visit) -> Outcome:
        await visit.open()
        visit.proxy.set(**faults)
        await visit.begin()
        return await visit.next()

    return run


def second_visit(**faults: Any) -> Callable[[Visit], Awaitable[Outcome]]:
    """The same page is opened again in the same tab: what a client has written down of the network may help it."""
    first = first_event(**faults)

    async def run(visit: Visit) -> Outcome:
        await first(visit)
        await asyncio.sleep(1.0)
        assert visit.page is not None
        await visit.page.reload()
        await visit.page.wait_for_function("window.check")
        await visit.begin()
        return await visit.next()

    return run


async def _cut(visit: Visit) -> Outcome:
    await visit.settle()
    since = now_ms()
    visit.proxy.cut_all()
    return await visit.next(since)


def _black_hole(before: str) -> Callable[[Visit], Awaitable[Outcome]]:
    async def run(visit: Visit) -> Outcome:
        await visit.settle()
        assert visit.page is not None
        await visit.page.evaluate(before)
        await visit.phase()
        since = now_ms()
        visit.proxy.silence()
        return await visit.next(since)

    return run


async def _offline(visit: Visit) -> Outcome:
    await visit.settle()
    await visit.context.set_offline(True)
    visit.proxy.cut_all(math.inf)
    await asyncio.sleep(OFFLINE_SECONDS)
    visit.proxy.clear()
    since = now_ms()
    await visit.context.set_offline(False)
    return await visit.next(since)


def _sleep(*, forgotten: bool) -> Callable[[Visit], Awaitable[Outcome]]:
    async def run(visit: Visit) -> Outcome:
        await visit.settle()
        browser = visit.context.browser
        assert browser is not None
        if forgotten:
            visit.proxy.silence()
        return await visit.next(await freeze(browser, SLEEP_SECONDS))

    return run


async def _restart(visit: Visit) -> Outcome:
    await visit.settle()
    visit.proxy.cut_all(math.inf)
    await visit.server.kill()
    # Pauses between tries grow: one length of the outage would suit one client's and not another's.
    shortest, longest = RESTART_SECONDS
    seconds = shortest + (longest - shortest) * (visit.number + 0.5) / visit.bench.runs
    back = asyncio.get_running_loop().time() + seconds
    await visit.server.start()
    await asyncio.sleep(back - asyncio.get_running_loop().time())
    since = now_ms()
    visit.proxy.clear()
    return await visit.next(since)


FIRST = "from the call that connects to the first event"

ROWS = [
    Row(
        key="open",
        title="open network",
        note=FIRST,
        alone=True,
        run=first_event(),
    ),
    Row(
        key="50ms",
        title="50 ms latency",
        note=f"25 ms each way; {FIRST}",
        alone=True,
        run=first_event(delay_up=0.025, delay_down=0.025),
    ),
    Row(
        key="300ms",
        title="300 ms latency",
        note=f"150 ms each way; {FIRST}",
        alone=True,
        run=first_event(delay_up=0.15, delay_down=0.15),
    ),
    Row(
        key="refused",
        title="WebSocket refused",
        note=f"403; {FIRST}",
        alone=True,
        run=first_event(refuse_websocket=True),
    ),
    Row(
        key="swallowed",
        title="WebSocket swallowed",
        note=f"101, then silence; {FIRST}",
        run=first_event(swallow_websocket=True),
    ),
    Row(
        key="again",
        title="WebSocket swallowed, second visit",
        note=f"the page is loaded again; {FIRST}",
        run=second_visit(swallow_websocket=True),
        only=("holdfast",),
    ),
    Row(
        key="hang",
        title="WebSocket never answered",
        note=f"the handshake vanishes; {FIRST}",
        run=first_event(hang_websocket=True),
    ),
    Row(
        key="buffered",
        title="WebSocket refused, responses buffered",
        note=f"403, and every response is held back until it ends; {FIRST}",
        alone=True,
        run=first_event(refuse_websocket=True, hold_streams=True, hold_responses=True),
    ),
    Row(
        key="cut",
        title="cut in mid-session",
        note="all connections are reset; from then to the next event",
        traffic=True,
        alone=True,
        run=_cut,
    ),
    Row(
        key="blackhole",
        title="black hole in mid-session, traffic both ways",
        note="open connections fall silent, new ones work; from then to the next event",
        traffic=True,
        run=_black_hole("speak()"),
    ),
    Row(
        key="blackhole-down",
        title="black hole in mid-session, only the server speaks",
        note="the same, and the page sends nothing",
        traffic=True,
        run=_black_hole("0"),
    ),
    Row(
        key="idle",
        title="black hole in mid-session, idle",
        note="the same, and nobody sends anything; from then until the client has noticed and got an event",
        run=_black_hole("window.asking = true"),
    ),
    Row(
        key="offline",
        title="20 s offline",
        note="the browser says that it is offline, all connections are reset and new ones refused; from the end of it "
        "to the next event",
        traffic=True,
        run=_offline,
    ),
    Row(
        key="sleep",
        title="laptop asleep for 60 s",
        note="all processes of the browser are stopped, the server gives up; from waking to the next event sent then",
        traffic=True,
        own="browser",
        run=_sleep(forgotten=False),
    ),
    Row(
        key="sleep-nat",
        title="laptop asleep for 60 s, connections forgotten",
        note="the same, and nothing of its connections is heard again",
        traffic=True,
        own="browser",
        run=_sleep(forgotten=True),
    ),
    Row(
        key="restart",
        title="server restarted",
        note="killed, and reachable again 2 to 5 s later, spread evenly; from then to the next event",
        traffic=True,
        own="server",
        run=_restart,
    ),
]
