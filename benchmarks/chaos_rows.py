"""The rows of `chaos.py`: which talks, through what, and when a row has passed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chaos_cells import (
    BLOCKED,
    WAYS,
    Figures,
    blocked,
    changes,
    cuts,
    held_back,
    mishaps,
    silences,
    slow_cuts,
    upgrade_cuts,
    upgrades,
)

from holdfast.demo.proxy import Faults, Mishap

__all__ = ["ROWS", "SMALL", "Case", "Size", "cases"]

Run = Callable[[str], Awaitable[Figures]]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of it.

    Attributes:
        part: Of the whole number of events, cuts and talks.
        seeds: How many, from the first one.
        peers: Whether the official client, and the servers that are compared, run too.
        patience: Times are allowed so many times what the row demands: a busy machine is no fault of ours.
        per_second: How often a second each side speaks where the row does not say it.
        pause: Between two cuts of R1, in seconds, least and most.
    """

    part: float = 1.0
    patience: float = 1.0
    per_second: int = 30
    pause: tuple[float, float] = (2.0, 4.2)
    seeds: int = 3
    first_seed: int = 1
    peers: bool = True

    def of(self, number: int) -> int:
        return max(1, round(number * self.part))


SMALL = Size(part=0.1, seeds=1, peers=False, patience=20, per_second=80, pause=(0.3, 0.9))
"""What `make test` runs."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the report.

    Attributes:
        row: Its row.
        client: Who talks: "holdfast" or "socket.io".
        server: With whom, one of `chaos_run.SERVERS`.
        what: The way, the codec, the seed, the fault.
        run: Makes the figures, from the server's URL.
        passes: Whether they are what the row demands; None: it is there for comparison.
    """

    row: str
    client: str
    server: str
    what: str
    run: Run
    passes: Callable[[Figures], bool] | None


def ours(case: str, **given: Any) -> dict[str, Any]:
    talk = {"wait": True, **given.pop("talk")}
    return {"client": "holdfast", "name": case, "talk": talk, **given}


def official(case: str, **given: Any) -> dict[str, Any]:
    talk = {"quietMs": 4000, **given.pop("talk")}
    return {"client": "socket.io", "name": case, "talk": talk, **given}


OFFICIAL_WAYS: dict[str, list[str] | None] = {
    "default": None,
    "websocket": ["websocket"],
    "polling": ["polling"],
}
PEERS = ["holdfast", "holdfast recovery", "socket.io", "socket.io recovery", "python-socketio"]


def r1(size: Size) -> Iterator[Case]:
    """R1: cuts, every way and codec: nothing lost, nobody told, back within 300 ms."""
    # With 30 a second, a cut every three seconds.
    talk = {"count": size.of(5000), "perSecond": size.per_second}
    how = {"times": size.of(50), "pause": size.pause}

    def passes(figures: Figures) -> bool:
        most = 0.3 * size.patience * len(figures.outages)
        return figures.is_seamless and sum(figures.outages) <= most

    for seed in range(size.first_seed, size.first_seed + size.seeds):
        for codec in ("json", "msgpack"):
            for way, transports in WAYS.items():
                given = ours("R1", transports=transports, codec=codec, talk={**talk, "seed": seed})
                yield Case(
                    row="R1",
                    client="holdfast",
                    server="holdfast",
                    what=f"{way} {codec} seed {seed}",
                    run=lambda url, given=given, seed=seed: cuts(url, given, seed=seed, **how),
                    passes=passes,
                )
    for server in PEERS if size.peers else []:
        for way, transports in OFFICIAL_WAYS.items():
            given = official("R1", transports=transports, talk=talk)
            yield Case(
                row="R1",
                client="socket.io",
                server=server,
                what=way,
                run=lambda url, given=given: cuts(url, given, seed=size.first_seed, **how),
                passes=None,
            )


def r2_slow(size: Size) -> Iterator[Case]:
    """R2 on a slow network: much waits, and each cut comes before all of it has arrived."""
    talk = {"count": size.of(800), "perSecond": 1000, "limitBytes": 8192, "quietMs": 60_000}
    for way in ("websocket", "stream", "polling"):
        given = ours("R2", transports=[way], talk=talk)
        yield Case(
            row="R2",
            client="holdfast",
            server="holdfast",
            what=f"{way} json, 100 kB/s",
            run=lambda url, given=given: slow_cuts(url, given, rate=100_000, seed=size.first_seed),
            passes=lambda figures: figures.is_seamless and figures.longest <= 8 * size.patience,
        )


