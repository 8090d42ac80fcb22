"""What can befall a talk: one function each, which lets a client talk through a proxy and says what came of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio
from chaos_run import Client, Outcome, clean, run

from holdfast.demo.proxy import CARRIERS, Faults, Kind, MisbehavingProxy, Mishap
from holdfast.demo.weather import Cut, Struck, cut_at_random

__all__ = [
    "BLOCKED",
    "WAYS",
    "Figures",
    "blocked",
    "changes",
    "cuts",
    "figures_of",
    "held_back",
    "mishaps",
    "silences",
    "slow_cuts",
    "upgrade_cuts",
    "upgrades",
]

WAYS: dict[str, list[str] | None] = {
    "websocket": ["websocket"],
    "stream": ["stream"],
    "polling": ["polling"],
    "auto": None,
}
ALL = (*CARRIERS, Kind.POST)
# Changes of transport as often as can be: what failed is tried again at once.
EAGER = {
    "laterMs": [200],
    "demoteMs": 400,
    "usefulMs": 100,
    "answerMs": 1500,
    "doubtMs": 800,
    "probeMs": 600,
}

Note = Callable[[Struck], None]
Given = dict[str, Any]


@dataclass
class Figures:
    """What came of one or more talks.

    Attributes:
        down: Lost, repeated and disordered events from the server, and how many were sent.
        up: The same of events from the client.
        disconnects: How many the application was told of.
        sessions: Different ids of the socket, one for each talk if nothing was lost.
        outages: Seconds after each cut until the next event was heard.
        longest: Seconds in which nothing was heard, at most.
        more: What this kind of trial counts besides.
    """

    talks: int = 0
    down: dict[str, int] = field(default_factory=dict[str, int])
    up: dict[str, int] = field(default_factory=dict[str, int])
    acks: dict[str, int] = field(default_factory=dict[str, int])
    disconnects: int = 0
    sessions: int = 0
    recovered: int = 0
    outages: list[float] = field(default_factory=list[float])
    longest: float = 0.0
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, repeated, disordered or damaged, and each acknowledgement came once."""
        broken = any(self.acks.get(name, 0) for name in ("wrong", "repeated", "pending"))
        return clean(self.down) and clean(self.up) and not broken

    @property
    def is_seamless(self) -> bool:
        """Whether besides no application saw a disconnect, and every session was the first one."""
        return self.is_clean and not self.disconnects and self.sessions == self.talks


def add(total: dict[str, int], more: dict[str, int] | None) -> None:
    for name, value in (more or {}).items():
        total[name] = total.get(name, 0) + value


def figures_of(outcomes: Iterable[Outcome], **more: Any) -> Figures:
    """Sum up talks; those of one client share its cuts."""
    figures = Figures(more=more)
    for outcome in outcomes:
        result = outcome.result
        figures.talks += 1
        add(figures.down, outcome.down)
        add(figures.up, outcome.up)
        add(figures.acks, result["acks"])
        add(figures.acks, result.get("serverAcks"))
        figures.disconnects += len(result["disconnects"])
        figures.sessions += result["ids"]
        figures.recovered += result["recovered"]
        figures.longest = max(figures.longest, outcome.longest_gap)
        if not figures.outages:
            figures.outages = outcome.outages
    return figures


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds) if math.isfinite(seconds) else seconds


async def first(client: Client) -> None:
    await client.until(lambda: bool(client.all("first")))


async def cuts(
    url: str,
    given: Given,
    *,
    times: int,
    pause: tuple[float, float],
    seed: int,
    delay: float = 0.02,
) -> Figures:
    """Cut all that carries the session at random moments: by RST, by FIN, or by RST after half a second of silence."""

    async def weather(proxy: MisbehavingProxy, client: Client, note: Note) -> None:
        await first(client)
        await cut_at_random(proxy, times, seed=seed, pause=pause, note=note)

    faults = Faults(delay_up=delay, delay_down=delay)
    outcomes = await run(url, given, faults=faults, weather=weather, seed=seed)
    return figures_of(outcomes, cuts=len(outcomes[0].struck), carriers=carriers(outcomes))


