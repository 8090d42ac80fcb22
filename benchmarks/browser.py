"""How soon a page hears from its server through a bad network: holdfast beside socket.io-client and sockjs-client.

    make bench-browser                  or: python benchmarks/browser.py --rows open,cut --runs 5

Real Chromium, each client against its own server with the defaults of both, a fresh browser context and a misbehaving
proxy for each run. Clients take turns, so that a slow moment of the machine meets all alike. Runs that only wait
overlap; rows of a few milliseconds run alone. Every number received is checked. The median counts, the worst is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from browser_report import Table, markdown, text, verdicts
from browser_rows import ROWS, Row
from browser_visit import CLIENTS, Bench, launch, visit
from playwright.async_api import async_playwright

LANES = 2
ALIVE = 60
"""How many runs may wait at once."""


class Schedule:
    """Begins runs in turn, a few at a time, and goes on to the next when one only waits."""

    def __init__(self, bench: Bench, jobs: Iterable[tuple[Row, str, int]], table: Table) -> None:
        self._bench = bench
        self._jobs = iter(jobs)
        self._table = table
        self._alive = asyncio.Semaphore(ALIVE)

    async def run(self, lanes: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(lanes):
                tasks.create_task(self._lane(tasks))

    async def _lane(self, tasks: asyncio.TaskGroup) -> None:
        for row, client, number in self._jobs:
            await self._alive.acquire()
            idle = asyncio.Event()
            tasks.create_task(self._one(row, client, number, idle))
            await idle.wait()

    async def _one(self, row: Row, client: str, number: int, idle: asyncio.Event) -> None:
        try:
            options = {"traffic": row.traffic, "alone": row.alone, "own": row.own}
            async with visit(self._bench, client, number, **options) as one:
                one.idle = idle
                self._table.add(row, client, await row.run(one))
        finally:
            idle.set()
            self._alive.release()


async def measure(table: Table) -> None:
    """Fill the table."""
    rows, clients, runs = table.rows, table.clients, table.runs
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        bench = Bench(playwright, browser, runs)
        try:
            await bench.prepare(clients)
            for row in rows:
                if row.alone:
                    await Schedule(bench, jobs([row], clients, runs), table).run(1)
            await Schedule(bench, jobs([row for row in rows if not row.alone], clients, runs), table).run(
                LANES
            )
        finally:
            await bench.end()
            await browser.close()


def jobs(rows: list[Row], clients: list[str], runs: int) -> Iterable[tuple[Row, str, int]]:
    """Round by round, and in each round the clients in another order."""
    for number in range(runs):
        for row in rows:
            for client in (*clients[number % len(clients) :], *clients[: number % len(clients)]):
                if not row.only or client in row.only:
                    yield row, client, number


def chosen(given: str | None, known: Iterable[str], what: str) -> list[str]:
    """The names of a list with commas, in the order in which they are known."""
    names = [name.strip() for name in given.split(",")] if given else list(known)
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such {what}: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return [name for name in known if name in names]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15, help="per row and client (default: 15)")
    parser.add_argument("--rows", help=f"some of: {','.join(row.key for row in ROWS)}")
    parser.add_argument("--clients", help=f"some of: {','.join(CLIENTS)}")
    parser.add_argument("--json", type=Path, help="write every figure there as well")
    parser.add_argument(
        "--read", type=Path, metavar="JSON", help="measure nothing, and report what stands there"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/hostile-networks.md")
    options = parser.parse_args()
    rows = {row.key: row for row in ROWS}
    table = Table(
        [rows[key] for key in chosen(options.rows, rows, "row")],
        chosen(options.clients, CLIENTS, "client"),
        options.runs,
    )
    try:
        if options.read:
            table.take(json.loads(options.read.read_text()))
        else:
            asyncio.run(measure(table))
    except asyncio.CancelledError:
        print("interrupted: not every run has been made", file=sys.stderr)
    print(markdown(table) if options.markdown else text(table))
    print()
    for holds, clause in verdicts(table):
        print(f"{'pass' if holds else 'FAIL'}  {clause}", file=sys.stderr if options.markdown else sys.stdout)
    if options.json:
        options.json.write_text(json.dumps(table.json(), indent=1))


if __name__ == "__main__":
    main()
