"""Two nodes of ours and one in Node.js with the published adapters, on one real Redis: each does all there is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from client_driver import Driver, driving
from real_redis import Redis
from real_server import free_port, running, server_command

from holdfast import RedisEmitter

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

CLIENTS = Path(__file__).parent.parent / "clients"
NODES = ["python", "trio", "node"]
KINDS = ["redis", "streams"]


class Client:
    """A client of one node, the official one in JavaScript."""

    numbers = count(1)

    def __init__(
        self, driver: Driver, url: str, kind: str, name: str, transports: Sequence[str] = ("websocket",)
    ) -> None:
        self.driver = driver
        self.name = name
        self.number = next(self.numbers)
        options = {"path": f"/{kind}", "auth": {"name": name}, "transports": transports}
        self.id = driver.call("connect", peer=self.number, url=url, **options)

    def ask(self, *args: object) -> Any:
        return self.driver.call("ask", peer=self.number, args=args)

    def do(self, name: str, *args: object, **who: object) -> Any:
        """Let the server that this client is at do something."""
        return self.ask("do", name, who, args)

    def hear(self, event: str) -> list[Any]:
        """The next one of an event, waited for."""
        key = (self.number, "/", event)
        self.driver.until(lambda: bool(self.driver.heard[key]), f"{event!r} for {self.name}")
        return self.driver.heard[key].popleft()

    def heard(self, event: str) -> list[list[Any]]:
        """All that came of an event, up to now."""
        return list(self.driver.heard.pop((self.number, "/", event), ()))


class Cluster:
    """All nodes of one kind, each with one client."""

    def __init__(self, driver: Driver, urls: dict[str, str], kind: str) -> None:
        self.driver = driver
        self.urls = urls
        self.kind = kind
        self.clients = {node: self.connect(node) for node in urls}
        self._marks = count(1)

    def connect(self, node: str, name: str | None = None) -> Client:
        return Client(self.driver, self.urls[node], self.kind, name or node)

    def settle(self) -> None:
        """Return when all have heard all that any node has said before."""
        for client in self.clients.values():
            mark = f"mark {next(self._marks)} of {client.number}"
            client.do("emit", mark)
            for other in self.clients.values():
                other.hear(mark)


@pytest.fixture(scope="module")
def nodes(shared_redis: Redis) -> Iterator[tuple[Driver, dict[str, dict[str, str]]]]:
    assert (CLIENTS / "node_modules").exists(), "run: make setup"
    program = shutil.which("node")
    assert program is not None
    ports = {"python": free_port(), "trio": free_port()}
    servers = {"python": "uvicorn-fast", "trio": "hypercorn-trio"}
    with ExitStack() as stack:
        driver = stack.enter_context(driving([program, str(CLIENTS / "cluster.mjs"), shared_redis.url]))
        for name, port in ports.items():
            command = server_command(servers[name], "cluster_app:app", port)
            environment = {"NODE_NAME": name, "REDIS_URL": shared_redis.url}
            server = stack.enter_context(running(command, port, **environment))
            stack.callback(lambda server=server: _no_complaints(server.log()))
        node_ports = {kind: driver.call("serve", kind=kind) for kind in KINDS}
        yield (
            driver,
            {
                kind: {
                    **{name: f"http://127.0.0.1:{port}" for name, port in ports.items()},
                    "node": f"http://127.0.0.1:{node_ports[kind]}",
                }
                for kind in KINDS
            },
        )


def _no_complaints(log: str) -> None:
    assert "Traceback" not in log, log
    assert "not understood" not in log, log


@pytest.fixture(scope="module", params=KINDS)
def cluster(request: pytest.FixtureRequest, nodes: Any) -> Cluster:
    driver, urls = nodes
    return Cluster(driver, urls[request.param], request.param)


@pytest.fixture(params=NODES)
def teller(request: pytest.FixtureRequest, cluster: Cluster) -> Client:
    """The client whose node does something."""
    return cluster.clients[request.param]


def test_broadcasts_reach_everybody_with_bytes_and_in_order(cluster: Cluster, teller: Client) -> None:
    for number in range(20):
        teller.do("emit", "news", number, b"\x00\xff", {"inside": [b"x", None, "é"]})
    for client in cluster.clients.values():
        assert [client.hear("news") for _ in range(20)] == [
            [number, b"\x00\xff", {"inside": [b"x", None, "é"]}] for number in range(20)
        ]


def test_rooms_exceptions_and_local(cluster: Cluster, teller: Client) -> None:
    for client in cluster.clients.values():
        client.ask("join", "everywhere")
        client.ask("join", f"of {client.name}")
    ours = ["of python", "of trio"]
    teller.do("emit", "said", "all", rooms=["everywhere"])
    teller.do("emit", "said", "ours", rooms=ours)
    teller.do("emit", "said", "not trio", rooms=["everywhere"], **{"except": ["of trio"]})
    teller.do("emit", "said", "local", local=True)
    teller.do("emit", "said", "one", rooms=[cluster.clients["python"].id])
    teller.do("emit", "said", "nobody", rooms=["nobody's"])
    cluster.settle()
    for name, client in cluster.clients.items():
        expected = {
            "python": ["all", "ours", "not trio", "one"],
            "trio": ["all", "ours"],
            "node": ["all", "not trio"],
        }[name]
        heard = [text for [text] in client.heard("said")]
        assert sorted(heard) == sorted(expected + ["local"] * (client is teller))


def test_volatile_events_reach_who_can_take_them(cluster: Cluster, teller: Client) -> None:
    for name, client in cluster.clients.items():
        while not client.heard("fleeting"):
            # Who has just been sent something may not take it.
            teller.do("emit", "fleeting", rooms=[client.id], volatile=True)
            cluster.settle()
        assert not any(other.heard("fleeting") for other in cluster.clients.values()), name


def test_acknowledgements_come_from_all_nodes(cluster: Cluster, teller: Client) -> None:
    asked = teller.do("ask", "question", {"bytes": b"x"})
    assert sorted(asked["answers"]) == [f"{name} heard question" for name in sorted(NODES)]
    cluster.clients["trio"].ask("join", "asked")
    assert teller.do("ask", "question", rooms=["asked"])["answers"] == ["trio heard question"]
    assert teller.do("ask", "question", rooms=["nobody's"], timeout=300)["answers"] == []
    for client in cluster.clients.values():
        client.heard("question")


def test_sockets_are_fetched_with_their_rooms_and_data(cluster: Cluster, teller: Client) -> None:
    for client in cluster.clients.values():
        client.ask("join", f"fetched by {teller.name}")
    found = teller.do("fetch", rooms=[f"fetched by {teller.name}"])
    assert {socket["id"] for socket in found} == {client.id for client in cluster.clients.values()}
    for socket in found:
        name = socket["data"]["node"]
        assert socket["auth"] == {"name": name}
        assert {cluster.clients[name].id, f"fetched by {teller.name}"} <= {*socket["rooms"]}
    assert {socket["data"]["node"] for socket in teller.do("fetch", local=True)} == {teller.name}
    assert teller.do("fetch", rooms=["nobody's"]) == []


def test_sockets_of_all_nodes_enter_rooms_and_leave_them(cluster: Cluster, teller: Client) -> None:
    room = f"entered by {teller.name}"
    teller.do("join", room, "another")
    cluster.settle()
    teller.do("emit", "in", room, rooms=[room])
    cluster.settle()
    teller.do("leave", room, rooms=[cluster.clients["node"].id, cluster.clients["trio"].id])
    cluster.settle()
    teller.do("emit", "in", "again", rooms=[room])
    cluster.settle()
    heard = {name: [text for [text] in client.heard("in")] for name, client in cluster.clients.items()}
    assert heard == {"python": [room, "again"], "trio": [room], "node": [room]}


def test_sockets_of_all_nodes_are_put_out(cluster: Cluster, teller: Client) -> None:
    room = f"doomed by {teller.name}"
    doomed = [cluster.connect(node) for node in NODES]
    for client in doomed[:2]:
        client.ask("join", room)
    teller.do("disconnect", False, rooms=[room])
    assert [client.hear("disconnect") for client in doomed[:2]] == [["io server disconnect"]] * 2
    doomed[2].ask("join", room)
    teller.do("disconnect", True, rooms=[room])
    assert doomed[2].hear("disconnect") in (["transport close"], ["io server disconnect"])


def test_servers_tell_and_ask_each_other(cluster: Cluster, teller: Client) -> None:
    others = sorted({*NODES} - {teller.name})
    teller.do("tell servers", "told", 1, {"two": [3]})
    for name in others:
        assert cluster.clients[name].hear("server told") == [name, 1, {"two": [3]}]
    assert sorted(teller.do("ask servers", "asked", "what")) == [[name, "what"] for name in others]
    cluster.settle()
    assert teller.heard("server told") == []


async def emit_as_python(redis: Redis, name: str, who: dict[str, Any], args: tuple[Any, ...]) -> None:
    async with RedisEmitter(redis.url) as emitter:
        if name == "tell servers":
            await emitter.server_side_emit(*args)
            return
        many = emitter.to(*who["rooms"]) if "rooms" in who else emitter.of("/")
        many = many.except_(*who.get("except", []))
        many = many.volatile if who.get("volatile") else many
        function = {
            "emit": many.emit,
            "join": many.sockets_join,
            "leave": many.sockets_leave,
            "disconnect": many.disconnect_sockets,
        }[name]
        await function(*args)


@pytest.mark.parametrize("emitter", ["node", "asyncio", "trio"])
def test_emitters_reach_all_nodes(nodes: Any, shared_redis: Redis, emitter: str) -> None:
    driver, urls = nodes
    cluster = Cluster(driver, urls["redis"], "redis")

    def emit(name: str, *args: Any, **who: Any) -> None:
        if emitter == "node":
            driver.call("emitter", name=name, who=who, args=args)
        else:
            anyio.run(emit_as_python, shared_redis, name, who, args, backend=emitter)

    python, trio, node = (cluster.clients[name] for name in NODES)
    trio.ask("join", "a room")
    emit("emit", "said", 1, b"bytes", None)
    emit("emit", "said", 2, rooms=["a room", node.id])
    emit("emit", "said", 3, rooms=[node.id])
    emit("emit", "said", 4, **{"except": ["a room"]})
    emit("join", "later", rooms=["a room", node.id])
    cluster.settle()
    emit("emit", "said", 5, rooms=["later"])
    emit("leave", "later", rooms=[node.id])
    cluster.settle()
    emit("emit", "said", 6, rooms=["later"])
    emit("tell servers", "told", "by an emitter")
    for client in (python, trio, node):
        assert client.hear("said") == [1, b"bytes", None]
        assert client.hear("server told") == [client.name, "by an emitter"]
    cluster.settle()
    assert [client.heard("said") for client in (python, trio, node)] == [
        [[4]],
        [[2], [5], [6]],
        [[2], [3], [4], [5]],
    ]
    emit("disconnect", True, rooms=["a room"])
    assert trio.hear("disconnect") in (["transport close"], ["io server disconnect"])


def test_node_lists_the_rooms_of_all(nodes: Any) -> None:
    driver, urls = nodes
    # Over streams its adapter cannot.
    cluster = Cluster(driver, urls["redis"], "redis")
    cluster.clients["python"].ask("join", "only here")
    found = cluster.clients["node"].do("all rooms")
    assert {"only here", *(client.id for client in cluster.clients.values())} <= {*found}


@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"]], ids="+".join)
def test_any_of_our_nodes_takes_any_request(cluster: Cluster, transports: list[str]) -> None:
    ours = [cluster.urls["python"], cluster.urls["trio"]]
    port = cluster.driver.call("balance", urls=ours)
    url = f"http://127.0.0.1:{port}"
    clients = [Client(cluster.driver, url, cluster.kind, f"of two {at}", transports) for at in range(4)]
    for number in range(10):
        for client in clients:
            client.do("emit", "news", number, client.name, b"x" * 70_000 * (number == 5), rooms=[client.id])
    for client in clients:
        heard = [client.hear("news") for _ in range(10)]
        assert [(number, name, len(data)) for number, name, data in heard] == [
            (number, client.name, 70_000 * (number == 5)) for number in range(10)
        ]
        cluster.driver.call("leave", peer=client.number)
