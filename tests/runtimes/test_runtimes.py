"""The packed client in each runtime, with a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from packed_client import RUNTIMES, add_program
from real_server import Running

pytestmark = [pytest.mark.servers]

BIN = RUNTIMES / "node_modules" / ".bin"
RUNNERS: dict[str, list[str]] = {
    "node": [str(shutil.which("node"))],
    "deno": [str(BIN / "deno"), "run", "--quiet", "--allow-all", "--node-modules-dir=manual"],
    "bun": [str(BIN / "bun"), "run"],
}


def run(application: Path, program: Path, *command: str, **environment: str) -> list[dict[str, object]]:
    """What a program has printed, a JSON object per line."""
    names = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "NO_COLOR": "1", "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        command,
        cwd=application,
        env={**os.environ, **names, "HOME": str(application), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def came_through(way: str, transport: str, codec: str = "json") -> dict[str, object]:
    return {
        "way": way,
        "answer": [0, 255],
        "echoed": [0, 255],
        "failure": ["EventError", "E_TODAY"],
        "many": 100,
        "transport": transport,
        "codec": codec,
    }


@pytest.mark.parametrize("runtime", RUNNERS)
def test_events_go_every_way_that_the_runtime_has(application: Path, server: Running, runtime: str) -> None:
    program = add_program(application, "events.mjs", "ws")
    ways = ["stream", "polling", "polling:msgpack", "stream:msgpack", "websocket:ws"]
    if runtime != "node":
        ways += ["", "websocket", "websocket:msgpack"]
    results = run(application, program, *RUNNERS[runtime], str(program), server.url, *ways)
    expected = [
        came_through(way, way.split(":")[0] or "websocket", "msgpack" if "msgpack" in way else "json")
        for way in ways
    ]
    assert results == expected


def test_node_without_a_websocket_goes_by_http(application: Path, server: Running) -> None:
    """Node 20 has none. It is taken away, so that this is about the same thing in every Node."""
    program = add_program(application, "events.mjs")
    command = [*RUNNERS["node"], "--import=data:text/javascript,delete globalThis.WebSocket", str(program)]
    found, refused = run(application, program, *command, server.url, "", "websocket")
    assert found["transport"] in ("stream", "polling")
    assert found == came_through("", str(found["transport"]))
    assert refused == {"way": "websocket", "error": "HoldfastError: no WebSocket"}


# What the client chooses by itself depends on how quick the machine is.
WHOLE = {"": "something", "websocket": "websocket", "stream": "stream", "polling": "polling"}
NO_FETCH = dict.fromkeys(("stream", "polling"), "HoldfastError: no fetch")
NO_WEBSOCKET = {"websocket": "HoldfastError: no WebSocket"}
NO_STREAM = {"stream": "HoldfastError: no streams"}
# What comes of it when one thing is not there: all of it, or an error that says what is missing.
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "everything": {},
    "React Native": {},
    "WebSocket": NO_WEBSOCKET,
    "WebSocket that throws": NO_WEBSOCKET,
    "WebSocket that fails": {"websocket": "HoldfastError: WebSocket 1006"},
    "fetch": NO_FETCH,
    "AbortController": {},
    "TextDecoder": NO_STREAM,
    "TextEncoder": {},
    "Response": NO_STREAM,
    "streaming fetch": NO_STREAM,
    "streaming fetch, with readByXhr": {},
    "ReadableStream": {},
    "performance": {},
    "navigator": {},
    "document": {},
    "location": {},
    "addEventListener": {},
    "localStorage": {},
    "localStorage denied": {},
    "sessionStorage": {},
    "sessionStorage denied": {},
}


def test_what_is_missing_is_done_without_or_named(application: Path, server: Running) -> None:
    add_program(application, "xhr.mjs", "ws")
    program = add_program(application, "environments.mjs", "ws")
    results = run(application, program, *RUNNERS["node"], str(program), server.url, *ENVIRONMENTS)
    found = {str(result.pop("name")): result for result in results}
    for result in found.values():
        if result[""] in WHOLE:
            result[""] = "something"
    assert found == {name: WHOLE | changes for name, changes in ENVIRONMENTS.items()}


def test_hooks_of_react_18_have_one_session_that_ends_with_the_component(
    application: Path, server: Running
) -> None:
    program = add_program(application, "react.mjs", "react", "react-dom", "happy-dom")
    [seen] = run(application, program, *RUNNERS["node"], str(program), server.url)
    assert seen == {
        "version": "18",
        "html": "<p>/</p>",
        "welcomes": ["first", "second", "first"],
        "echoes": ["one"],
        "first": ["client namespace disconnect"],
        "second": ["client namespace disconnect"],
    }
