"""What a message costs the server: holdfast and others side by side, in microseconds of the server's CPU time.

    make bench                             the usual servers, all workloads, 5 rounds
    make bench ARGS="--quick"              about a minute, for a look
    make bench ARGS="--servers holdfast,node --workloads echo,broadcast --rounds 9"

The figure is the CPU time (user and system, from the operating system, of all threads and workers) that the server
spends per operation. Wall-clock time is not looked at: on shared machines it says little. The server stands on one
core, the clients on another. Runs go round the servers in turn, so that a slow moment of the machine meets all alike;
the first round does not count. Medians are shown, with the lowest and the highest; a ratio is the median of the rounds'
ratios. Clients check every answer; a wrong one ends everything with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import uvloop
from bench_bars import bar_table
from bench_chart import chart
from bench_peers import hang_up
from bench_report import Measured, client_share, machine, ratio_table, table, to_json
from bench_servers import SERVERS, USUAL, Running, Subject, available, cores, running
from bench_wire import WrongAnswer
from bench_work import Meter
from bench_workloads import WORKLOADS, Workload
from load_servers import raise_file_limit

__all__ = ["measure", "run_once"]

# Far more than any run takes.
PATIENCE = 120.0


def run_once(workload: Workload, server: Running, *, share: float = 1.0, scale: float = 1.0) -> Measured:
    """One run of a workload. Exits if the server answers wrongly, or not at all.

    Args:
        share: Of the usual number of operations.
        scale: Of the usual number of clients.
    """
    operations = max(1, int(workload.operations * share))

    async def work() -> Measured:
        meter = Meter(server, scale)
        try:
            async with asyncio.timeout(PATIENCE):
                done = await workload.work(meter, operations)
        finally:
            await hang_up()
        return Measured(done, meter.cpu, meter.own_cpu, meter.wall)

    try:
        return uvloop.run(work())
    except (WrongAnswer, TimeoutError, OSError) as error:
        raise SystemExit(f"{server.name} failed in {workload.name}: {error!r}\n{server.log()}") from error


def check_cores(server: Running, core: int | None) -> None:
    """Exit if the server and the clients share a core: each would pay for what the other does to the caches."""
    ours = os.sched_getaffinity(0)
    if core is not None and (server.cores() != {core} or core in ours):
        raise SystemExit(
            f"{server.name} stands on {sorted(server.cores())} and the clients on {sorted(ours)}: "
            f"the servers belong on {core}, alone"
        )


def groups(workloads: list[Workload]) -> list[list[Workload]]:
    """Each by itself, but those that are compared with one another."""
    pair = [workload for workload in workloads if workload.name in ("load", "load-counting")]
    alone = [[workload] for workload in workloads if workload not in pair]
    return [*alone, pair] if pair else alone


def measure(
    workloads: list[Workload],
    subjects: list[Subject],
    *,
    rounds: int,
    share: float = 1.0,
    core: int | None = None,
) -> dict[str, dict[str, list[Measured]]]:
    """So many runs of each workload with each server that can do it, by the names of both.

    A round is all of them once: where the machine is slow for a minute, it is so for all that is compared. The servers
    are new, and have done nothing else.

    Args:
        core: The servers'; the clients stand on another.
    """
    found: dict[str, dict[str, list[Measured]]] = {workload.name: {} for workload in workloads}
    with ExitStack() as stack:
        spoken = {protocol for workload in workloads for protocol in workload.protocols}
        servers = [
            stack.enter_context(running(subject, core=core))
            for subject in subjects
            if subject.protocol in spoken
        ]
        for server in servers:
            check_cores(server, core)
        for number in range(rounds + 1):
            for workload in workloads:
                for server in servers:
                    if server.subject.protocol not in workload.protocols:
                        continue
                    run = run_once(workload, server, share=share if number else max(share, 0.5))
                    if number:
                        found[workload.name].setdefault(server.name, []).append(run)
    return found


def names(text: str, known: list[str], usual: list[str]) -> list[str]:
    """Of an option: names by commas, "usual" or "all"."""
    found = usual if text == "usual" else known if text == "all" else text.split(",")
    if unknown := [name for name in found if name not in known]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are: {', '.join(known)}")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--servers",
        default="usual",
        help=f"by commas, or all (default: {','.join(USUAL)}) of {list(SERVERS)}",
    )
    add("--workloads", default="all", help=f"by commas (default: all) of {list(WORKLOADS)}")
    add("--rounds", type=int, default=5, help="that count, for each server and workload (default: 5)")
    add("--quick", action="store_true", help="a quarter of the operations, 3 rounds, fewer servers")
    add("--json", type=Path, help="write all figures there")
    add("--chart", type=Path, help="write a chart there (SVG)")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    wanted = names(options.servers, list(SERVERS), list(USUAL))
    workloads = [WORKLOADS[name] for name in names(options.workloads, list(WORKLOADS), list(WORKLOADS))]
    subjects = [SERVERS[name] for name in wanted if available(SERVERS[name])]
    if missing := [name for name in wanted if SERVERS[name] not in subjects]:
        print(f"not installed here: {', '.join(missing)}", file=sys.stderr)
    raise_file_limit()
    if pair := cores():
        os.sched_setaffinity(0, {pair[1]})
    rounds, share = (3, 0.25) if options.quick else (options.rounds, 1.0)
    found: dict[str, dict[str, list[Measured]]] = {}
    for together in groups(workloads):
        print(f"{', '.join(workload.name for workload in together)}…", file=sys.stderr, flush=True)
        found |= measure(together, subjects, rounds=rounds, share=share, core=pair and pair[0])
    titles = {name: workload.title for name, workload in WORKLOADS.items()}
    print(table(found, titles))
    for own in [name for name in ("holdfast", "holdfast-fast") if SERVERS[name] in subjects]:
        print(f"\n{ratio_table(found, own)}")
    print(f"\n{bar_table(found)}")
    print(f"\n{client_share(found)}; {machine()}")
    if options.json:
        stand = {"servers": pair and pair[0], "clients": pair and pair[1]}
        options.json.write_text(to_json(found, {"rounds": rounds, "cores": stand}))
    if options.chart:
        options.chart.write_text(chart(found, titles))


if __name__ == "__main__":
    main()