async def slow_cuts(url: str, given: Given, *, rate: int, seed: int) -> Figures:
    """Cut every two to three seconds what carries so many bytes a second down, as long as it takes."""

    async def weather(proxy: MisbehavingProxy, client: Client, note: Note) -> None:
        await first(client)
        await cut_at_random(proxy, 1_000, seed=seed, pause=(2, 3), stall=0.1, note=note)

    faults = Faults(bandwidth_down=rate)
    outcomes = await run(url, given, faults=faults, weather=weather, seed=seed, bound=180)
    return figures_of(outcomes, cuts=len(outcomes[0].struck), seconds=round(outcomes[0].result["ms"] / 1000))


def carriers(outcomes: list[Outcome]) -> dict[str, int]:
    """How often each transport took over."""
    seen = [to for outcome in outcomes for to in outcome.result["changes"]]
    return {to: seen.count(to) for to in sorted(set(seen))}


async def upgrade_cuts(url: str, given: Given, *, within: float, seed: int, delay: float = 0.01) -> Figures:
    """Cut all that carries the session, once in each talk, within so many seconds after its upgrade has begun."""
    random = Random(f"upgrades/{seed}")
    done = 0

    async def weather(proxy: MisbehavingProxy, client: Client, note: Note) -> None:
        nonlocal done
        while True:
            talk, seen = len(client.all("result")), proxy.stats.requests[Kind.WEBSOCKET]
            await proxy.until(lambda seen=seen: proxy.stats.requests[Kind.WEBSOCKET] > seen)
            await anyio.sleep(random.uniform(0, within))
            at = time.time()
            hit = proxy.cut(*ALL, reset=random.random() < 0.5)
            note(Struck(at, at, Cut.RESET, hit))
            done += 1
            await client.until(lambda talk=talk: len(client.all("result")) > talk)

    faults = Faults(delay_up=delay, delay_down=delay)
    outcomes = await run(url, given, faults=faults, weather=weather, seed=seed)
    figures = figures_of(outcomes, cuts=done)
    figures.more["stuck"] = sum(is_stuck(outcome) for outcome in outcomes)
    figures.more["upgraded"] = sum(outcome.result["transport"] == "websocket" for outcome in outcomes)
    return figures


STUCK_SECONDS = 3.0


def is_stuck(outcome: Outcome) -> bool:
    """Whether nothing was heard for so long, or never again."""
    never = outcome.down["received"] < outcome.down["sent"] and not outcome.result["disconnects"]
    return outcome.longest_gap > STUCK_SECONDS or outcome.first > STUCK_SECONDS or never


async def upgrades(url: str, given: Given, *, delay: float, jitter: float, seed: int) -> Figures:
    """Many events both ways while each talk begins and its transport is upgraded, on a slow network."""
    faults = Faults(delay_up=delay, delay_down=delay, jitter=jitter)
    outcomes = await run(url, given, faults=faults, seed=seed)
    upgraded = sum(outcome.result["transport"] == "websocket" for outcome in outcomes)
    return figures_of(outcomes, upgraded=upgraded)


async def changes(url: str, given: Given, *, times: int, delay: float = 0.005) -> Figures:
    """Make the session change its transport again and again: no WebSocket, streams held back, and all well again."""

    async def weather(proxy: MisbehavingProxy, client: Client, note: Note) -> None:
        async def on(*kinds: str) -> None:
            with anyio.move_on_after(5):
                await client.until(lambda: client.transport in kinds)

        await first(client)
        while len(client.all("transport")) < times:
            await on("websocket")
            proxy.set(refuse_websocket=True)
            proxy.cut(Kind.WEBSOCKET)
            await on("stream")
            proxy.set(hold_streams=True)
            await on("polling")
            proxy.set(hold_streams=False)
            await on("stream")
            proxy.clear()
            proxy.set(delay_up=delay, delay_down=delay)
        await client.finish()

    faults = Faults(delay_up=delay, delay_down=delay)
    given = {**given, "options": {**EAGER, **given.get("options", {})}}
    outcomes = await run(url, given, faults=faults, weather=weather)
    return figures_of(outcomes, changes=len(outcomes[0].result["changes"]), carriers=carriers(outcomes))


