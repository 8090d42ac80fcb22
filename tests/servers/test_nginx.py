"""Behind a real nginx, with and without the lines that its configuration may have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_nginx import Nginx, nginx_before
from real_peer import TIMEOUT, RealPeer, http_client, websocket
from real_server import free_port, running, server_command
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.servers

PLAIN = "/engine.io/?EIO=4&transport="


@pytest.fixture(scope="module", params=["uvicorn", "hypercorn-trio"])
def nginx(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder: Path = tmp_path_factory.mktemp("nginx")
    port = free_port()
    with (
        running(server_command(request.param, "server_app:app", port), port) as server,
        nginx_before(server, folder) as nginx,
    ):
        yield nginx
        assert "Traceback" not in server.log(), server.log()


def test_websocket_passes_with_the_upgrade_lines(nginx: Nginx) -> None:
    with websocket(f"{nginx.complete}{PLAIN}websocket", origin=nginx.complete) as socket:
        socket.recv(TIMEOUT)
        for message in ("4hello", b"\0" * 500_000):
            socket.send(message)
            assert socket.recv(TIMEOUT) == message


def test_websocket_does_not_pass_without_the_upgrade_lines(nginx: Nginx) -> None:
    url = f"{nginx.without_upgrade}{PLAIN}websocket"
    with pytest.raises(InvalidStatus) as refused, websocket(url, origin=nginx.without_upgrade):
        pass
    # What arrives is an ordinary GET; the answer says what is missing.
    assert refused.value.response.status_code == 400
    assert "needs a WebSocket" in json.loads(refused.value.response.body or b"")["message"]


@pytest.mark.parametrize("which", ["complete", "without_upgrade"])
def test_stream_passes_event_by_event(nginx: Nginx, which: str) -> None:
    peer = RealPeer(getattr(nginx, which))
    stream = peer.stream()
    peer.opened(stream.payload()[0])
    for number in range(10):
        peer.post(str(number))
        packets: list[str] = []
        while f"4{number}" not in packets:
            packets += stream.payload()
    stream.close()


@pytest.mark.parametrize("which", ["complete", "without_upgrade"])
def test_small_event_of_a_probe_passes_at_once(nginx: Nginx, which: str) -> None:
    peer = RealPeer(getattr(nginx, which))
    peer.poll()
    candidate = peer.stream(probe=True)
    peer.post_packets(["7" + json.dumps(peer.attach_value()), f"2{peer.number}"])
    assert candidate.payload() == [f"3{peer.number}"]
    candidate.close()


@pytest.mark.parametrize("which", ["complete", "without_upgrade"])
def test_polling_passes(nginx: Nginx, which: str) -> None:
    peer = RealPeer(getattr(nginx, which))
    peer.poll()
    peer.post("hello", "x" * 500_000)
    packets: list[str] = []
    while peer.received < 2:
        packets += peer.poll()
    assert "4hello" in packets


def test_lost_client_of_a_stream_is_noticed_through_nginx(nginx: Nginx) -> None:
    peer = RealPeer(nginx.complete)
    stream = peer.stream()
    peer.opened(stream.payload()[0])
    peer.post("one")
    stream.cut()
    peer.post("two")
    packets: list[str] = []
    while peer.received < 2:
        packets += [packet for packet in peer.poll() if packet[0] == "4"]
    assert packets == ["4one", "4two"]


def test_without_the_host_line_the_refusal_names_it_and_the_setting(nginx: Nginx) -> None:
    url = nginx.without_host
    with http_client(url) as client:
        assert client.get(f"{PLAIN}polling").status_code == 200
        response = client.get(f"{PLAIN}polling", headers={"origin": url})
        assert response.status_code == 403
        messages = [response.json()["message"]]
    with pytest.raises(InvalidStatus) as refused, websocket(f"{url}{PLAIN}websocket", origin=url):
        pass
    assert refused.value.response.status_code == 403
    messages.append(json.loads(refused.value.response.body or b"")["message"])
    for message in messages:
        assert "proxy_set_header Host $http_host;" in message
        assert f'origins=["{url}"]' in message
