"""The published clients of STOMP: @stomp/stompjs over WebSockets and over our WebSocket-shaped object, and stomp.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from random import Random
from threading import Event
from typing import Any

import pytest
import socketio
import stomp
from anyio.from_thread import BlockingPortal
from network import network_to
from real_rabbitmq import Broker, rabbitmq
from real_server import Running, free_port, running, server_command, until
from tcp_way import way_to

from holdfast.demo.proxy import MisbehavingProxy

pytestmark = [pytest.mark.servers]

HERE = Path(__file__).parent


@pytest.fixture
def portal(request: pytest.FixtureRequest) -> BlockingPortal:
    """What the proxy runs in."""
    return request.getfixturevalue("_portal")


def _running(name: str) -> Iterator[Running]:
    port = free_port()
    with running(server_command(name, "stomp_app:app", port), port) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


@pytest.fixture(scope="module", params=["uvicorn", "hypercorn-trio"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Running]:
    yield from _running(request.param)


@pytest.fixture(scope="module")
def one_server() -> Iterator[Running]:
    yield from _running("uvicorn")


# What a bare WebSocket is, nobody is told.
TRANSPORTS = {
    "websocket": set[str](),
    "any": {"websocket"},
    "polling": {"polling"},
    "sockjs:websocket": {"websocket"},
    "sockjs:xhr-streaming": {"xhr-streaming"},
    "sockjs:eventsource": {"eventsource"},
    "sockjs:xhr-polling": {"xhr-polling"},
}


class Program:
    """`stompjs.js`, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def next(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise AssertionError(self._process.stderr.read())
        return json.loads(line)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("end\n")
        self._process.stdin.flush()


@contextmanager
def program(scenario: str, url: str, way: str, application: Path) -> Iterator[Program]:
    node = shutil.which("node")
    assert node is not None
    command = [node, str(HERE / "stompjs.js"), scenario, f"{url}/stomp", way, str(application)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.communicate()


def clients_of(server: Running) -> int:
    with urllib.request.urlopen(f"{server.url}/clients", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    ("any_server", "way"),
    [
        ("uvicorn", "websocket"),
        ("uvicorn", "any"),
        ("hypercorn-trio", "websocket"),
        ("hypercorn-trio", "polling"),
        ("uvicorn", "sockjs:websocket"),
        ("uvicorn", "sockjs:xhr-streaming"),
        ("uvicorn", "sockjs:eventsource"),
        ("hypercorn-trio", "sockjs:xhr-polling"),
    ],
    indirect=["any_server"],
)
def test_all_that_a_client_can_ask_for(any_server: Running, application: Path, way: str) -> None:
    with program("talk", any_server.url, way, application) as client:
        transports = client.next()["transports"]
    assert set(transports) == TRANSPORTS[way]
    until(lambda: clients_of(any_server) == 0, "the end of all clients")


def check_silence(server: Running, application: Path, portal: BlockingPortal, way: str) -> None:
    """Heart-beats that are lost are noticed by both sides."""
    host, port = server.address.split(":")
    with (
        portal.wrap_async_context_manager(MisbehavingProxy(host, int(port))) as proxy,
        program("silence", proxy.url, way, application) as client,
    ):
        assert client.next() == {"beat": "250,250"}
        assert clients_of(server) == 1
        portal.call(proxy.silence)
        assert client.next() == {"again": True, "closed": 1}
        # The one before has been taken for dead here, too.
        until(lambda: clients_of(server) == 1, "the end of the silent one")
        client.end()
        assert client.next() == {"closed": 2}


@pytest.mark.parametrize("way", ["websocket", "sockjs:xhr-streaming"])
def test_lost_heart_beats_are_noticed_by_both_sides(
    one_server: Running, application: Path, portal: BlockingPortal, way: str
) -> None:
    check_silence(one_server, application, portal, way)


@pytest.mark.parametrize("way", ["polling", "any"])
def test_silence_on_the_way_is_nothing_that_a_client_over_our_object_sees(
    one_server: Running, application: Path, portal: BlockingPortal, way: str
) -> None:
    host, port = one_server.address.split(":")
    with (
        portal.wrap_async_context_manager(MisbehavingProxy(host, int(port))) as proxy,
        program("silence", proxy.url, way, application) as client,
    ):
        assert client.next() == {"beat": "0,0"}
        portal.call(proxy.silence)
        client.end()
        assert client.next() == {"closed": 1}
    until(lambda: clients_of(one_server) == 0, "the end of the client")


@pytest.mark.parametrize("way", ["polling", "any"])
def test_connections_that_are_cut_lose_repeat_and_reorder_nothing(
    one_server: Running, application: Path, portal: BlockingPortal, way: str
) -> None:
    random = Random(7)
    pause = Event()
    with (
        network_to(one_server.address, portal) as network,
        program("cuts", network.url, way, application) as client,
    ):
        assert client.next() == "ready"
        for number in range(6):
            # Between two cuts; there is no condition for when a network breaks.
            pause.wait(random.uniform(0.2, 0.5))
            if number % 2:
                network.cut()
                pause.wait(0.1)
                network.heal()
            else:
                network.heal_soon()
        result = client.next()
    assert result == {
        "answers": [250, 0],
        "own": [250, 0],
        "closed": 0,
        "connects": 0,
        "sent": result["sent"],
    }


def test_a_socket_in_the_room_and_a_subscriber_of_the_topic_hear_each_other(
    one_server: Running, application: Path
) -> None:
    heard: Queue[Any] = Queue()
    with (
        socketio.SimpleClient() as socket,
        program("room", one_server.url, "polling", application) as client,
    ):
        socket.connect(one_server.url)
        assert client.next() == "ready"
        socket.emit("say", {"text": "é"})
        assert client.next() == {"body": '{"text":"é"}', "event": "said"}
        heard.put(socket.receive(timeout=20))
        heard.put(socket.receive(timeout=20))
    assert heard.get() == ["said", {"text": "é"}]
    assert heard.get() == ["answer", {"heard": {"text": "é"}}]


class _Listener(stomp.ConnectionListener):  # type: ignore[misc] - it ships no types
    def __init__(self) -> None:
        self.frames: Queue[tuple[str, Any]] = Queue()

    def on_message(self, frame: Any) -> None:
        self.frames.put(("MESSAGE", frame))

    def on_receipt(self, frame: Any) -> None:
        self.frames.put(("RECEIPT", frame))

    def on_error(self, frame: Any) -> None:
        self.frames.put(("ERROR", frame))

    def next(self) -> tuple[str, Any]:
        return self.frames.get(timeout=20)


def test_stomp_py_over_a_websocket(any_server: Running) -> None:
    host, port = any_server.address.split(":")
    connection = stomp.WSStompConnection([(host, int(port))], ws_path="/stomp", heartbeats=(250, 250))
    listener = _Listener()
    connection.set_listener("test", listener)
    connection.connect("ann", "secret", wait=True)
    connection.subscribe("/queue/stomp.py", id="1", ack="client-individual", headers={"receipt": "r"})
    kind, frame = listener.next()
    assert (kind, frame.headers["receipt-id"]) == ("RECEIPT", "r")
    transaction = connection.begin()
    connection.send("/queue/stomp.py", "é:1", headers={"x": "a:b\nc"}, transaction=transaction)
    connection.commit(transaction)
    kind, frame = listener.next()
    assert (kind, frame.body, frame.headers["x"]) == ("MESSAGE", "é:1", "a:b\nc")
    connection.nack(frame.headers["ack"])
    kind, frame = listener.next()
    assert (frame.body, frame.headers["redelivered"]) == ("é:1", "true")
    connection.ack(frame.headers["ack"])
    connection.send("/nowhere", "x")
    kind, frame = listener.next()
    assert (kind, frame.headers["message"]) == ("ERROR", "there is no such destination")
    until(lambda: not connection.is_connected(), "the end of the connection")


# --- a real broker behind the endpoint


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with rabbitmq() as running_broker:
        yield running_broker


@contextmanager
def relay_to(
    port: int, name: str = "uvicorn", *, scheme: str = "stomp", **environment: str
) -> Iterator[Running]:
    own_port = free_port()
    command = server_command(name, "stomp_app:app", own_port)
    relay = f"{scheme}://guest:guest@127.0.0.1:{port}/"
    with running(command, own_port, RELAY=relay, **environment) as server:
        yield server
        assert "Traceback" not in server.log(), server.log()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("uvicorn", ["polling", "sockjs:xhr-streaming"]),
        ("hypercorn-trio", ["websocket", "sockjs:xhr-polling"]),
    ],
)
def test_all_that_a_client_can_ask_for_is_there_with_rabbitmq_behind(
    broker: Broker, application: Path, portal: BlockingPortal, name: str, ways: list[str]
) -> None:
    with relay_to(broker.port, name) as relay:
        for way in ways:
            with program("talk", relay.url, way, application) as client:
                assert set(client.next()["transports"]) == TRANSPORTS[way]
        until(lambda: clients_of(relay) == 0, "the end of all clients")
        if name == "uvicorn":
            check_silence(relay, application, portal, "websocket")