async def mishaps(
    url: str,
    given: Given,
    *,
    chances: dict[Mishap, float],
    seed: int,
    without: Faults | None = None,
    delay: float = 0.01,
) -> Figures:
    """Requests and answers that are lost, cut, doubled or come late, by chance."""
    base = without or Faults()
    faults = Faults(
        refuse_websocket=base.refuse_websocket,
        delay_up=delay,
        delay_down=delay,
        mishaps=tuple(chances.items()),
    )
    outcomes = await run(url, given, faults=faults, seed=seed)
    happened = {str(name): outcomes[0].faults.get(name, 0) for name in chances}
    return figures_of(outcomes, happened=happened)


async def silences(url: str, given: Given, *, times: int, every: float, delay: float = 0.01) -> Figures:
    """What is open falls silent for good, both ways, and nobody is told."""

    async def weather(proxy: MisbehavingProxy, client: Client, note: Note) -> None:
        await first(client)
        for _ in range(times):
            await anyio.sleep(every)
            at = time.time()
            note(Struck(at, at, Cut.STALL, proxy.silence()))

    faults = Faults(delay_up=delay, delay_down=delay)
    outcomes = await run(url, given, faults=faults, weather=weather)
    return figures_of(outcomes, cuts=len(outcomes[0].struck), carriers=carriers(outcomes))


BLOCKED: dict[str, Faults] = {
    "403": Faults(refuse_websocket=True),
    "502": Faults(),
    "strip": Faults(strip_upgrade=True),
    "hang": Faults(hang_websocket=True),
    "close": Faults(close_websocket=True),
    "silent": Faults(swallow_websocket=True),
}
"""What a network does to WebSockets, by its name; "502" is a plan."""


async def blocked(url: str, given: Given, how: str, *, delay: float = 0.01) -> Figures:
    """A network in which no WebSocket works, from the start on."""
    seen: dict[Kind, int] = {}

    async def weather(proxy: MisbehavingProxy, client: Client, note: Note) -> None:
        proxy.set(delay_up=delay, delay_down=delay)
        if how == "502":
            proxy.next(Mishap.BAD_GATEWAY, of=Kind.WEBSOCKET, times=1_000_000)
        await client.until(lambda: bool(client.all("result")))
        seen.update(proxy.stats.requests)

    outcomes = await run(url, given, faults=BLOCKED[how], weather=weather)
    seconds = outcomes[0].result["ms"] / 1000
    return figures_of(
        outcomes,
        first_ms=milliseconds(outcomes[0].first),
        polls_a_second=round(seen.get(Kind.POLL, 0) / seconds, 1),
        websockets=seen.get(Kind.WEBSOCKET, 0),
        transport=outcomes[0].result["transport"],
    )


async def held_back(url: str, given: Given, *, delay: float = 0.01) -> Figures:
    """No WebSocket, and streams are held back: by polls it goes, and the next talk of this client knows it."""
    at_result: list[int] = []

    async def weather(proxy: MisbehavingProxy, client: Client, note: Note) -> None:
        proxy.set(delay_up=delay, delay_down=delay)
        for number in range(given["repeat"]):
            await client.until(lambda number=number: len(client.all("result")) > number)
            at_result.append(proxy.stats.requests[Kind.STREAM])

    faults = Faults(refuse_websocket=True, hold_streams=True)
    outcomes = await run(url, {**given, "remember": True}, faults=faults, weather=weather)
    return figures_of(
        outcomes,
        first_ms=[milliseconds(outcome.first) for outcome in outcomes],
        streams=[later - sooner for sooner, later in zip([0, *at_result], at_result, strict=False)],
        transports=[outcome.result["transport"] for outcome in outcomes],
    )