def r2(size: Size) -> Iterator[Case]:
    """R2: the hard cut: 1 byte to 64 kB, a fifth of it binary, acknowledgements that are awaited across cuts."""
    talk = {
        "count": size.of(20_000),
        "perSecond": 500,
        "limitBytes": 65536,
        "binary": 0.2,
        "ackEvery": 10,
        "quietMs": 40_000,
    }
    for codec in ("json", "msgpack"):
        for way, transports in WAYS.items():
            given = ours("R2", transports=transports, codec=codec, talk=talk)
            yield Case(
                row="R2",
                client="holdfast",
                server="holdfast",
                what=f"{way} {codec}",
                run=lambda url, given=given: cuts(
                    url, given, times=size.of(200), pause=(0.02, 0.25), seed=size.first_seed
                ),
                passes=lambda figures: figures.is_seamless and not figures.acks["failed"],
            )
    yield from r2_slow(size)


# Our client begins by polling and then upgrades, as the official one does.
UPGRADES: dict[str, Any] = {"late": True, "options": {"laterMs": [20]}}
LANES = 4


def lanes(talks: int) -> list[int]:
    return [talks // LANES + (lane < talks % LANES) for lane in range(LANES)] if talks >= LANES else [talks]


def r3(size: Size) -> Iterator[Case]:
    """R3: a cut at most 200 ms after an upgrade has begun: nobody is stuck."""
    # Long enough to hear again after the second that official clients wait.
    talk = {"count": 300, "perSecond": 100}
    for lane, talks in enumerate(lanes(size.of(200))):
        given = ours("R3", talk=talk, repeat=talks, **UPGRADES)
        yield Case(
            row="R3",
            client="holdfast",
            server="holdfast",
            what=f"auto, lane {lane + 1}",
            run=lambda url, given=given, lane=lane: upgrade_cuts(url, given, within=0.2, seed=lane),
            passes=lambda figures: figures.is_seamless and not figures.more["stuck"],
        )
    for server in PEERS if size.peers else []:
        given = official("R3", talk={**talk, "quietMs": 1500}, repeat=size.of(80))
        yield Case(
            row="R3",
            client="socket.io",
            server=server,
            what="default",
            run=lambda url, given=given: upgrade_cuts(url, given, within=0.2, seed=1),
            passes=None,
        )


def r4(size: Size) -> Iterator[Case]:
    """R4: an upgrade while both sides talk, 40 ± 20 ms away."""
    talk = {"count": 200, "perSecond": 1000}
    network = {"delay": 0.02, "jitter": 0.04}
    for lane, talks in enumerate(lanes(size.of(200))):
        given = ours("R4", transports=["websocket", "polling"], talk=talk, repeat=talks, **UPGRADES)
        yield Case(
            row="R4",
            client="holdfast",
            server="holdfast",
            what=f"auto, lane {lane + 1}",
            run=lambda url, given=given, lane=lane: upgrades(url, given, seed=lane, **network),
            passes=lambda figures: figures.is_seamless,
        )
    for server in PEERS if size.peers else []:
        given = official("R4", talk={**talk, "quietMs": 1500}, repeat=size.of(100))
        yield Case(
            row="R4",
            client="socket.io",
            server=server,
            what="default",
            run=lambda url, given=given: upgrades(url, given, seed=1, **network),
            # Here the standard loses nothing: a server that does is at fault.
            passes=(lambda figures: figures.is_clean) if server.startswith("holdfast") else None,
        )


def r5(size: Size) -> Iterator[Case]:
    """R5: the transport changes up and down in the middle of it all."""
    times = size.of(100)
    for codec in ("json", "msgpack") if size.part >= 1 else ("json",):
        given = ours("R5", codec=codec, talk={"count": 40_000, "perSecond": 100})
        yield Case(
            row="R5",
            client="holdfast",
            server="holdfast",
            what=f"auto {codec}",
            run=lambda url, given=given: changes(url, given, times=times),
            passes=lambda figures: figures.is_seamless and figures.more["changes"] >= times,
        )


# Each with the name that the report gives it.
SINGLE = {
    "POST answer lost": ("polling", {Mishap.LOSE_ANSWER: 0.05}),
    "poll truncated": ("polling", {Mishap.TRUNCATE_RESPONSE: 0.05}),
    "POST doubled": ("polling", {Mishap.REPEAT: 0.05}),
}
ALL_MISHAPS = {
    Mishap.LOSE_ANSWER: 0.05,
    Mishap.LOSE_REQUEST: 0.05,
    Mishap.CUT_REQUEST: 0.05,
    Mishap.CUT_RESPONSE: 0.05,
    Mishap.TRUNCATE_RESPONSE: 0.05,
    Mishap.CUT_CHARACTER: 0.05,
    Mishap.REPEAT: 0.05,
    Mishap.REORDER: 0.05,
}
# A stream is one request for many events: it is cut more often.
STREAM_MISHAPS = {**ALL_MISHAPS, Mishap.CUT_EVENT: 0.4, Mishap.CUT_CHARACTER: 0.4}


def r6(size: Size) -> Iterator[Case]:
    """R6: answers lost, truncated, doubled, out of order, cut inside a character or an event."""
    talk = {"count": size.of(1000), "perSecond": 100, "limitBytes": 256}
    everything = {"polling": ALL_MISHAPS, "stream": STREAM_MISHAPS, "auto": STREAM_MISHAPS}
    for codec in ("json", "msgpack"):
        for way, likely in everything.items():
            # Of fewer events, more meet something.
            chances = {mishap: min(0.3, chance / size.part) for mishap, chance in likely.items()}
            given = ours("R6", transports=WAYS[way], codec=codec, talk={**talk, "seed": 1})
            without = Faults(refuse_websocket=way == "auto")
            yield Case(
                row="R6",
                client="holdfast",
                server="holdfast",
                what=f"{way} {codec}, all of them",
                run=lambda url, given=given, chances=chances, without=without: mishaps(
                    url, given, chances=chances, without=without, seed=size.first_seed
                ),
                passes=lambda figures: figures.is_seamless,
            )
    for fault, (way, chances) in SINGLE.items():
        for server in ["ours", *PEERS] if size.peers else []:
            given = (ours if server == "ours" else official)("R6", transports=[way], talk=talk)
            yield Case(
                row="R6",
                client="holdfast" if server == "ours" else "socket.io",
                server="holdfast" if server == "ours" else server,
                what=f"{way}, {fault}",
                run=lambda url, given=given, chances=chances: mishaps(
                    url, given, chances=chances, seed=size.first_seed
                ),
                passes=(lambda figures: figures.is_seamless) if server == "ours" else None,
            )


def r7(size: Size) -> Iterator[Case]:
    """R7: what is open falls silent while traffic flows: back within 5 s."""
    times = size.of(10)
    for way, transports in WAYS.items():
        given = ours("R7", transports=transports, talk={"count": times * 160 + 100, "perSecond": 20})
        yield Case(
            row="R7",
            client="holdfast",
            server="holdfast",
            what=way,
            run=lambda url, given=given: silences(url, given, times=times, every=8.0),
            passes=lambda figures: figures.is_seamless and max(figures.outages) <= 5 * size.patience,
        )


def r8(size: Size) -> Iterator[Case]:
    """R8: a WebSocket that is accepted and then silent, or closed."""
    for how in ("silent", "close"):
        given = ours("R8", talk={"count": size.of(1300), "perSecond": 20})
        yield Case(
            row="R8",
            client="holdfast",
            server="holdfast",
            what=f"auto, {how}",
            run=lambda url, given=given, how=how: blocked(url, given, how),
            passes=lambda figures: (
                figures.is_seamless
                and figures.more["first_ms"] <= 500 * size.patience
                and figures.more["transport"] == "stream"
            ),
        )


def r9(size: Size) -> Iterator[Case]:
    """R9: a network without WebSockets, six ways, streams allowed or not."""
    for how in BLOCKED:
        for order in (None, ["websocket", "polling"]) if size.part >= 1 else (None,):
            given = ours("R9", transports=order, talk={"count": 40, "perSecond": 20})
            bound = 2500 if order else 500
            yield Case(
                row="R9",
                client="holdfast",
                server="holdfast",
                what=f"{'websocket or polling' if order else 'auto'}, {how}",
                run=lambda url, given=given, how=how: blocked(url, given, how),
                passes=lambda figures, bound=bound * size.patience: (
                    figures.is_seamless and figures.more["first_ms"] <= bound
                ),
            )


def r10(size: Size) -> Iterator[Case]:
    """R10: a proxy that holds streams back: polling within 3 s, and at once the next time."""
    given = ours("R10", repeat=2, talk={"count": 60, "perSecond": 20})
    yield Case(
        row="R10",
        client="holdfast",
        server="holdfast",
        what="auto, no WebSocket",
        run=lambda url: held_back(url, given),
        passes=lambda figures: (
            figures.is_seamless
            and figures.longest <= 3 * size.patience
            and figures.more["first_ms"][0] <= 3000 * size.patience
            and figures.more["transports"] == ["polling", "polling"]
        ),
    )


ROWS: dict[str, Callable[[Size], Iterator[Case]]] = {
    "R1": r1,
    "R2": r2,
    "R3": r3,
    "R4": r4,
    "R5": r5,
    "R6": r6,
    "R7": r7,
    "R8": r8,
    "R9": r9,
    "R10": r10,
}


def cases(rows: list[str], size: Size) -> list[Case]:
    """All cases of some rows."""
    return [case for row in rows for case in ROWS[row](size)]
