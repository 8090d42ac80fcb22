"""The steps of the recovery tests: a client connects, is cut off, comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from official_client import ControlledServer, Network, OfficialClient, official_client

__all__ = ["WAYS", "client_of", "come_back", "connect", "cut", "state", "stay_quiet"]

WAYS: dict[str, list[str]] = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}


@contextmanager
def client_of(url: str, way: str = "websocket", *, reconnection: bool = False) -> Iterator[OfficialClient]:
    with official_client(url, WAYS[way], reconnection=reconnection) as client:
        yield client


def connect(client: OfficialClient, way: str = "websocket", namespace: str = "/", **auth: object) -> str:
    """Connect for the first time; with ``quiet=True`` the server does not say hello. Returns the id."""
    client.tell("connect", namespace=namespace, auth=auth)
    id: str = client.wait_for("connect", namespace=namespace)["id"]
    if way == "upgrade":
        client.wait_for("upgrade")
    client.round_trip(namespace)
    return id


def come_back(client: OfficialClient, namespace: str = "/") -> dict[str, Any]:
    """Connect again, if it does not do so by itself because another namespace does; returns id and recovered."""
    times = len(client.all("disconnect", namespace)) + 1
    client.tell("connect", namespace=namespace)
    answer = client.wait_for("connect", times, namespace)
    client.round_trip(namespace)
    return answer


def cut(server: ControlledServer, network: Network, client: OfficialClient, *ids: str) -> None:
    """The network fails, and both sides notice."""
    times = len(client.all("disconnect")) + 1
    for id in ids:
        server.until_attached(id)
    network.cut()
    client.wait_for("disconnect", times)
    for id in ids:
        server.until_gone(id)


def stay_quiet(server: ControlledServer, client: OfficialClient, seconds: int) -> None:
    """The client stays connected and hears nothing but pings; others hear a lot."""
    for _ in range(seconds // 10):
        server.tell("advance", seconds=10)
        server.emit("not to it", rooms=["nobody is here"])
        client.round_trip()


def state(server: ControlledServer, id: str) -> tuple[list[str], dict[str, object], bool]:
    [socket] = server.live(id)
    return socket["rooms"], socket["data"], socket["recovered"]
