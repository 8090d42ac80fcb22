"""Numbered events through networks that break, both ways, and what became of each of them.

    make chaos                                     all rows, at full size; about half an hour
    make chaos ARGS="R1 R6 --part 0.1 --seeds 1"   two of them, a tenth of it
    make chaos ARGS="--url http://127.0.0.1:8000"  an application of your own; see docs/chaos.md

Each talk has a client of its own (Node), a misbehaving proxy of its own, and a server that it shares with others. Every
number is checked at both ends. The exit status is 1 if a row is not met.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio
from chaos_cells import Figures
from chaos_own import own_cases
from chaos_report import as_json, line, markdown
from chaos_rows import ROWS, SMALL, Case, Size, cases
from chaos_run import serving

Done = list[tuple[Case, Figures | None]]


async def measure(chosen: list[Case], parallel: int, own: str | None) -> Done:
    """Run all cases, so many at a time; in their order."""
    found: dict[int, Figures | None] = {}
    limit = anyio.Semaphore(parallel)
    async with AsyncExitStack() as stack:
        servers = {} if own else sorted({case.server for case in chosen})
        urls = {server: await stack.enter_async_context(serving(server)) for server in servers}

        async def one(number: int, case: Case) -> None:
            async with limit:
                found[number] = await attempt(case, own or urls[case.server])
                print(line(case, found[number]), flush=True)

        async with anyio.create_task_group() as tasks:
            for number, case in enumerate(chosen):
                tasks.start_soon(one, number, case)
    return [(case, found[number]) for number, case in enumerate(chosen)]


async def attempt(case: Case, url: str) -> Figures | None:
    try:
        return await case.run(url)
    except* (TimeoutError, RuntimeError) as errors:
        print(f"{case.row} {case.what}: {errors.exceptions}", file=sys.stderr)
    return None


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; by default all")
    parser.add_argument("--small", action="store_true", help="as in make test: a tenth, ours, with patience")
    parser.add_argument("--with-peers", action="store_true", help="with --small: the others too")
    parser.add_argument("--part", type=float, default=1.0, help="of all events, cuts and talks (1.0)")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each case of R1 (3)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--no-peers", action="store_true", help="ours only")
    parser.add_argument("--only", default="", help="cases whose description contains this")
    parser.add_argument("--parallel", type=int, default=4, help="talks at the same time (4)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    own = parser.add_argument_group("an application of your own, which takes part as docs/chaos.md says")
    own.add_argument(
        "--url", help="its address, e.g. http://127.0.0.1:8000; nothing but loopback or a test system"
    )
    own.add_argument("--path", default="/socket.io", help="where Socket.IO is (/socket.io)")
    own.add_argument("--client", choices=["holdfast", "socket.io"], default="holdfast", help="(holdfast)")
    own.add_argument("--events", type=int, default=1000, help="each way (1000)")
    own.add_argument("--rate", type=float, default=100, help="events a second each way (100)")
    own.add_argument("--cuts", type=int, default=10, help="(10)")
    options = parser.parse_args()
    if unknown := [row for row in options.rows if row not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}")
    if options.url and options.rows:
        parser.error("rows are of our own servers; --url has its own trials")
    return options


def main() -> int:
    options = parsed()
    size = Size(part=options.part, seeds=options.seeds, first_seed=options.seed, peers=not options.no_peers)
    size = replace(SMALL, peers=options.with_peers) if options.small else size
    chosen = own_cases(options) if options.url else cases(options.rows or list(ROWS), size)
    chosen = [case for case in chosen if options.only in f"{case.client} {case.server} {case.what}"]
    began = time.monotonic()
    done = anyio.run(measure, chosen, options.parallel, options.url)
    print("\n" + markdown(done))
    missed = [case for case, figures in done if figures is None or (case.passes and not case.passes(figures))]
    print(f"\n{len(done)} cases in {time.monotonic() - began:.0f} s; not met: {len(missed)}")
    if options.json:
        options.json.write_text(json.dumps(as_json(done), indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
