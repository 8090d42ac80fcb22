"""What `make bench` has servers do. Each workload checks every answer: what it says, its order, how many there are."""

from __future__ import annotations

from dataclasses import dataclass

from bench_http import polling, stream, upgrade
from bench_websocket import broadcast, connect, echo, load, one_way
from bench_work import Work

__all__ = ["WORKLOADS", "Workload"]


@dataclass(frozen=True)
class Workload:
    """One row.

    Args:
        operations: Of one run, about; the run says how many there were.
        protocols: Those of the servers that can do it.
    """

    name: str
    title: str
    operations: int
    work: Work
    protocols: tuple[str, ...] = ("socket.io", "holdfast", "bare")


SOCKETIO = ("socket.io", "holdfast")
OWN = ("holdfast",)
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("echo", "echo with ack, 64 B, 100 sockets", 10_000, echo(64)),
        Workload("echo-1k", "echo with ack, 1 KB, 100 sockets", 10_000, echo(1024)),
        Workload("broadcast", "broadcast to 1,000, per delivery", 20_000, broadcast),
        Workload("one-way", "events one way, pipelined, per event", 20_000, one_way),
        Workload("polling", "long-polling round trip (POST + GET)", 2_500, polling, SOCKETIO),
        Workload("connect", "connect and close, WebSocket", 500, connect),
        Workload("upgrade", "connect by polling, upgrade, close", 300, upgrade, SOCKETIO),
        Workload("stream", "stream round trip (POST + event)", 2_500, stream, OWN),
        Workload("load", "echo, 20 outstanding on each of 100 sockets, per event", 20_000, load(False)),
        Workload("load-counting", "the same by counting peers", 20_000, load(True), OWN),
    )
}
