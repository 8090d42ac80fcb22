"""What more sessions and larger rooms change: per change of rooms and per disconnection nothing, per delivery as much
as on a server without a protocol.

    make bench-growth                                     100, 1,000 and 10,000 sessions; some minutes
    make bench-growth ARGS="--servers holdfast-fast --sessions 100,1000"

Figures are microseconds of the server's CPU time, medians of several runs with the lowest and the highest. Of
deliveries to a room what the event costs that asks for them is taken off, so that small rooms are compared with large
ones. The room that is joined and left is one of all. "blocked" is the longest time, in milliseconds, for which the
server's loop is kept from anything else, by its thread's CPU clock: by a broadcast to all; and while a tenth of all
leave and others come, of which "leave and come" is the cost. `--gc 700,10,100` shows what Python's collector of
garbage has to do with that.

A server without a protocol ("bare-asgi", "bare-ws") has no rooms; there one of all tells all. How much its figures
grow is what the machine's caches and the kernel make of more connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvloop
from bench_peers import Peer, hang_up
from bench_report import machine, markdown, rounded
from bench_servers import SERVERS, Running, available, cores, running
from bench_sessions import crowd, expect, leave, websocket
from bench_websocket import cast, in_order
from bench_wire import WrongAnswer, client_frame, server_frame
from bench_work import Meter, payload
from load_servers import raise_file_limit

__all__ = ["Growth", "growth"]

ROOMS = (10, 100, 1_000, 10_000)
ALL = "all"
# In one run.
DELIVERIES = 20_000
CASTS = 300
PAIRS = 1_000
GOING = 50
PATIENCE = 1_200.0

# Of each run, by what was measured.
Found = dict[str, list[float]]


class Growth:
    """A server whose sessions become more. One client asks for everything, and is in no room itself."""

    def __init__(self, server: Running, rounds: int, share: float) -> None:
        self.server = server
        self.share = share
        self.rounds = rounds
        self.peers: list[Peer] = []
        self.asker: Peer
        self._filled: set[int] = set()

    async def begin(self) -> None:
        self.asker = await websocket(self.server.host)

    async def end(self) -> None:
        await leave([*self.peers, self.asker])

    async def grow(self, sessions: int) -> Found:
        """Have so many sessions, and measure."""
        new = await self._more(sessions)
        await self._enter(new, ALL)
        found: Found = {}
        for size in (size for size in ROOMS if size <= sessions):
            if size not in self._filled:
                self._filled.add(size)
                await self._enter(self.peers[:size], f"room of {size}")
            found[f"delivery, room of {size:,}"] = await self._runs(lambda size=size: self._delivery(size))
        found["join and leave"] = await self._runs(self._join_and_leave)
        found["disconnect"] = await self._runs(self._disconnect)
        found["blocked by a broadcast, ms"] = await self._runs(partial(self._blocked, self._cast_to_all))
        found["leave and come"] = await self._runs(self._leave_and_come)
        found["blocked by that, ms"] = await self._runs(partial(self._blocked, self._change))
        return found

    async def _more(self, sessions: int, path: str = "") -> list[Peer]:
        new = await crowd(sessions - len(self.peers), lambda: websocket(self.server.host, path=path))
        self.peers += new
        return new

    async def _runs(self, work: Callable[[], Awaitable[float]]) -> list[float]:
        # The first does not count.
        return [await work() for _ in range(self.rounds + 1)][1:]

    async def _spent(self, work: Awaitable[object]) -> float:
        """Microseconds."""
        meter = Meter(self.server)
        with meter:
            await work
            # Until it has done all, and has nothing to do: only then its clock stands where it should.
            await asyncio.sleep(0.1)
        return meter.cpu * 1e6

    async def _enter(self, peers: Sequence[Peer], room: str) -> None:
        await asyncio.gather(*(ask(peer, f'["join","{room}"]') for peer in peers))

    def _casts(self, size: int) -> int:
        return max(2, int(min(CASTS, DELIVERIES // size) * self.share))

    async def _delivery(self, size: int) -> float:
        casts = self._casts(size)
        base = await self._spent(self._cast("nobody", [], casts))
        return (await self._spent(self._cast(f"room of {size}", self.peers[:size], casts)) - base) / (
            casts * size
        )

    async def _cast(self, room: str, members: Sequence[Peer], count: int) -> None:
        texts = [payload(number, 64) for number in range(count)]
        news = [f'42["news","{text}"]' for text in texts]
        expected = [*map(server_frame, news)]
        left = 0

        def delivered() -> None:
            nonlocal left
            left -= 1
            if not left:
                self.asker.finish()

        taken = [in_order(peer, expected, news, delivered) for peer in members]
        for peer in members:
            peer.partner = self.asker
        for text in texts:
            left = len(members)
            await ask(self.asker, f'["cast to","{room}","{text}"]')
            if members:
                await self.asker.finished()
        expect(all(found() == count for found in taken), f"a member of {room} that has not heard all")

    async def _join_and_leave(self) -> float:
        return await self._spent(ask(self.asker, f'["join and leave","{ALL}",{PAIRS}]')) / PAIRS

    async def _disconnect(self) -> float:
        going = self.peers[-GOING:]

        async def go() -> None:
            await leave(going)
            await ask(self.asker, '["echo","done"]')

        spent = await self._spent(go())
        at = len(self.peers) - GOING
        self.peers[at:] = await crowd(GOING, lambda: websocket(self.server.host))
        await self._enter(self.peers[at:], ALL)
        for size in self._filled:
            await self._enter(self.peers[at:size], f"room of {size}")
        return spent / GOING

    async def _cast_to_all(self) -> None:
        await self._cast(ALL, self.peers, 1)

    def _share(self) -> int:
        return max(GOING, len(self.peers) // 10)

    async def _leave_and_come(self) -> float:
        return await self._spent(self._change()) / self._share()

    async def _change(self) -> None:
        # The oldest, so that in the end all have gone.
        count = self._share()
        await leave(self.peers[:count])
        self.peers[:count] = await crowd(count, lambda: websocket(self.server.host))
        await self._enter(self.peers[:count], ALL)
        for size in self._filled:
            await self._enter(self.peers[: min(count, size)], f"room of {size}")

    async def _blocked(self, work: Callable[[], Awaitable[None]]) -> float:
        await ask(self.asker, '["watch"]')
        await work()
        seconds: float = json.loads(await ask(self.asker, '["watched"]'))[0]
        return seconds * 1e3


class BareGrowth(Growth):
    """Of a server without a protocol: no more than a delivery to all."""

    async def begin(self) -> None:
        pass

    async def end(self) -> None:
        await leave(self.peers, bare=True)

    async def grow(self, sessions: int) -> Found:
        await self._more(sessions, "/cast")
        return {"delivery to all": await self._runs(self._delivery_to_all)}

    async def _delivery_to_all(self) -> float:
        casts = self._casts(len(self.peers))
        return await self._spent(cast(self.peers, casts, bare=True)) / (casts * len(self.peers))


async def ask(peer: Peer, event: str) -> str:
    """Send an event; the arguments of its answer."""
    peer.expected = b""
    peer.keep()
    peer.transport.write(client_frame(f"427{event}"))
    answer = await peer.next()
    expect(answer.startswith("437["), answer)
    return answer.removeprefix("437")


def growth(server: Running, sessions: Sequence[int], rounds: int, share: float = 1.0) -> dict[int, Found]:
    """What is measured at each number of sessions.

    Args:
        share: Of the usual number of deliveries.
    """

    async def work() -> dict[int, Found]:
        kind = BareGrowth if server.subject.protocol == "bare" else Growth
        steps = kind(server, rounds, share)
        await steps.begin()
        found: dict[int, Found] = {}
        for count in sessions:
            print(f"{server.name}, {count:,} sessions…", file=sys.stderr, flush=True)
            found[count] = await steps.grow(count)
        await steps.end()
        return found

    async def bounded() -> dict[int, Found]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await work()
        finally:
            await hang_up()

    try:
        return uvloop.run(bounded())
    except (WrongAnswer, TimeoutError, OSError) as error:
        raise SystemExit(f"{server.name} failed: {error!r}\n{server.log()}") from error


def show(name: str, found: dict[int, Found]) -> None:
    rows = [[name, *(f"{count:,} sessions" for count in found)]]
    for what in list(found.values())[-1]:
        row = [what]
        for figures in found.values():
            if runs := figures.get(what):
                row.append(f"{rounded(statistics.median(runs))} ({rounded(min(runs))}–{rounded(max(runs))})")
            else:
                row.append("–")
        rows.append(row)
    print(markdown(rows), end="\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--servers", default="holdfast,holdfast-fast,bare-asgi", help="by commas (default: %(default)s)")
    add("--sessions", default="100,1000,10000", help="how many, by commas, ascending (default: %(default)s)")
    add("--rounds", type=int, default=5, help="that count (default: 5)")
    add("--quick", action="store_true", help="a tenth of the deliveries and one round, for a look")
    add("--gc", default="", help="the server's gc.set_threshold (default: Python's own)")
    add("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    limit = raise_file_limit()
    sessions = sorted(int(count) for count in options.sessions.split(","))
    if sessions[-1] + 100 > limit or sessions[0] < 2 * GOING:
        raise SystemExit(f"between {2 * GOING} and {limit - 100} sessions, by the limit of open files")
    pair = cores()
    if pair:
        os.sched_setaffinity(0, {pair[1]})
    everything: dict[str, object] = {"machine": machine()}
    for subject in (SERVERS[name] for name in options.servers.split(",")):
        if not available(subject):
            print(f"not installed here: {subject.name}", file=sys.stderr)
            continue
        subject = replace(subject, environment={**subject.environment, "BENCH_GC": options.gc})
        with running(subject, core=pair and pair[0]) as server:
            rounds, share = (1, 0.1) if options.quick else (options.rounds, 1.0)
            found = growth(server, sessions, rounds, share)
        show(subject.name, found)
        everything[subject.name] = found
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
