"""What settings change on the wire, over real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from real_peer import TIMEOUT, http_client, websocket
from real_server import SERVERS, Running, free_port, running, server_command
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.servers

URL = "/socket.io/?EIO=4&transport="


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    port = free_port()
    with running(server_command(request.param, "settings_app:app", port), port) as server:
        yield server


def test_cookie_comes_with_the_handshake_by_http_and_by_websocket(server: Running) -> None:
    with http_client(server.url) as client:
        answer = client.get(f"{URL}polling")
        sid = json.loads(answer.text[1:])["sid"]
        written = "route={}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"
        assert answer.headers.get_list("set-cookie") == [written.format(sid)]
        posted = client.post(f"{URL}polling&sid={sid}", content="40")
        assert posted.text == "ok"
        assert "set-cookie" not in posted.headers
    with websocket(f"{server.url}{URL}websocket") as socket:
        sid = json.loads(str(socket.recv(TIMEOUT))[1:])["sid"]
        assert socket.response is not None
        assert socket.response.headers.get_all("set-cookie") == [written.format(sid)]


@pytest.mark.parametrize(
    ("say", "message"), [("no", "Forbidden"), ("why", "back at noon"), ("raise", "Forbidden")]
)
def test_refusal_of_the_application_comes_by_http_and_by_websocket(
    server: Running, say: str, message: str
) -> None:
    expected = {"code": 4, "message": message}
    with http_client(server.url) as client:
        answer = client.get(f"{URL}polling&say={say}")
        assert (answer.status_code, answer.json()) == (403, expected)
    with pytest.raises(InvalidStatus) as refused, websocket(f"{server.url}{URL}websocket&say={say}"):
        pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"") == expected
    if say == "raise":
        assert "LookupError: nothing for a stranger" in server.log()


def test_what_is_not_offered_is_refused(server: Running) -> None:
    with http_client(server.url) as client:
        answer = client.get(f"{URL}stream&holdfast=1")
        assert (answer.status_code, answer.json()["code"]) == (400, 0)
        assert client.get("/socket.io/holdfast.esm.min.js").status_code == 404