@pytest.mark.slow
def test_by_tls_too_and_to_none_whose_certificate_is_not_trusted(broker: Broker, application: Path) -> None:
    trust = {"SSL_CERT_FILE": str(broker.certificate)}
    with (
        relay_to(broker.tls_port, scheme="stomp+ssl", **trust) as relay,
        program("talk", relay.url, "polling", application) as client,
    ):
        assert client.next() == {"transports": ["polling"] * 5}
    with (
        relay_to(broker.tls_port, scheme="stomp+ssl") as relay,
        program("talk", relay.url, "websocket", application) as client,
        pytest.raises(AssertionError, match="the broker cannot be reached"),
    ):
        client.next()


@pytest.mark.slow
def test_connections_that_are_cut_lose_nothing_with_rabbitmq_behind(
    broker: Broker, application: Path, portal: BlockingPortal
) -> None:
    with (
        relay_to(broker.port) as relay,
        network_to(relay.address, portal) as network,
        program("cuts", network.url, "polling", application) as client,
    ):
        assert client.next() == "ready"
        for _ in range(4):
            Event().wait(0.4)
            network.heal_soon()
        result = client.next()
    assert (result["answers"], result["own"], result["closed"]) == ([250, 0], [250, 0], 0)


@pytest.mark.slow
def test_a_broker_that_goes_away_is_an_error_and_clients_come_again(
    broker: Broker, application: Path, portal: BlockingPortal
) -> None:
    with (
        way_to(broker.port, portal) as way,
        relay_to(way.port) as server,
        program("broker", server.url, "websocket", application) as client,
    ):
        assert client.next() == {"text": "x"}
        portal.call(way.close)
        until(lambda: "cannot be reached" in server.log(), "the end of the broker")
        portal.call(way.open)
        assert client.next() == {"errors": ["the broker cannot be reached"], "again": {"text": "x"}}
