"""The trials of `chaos.py --url`: a few of the rows, for an application of one's own."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from chaos_cells import WAYS, Figures, cuts, mishaps, upgrades
from chaos_rows import ALL_MISHAPS, OFFICIAL_WAYS, Case

__all__ = ["own_cases"]


def own_cases(options: argparse.Namespace) -> list[Case]:
    """What an application is put through; the options are those of `chaos.py`."""
    return list(_cases(options))


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    is_ours = options.client == "holdfast"
    ways = WAYS if is_ours else OFFICIAL_WAYS
    talk = {"count": options.events, "perSecond": options.rate, "quietMs": 20_000 if is_ours else 4000}
    pause = 0.8 * options.events / options.rate / max(1, options.cuts)

    def case(what: str, run: Any) -> Case:
        return Case(
            row="own",
            client=options.client,
            server=options.url,
            what=what,
            run=run,
            passes=Figures.is_seamless.fget if is_ours else None,
        )

    for way, transports in ways.items():
        given: dict[str, Any] = {
            "client": options.client,
            "path": options.path,
            "transports": transports,
            "talk": talk,
        }
        yield case(
            f"{way}, {options.cuts} cuts",
            lambda url, given=given: cuts(
                url, given, times=options.cuts, pause=(0.5 * pause, 1.5 * pause), seed=options.seed
            ),
        )
        if way != "websocket":
            yield case(
                f"{way}, requests and answers lost, cut, doubled, late",
                lambda url, given=given: mishaps(url, given, chances=ALL_MISHAPS, seed=options.seed),
            )
    given = {
        "client": options.client,
        "path": options.path,
        "repeat": 10,
        "talk": {**talk, "count": 100, "perSecond": 500},
    }
    yield case(
        "connecting on a slow network",
        lambda url: upgrades(url, given, delay=0.02, jitter=0.04, seed=options.seed),
    )
