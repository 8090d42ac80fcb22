"""Those who begin and do not go on: handshakes that are never used, and POSTs of which half is sent.

    python benchmarks/unused.py
    python benchmarks/unused.py --servers uvicorn,python-socketio,socket.io --handshakes 2000 --posts 100

Handshakes come from one address. With the default settings the hundred-and-first is refused (429); for what one costs
and when it is gone the limit is lifted. `gone` is how long after the last of them the server has no session any more;
`dropped` how long after its beginning the last half POST was answered or ended, and how. Servers are given --watch
seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

from idle_clients import Idle, IdlePolling
from load_report import kilobytes, show
from load_servers import Process, serving


async def handshakes(port: int, count: int) -> Counter[str]:
    """So many, each on a connection of its own that is closed again."""
    found: Counter[str] = Counter()
    turns = asyncio.Semaphore(50)

    async def one() -> None:
        async with turns:
            client = Idle(port, counting=False)
            await client.open()
            client.ask("polling", "Connection: close")
            found[(await client.head())[9:12]] += 1
            client.writer.close()

    await asyncio.gather(*(one() for _ in range(count)))
    return found


async def half_posts(port: int, count: int, watch: float) -> tuple[Counter[str], float]:
    """POSTs of 1,000 bytes, of which ten are sent; how they end."""
    found: Counter[str] = Counter()
    last = 0.0
    began = time.monotonic()

    async def one() -> None:
        nonlocal last
        client = IdlePolling(port, counting=False)
        await client.open()
        client.ask("polling")
        client.take_open((await client.body()).split("\x1e")[0])
        other = Idle(port, counting=False)
        await other.open()
        head = f"POST /socket.io/?EIO=4&transport=polling&sid={client.opened['sid']} HTTP/1.1"
        other.writer.write(f"{head}\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4234567890".encode())
        try:
            async with asyncio.timeout(watch):
                data = await other.reader.read(1_000)
            status = re.match(rb"HTTP/1.1 (\d+)", data)
            found[status[1].decode() if status else "closed"] += 1
            last = max(last, time.monotonic() - began)
        except TimeoutError:
            found["open"] += 1
        client.writer.close()
        other.writer.close()

    await asyncio.gather(*(one() for _ in range(count)))
    return found, last


def gone(server: Process, watch: float) -> str:
    began = time.monotonic()
    while (left := server.state()["sessions"]) and time.monotonic() - began < watch:
        time.sleep(0.25)
    return f"{left} left after {watch:g} s" if left else f"{time.monotonic() - began:.1f} s"


def measure(name: str, count: int, posts: int, watch: float) -> dict[str, object]:
    def said(found: Counter[str]) -> str:
        return ", ".join(f"{number} × {status}" for status, number in sorted(found.items()))

    with serving(name) as server:
        as_it_is = asyncio.run(handshakes(server.port, count))
    with serving(
        name, options={"SETTINGS": json.dumps({"max_unused_sessions_per_address": 100_000})}
    ) as server:
        asyncio.run(handshakes(server.port, 100))
        server.state()
        before, had = server.memory(), server.state()["sessions"]
        asyncio.run(handshakes(server.port, count))
        more = server.state()["sessions"] - had
        occupied = server.memory()
        left = gone(server, watch)
        ends, last = asyncio.run(half_posts(server.port, posts, watch))
    return {
        "server": name,
        "handshakes": count,
        "by default": said(as_it_is),
        "each, not limited": kilobytes((occupied - before) / max(1, more)),
        "gone": left,
        "half POSTs": posts,
        "ended": said(ends),
        "dropped": f"{last:.1f} s" if ends.total() > ends["open"] else "not",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", default="uvicorn,hypercorn,python-socketio,socket.io", help="by commas")
    parser.add_argument("--handshakes", type=int, default=2_000)
    parser.add_argument("--posts", type=int, default=100)
    parser.add_argument(
        "--watch", type=float, default=100, help="seconds that a server is given (default: 100)"
    )
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name in options.servers.split(","):
        rows.append(measure(name, options.handshakes, options.posts, options.watch))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    show(rows, path=options.json, title="handshakes and bodies that do not go on")


if __name__ == "__main__":
    main()
