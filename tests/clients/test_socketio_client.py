"""The published socket.io-client, over each transport and by upgrade. It meets what it knows from Node."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from real_peer import http_client
from real_server import PATIENCE, Running, until

pytestmark = pytest.mark.servers

HERE = Path(__file__).parent

WAYS: dict[str, list[str]] = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}

Step = dict[str, Any]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


def run(server: Running, way: str, *steps: Step) -> list[Step]:
    """What happened, line by line."""
    assert (HERE / "node_modules").exists(), "run: make setup"
    node = shutil.which("node")
    assert node is not None
    scenario = json.dumps({"url": server.url, "options": {"transports": WAYS[way]}, "steps": list(steps)})
    command = [node, str(HERE / "driver.js")]
    done = subprocess.run(
        command, input=scenario, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def replies(lines: list[Step]) -> list[Any]:
    return [line["reply"] for line in lines if "reply" in line]


def of_kind(lines: list[Step], kind: str) -> list[Any]:
    return [line[kind] for line in lines if kind in line]


def connected(way: str, namespace: str = "/", auth: object = None) -> list[Step]:
    """The steps to be connected, by upgrade if that is the way."""
    steps: list[Step] = [{"do": "connect", "namespace": namespace, "auth": auth}]
    steps += [{"do": "wait", "kind": "connect"}, {"do": "wait", "kind": "welcome"}]
    return [*steps, {"do": "wait", "kind": "upgrade"}] if way == "upgrade" else steps


def ask(event: str, *args: object) -> Step:
    return {"do": "ask", "event": event, "args": args}


def in_json(data: bytes) -> dict[str, str]:
    return {"$bytes": base64.b64encode(data).decode()}


def test_connects_with_auth_and_by_the_transport_asked_for(server: Running, way: str) -> None:
    lines = run(server, way, *connected(way, auth={"token": "123"}))
    [connect] = of_kind(lines, "connect")
    assert connect["namespace"] == "/"
    # The upgrade can be through before the answer to CONNECT is.
    assert connect["transport"] in ({"polling", "websocket"} if way == "upgrade" else {way})
    assert of_kind(lines, "welcome") == [["/", {"token": "123"}]]
    assert of_kind(lines, "upgrade") == (["websocket"] if way == "upgrade" else [])


def test_events_and_acknowledgements_both_ways(server: Running, way: str) -> None:
    args = [1, "zwei", None, True, {"three": [3.5, {}]}, [], "\x1b\u2028 \U0001f388"]
    lines = run(
        server,
        way,
        *connected(way),
        ask("echo", *args),
        {"do": "wait", "kind": "echo"},
        ask("ask me", "a", "b"),
        ask("echo"),
    )
    assert of_kind(lines, "echo")[0] == args
    assert replies(lines) == [args, [["asked", ["b", "a"]]], []]


def test_binary_both_ways(server: Running, way: str) -> None:
    args = [in_json(bytes(range(256))), {"deep": [in_json(b""), "text", in_json(b"\xff" * 100_000)]}]
    lines = run(
        server, way, *connected(way), ask("echo", *args), {"do": "wait", "kind": "echo"}, ask("ask me", *args)
    )
    assert of_kind(lines, "echo") == [args]
    assert replies(lines) == [args, [["asked", args[::-1]]]]


def test_many_events_keep_their_order(server: Running, way: str) -> None:
    emits: list[Step] = [{"do": "emit", "event": "echo", "args": [number]} for number in range(500)]
    waits: list[Step] = [{"do": "wait", "kind": "echo"}] * 500
    # Without waiting for the upgrade: it happens in the midst of them.
    lines = run(server, way, *connected("polling"), *emits, *waits)
    assert of_kind(lines, "echo") == [[number] for number in range(500)]


def test_what_a_handler_returns_is_the_acknowledgement(server: Running, way: str) -> None:
    lines = run(server, way, *connected(way), ask("nothing"), ask("null"), ask("later"))
    assert replies(lines) == [[], [None], ["and", "then"]]
    assert of_kind(lines, "first") == [[]]


def test_error_of_a_handler_arrives_in_the_documented_shape(server: Running, way: str) -> None:
    lines = run(server, way, *connected(way), ask("fail"), ask("nothing", "one too many"))
    error, wrong_arguments = replies(lines)
    assert error == [{"error": {"message": "not today", "code": "E_TODAY", "data": {"until": "tomorrow"}}}]
    assert set(wrong_arguments[0]) == {"error"}
    assert isinstance(wrong_arguments[0]["error"]["message"], str)


def test_namespaces_share_a_session_and_stay_apart(server: Running, way: str) -> None:
    lines = run(
        server,
        way,
        *connected(way),
        {"do": "connect", "namespace": "/custom", "auth": {"two": 2}},
        {"do": "wait", "kind": "welcome"},
        ask("echo", "to custom"),
        {"do": "disconnect"},
        {"do": "wait", "kind": "disconnect"},
    )
    assert of_kind(lines, "welcome") == [["/", {}], ["/custom", {"two": 2}]]
    assert replies(lines) == [["to custom"]]


def test_refusal_arrives_with_its_data(server: Running, way: str) -> None:
    steps = [
        {"do": "connect", "namespace": "/closed", "auth": {"name": "Eve"}},
        {"do": "wait", "kind": "connect_error"},
    ]
    lines = run(server, way, *steps)
    assert of_kind(lines, "connect_error") == [{"message": "not you", "data": {"you": "Eve"}}]
    steps[0] = {"do": "connect", "namespace": "/unknown"}
    assert of_kind(run(server, way, *steps), "connect_error") == [{"message": "Invalid namespace"}]


@pytest.mark.parametrize(
    ("step", "here", "there"),
    [
        ({"do": "disconnect"}, "io client disconnect", "client namespace disconnect"),
        ({"do": "emit", "event": "put me out"}, "io server disconnect", "server namespace disconnect"),
        ({"do": "emit", "event": "close me"}, "io server disconnect", "server namespace disconnect"),
    ],
    ids=["by the client", "by the server", "by the server with the session"],
)
def test_reasons_of_a_disconnect(server: Running, way: str, step: Step, here: str, there: str) -> None:
    name = secrets.token_hex(8)
    lines = run(server, way, *connected(way, auth={"name": name}), step, {"do": "wait", "kind": "disconnect"})
    assert of_kind(lines, "disconnect") == [here]
    with http_client(server.url) as client:
        until(lambda: client.get(f"/reasons?name={name}").json() != [], "the handler of the disconnect")
        assert client.get(f"/reasons?name={name}").json() == [there]
