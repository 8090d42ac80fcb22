"""graphql-ws over our WebSocket-shaped object, which it takes in place of a WebSocket."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from real_server import free_port, running, server_command, until

pytestmark = [pytest.mark.servers]

HERE = Path(__file__).parent
PROGRAM = """
import { createClient } from "graphql-ws";
const { HoldfastSocket } = await import(MODULE);
class Polling extends HoldfastSocket {
  constructor(url, protocols) {
    super(url, protocols, { transports: ["polling"] });
  }
}
const client = createClient({ url: URL, webSocketImpl: Polling });
const heard = [];
for await (const { data } of client.iterate({ query: "subscription { count }" })) heard.push(data);
await client.dispose();
const refused = createClient({ url: URL, webSocketImpl: Polling, connectionParams: { refuse: true } });
const iterator = refused.iterate({ query: "subscription { count }" });
const { code, reason } = await iterator.next().catch((error) => error);
console.log(JSON.stringify({ heard, code, reason }));
process.exit(0);
"""


def test_a_subscription_over_forced_polling_and_what_both_sides_close_with(application: Path) -> None:
    port = free_port()
    node = shutil.which("node")
    assert node is not None
    module = (application / "node_modules" / "holdfast-client" / "holdfastsocket.js").as_uri()
    with running(server_command("uvicorn", "graphql_app:app", port), port) as server:
        program = PROGRAM.replace("MODULE", json.dumps(module)).replace(
            "URL", json.dumps(f"{server.url}/graphql")
        )
        done = subprocess.run(
            [node, "--input-type=module", "--eval", program],
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        closed: list[object] = []

        def is_told() -> bool:
            with urllib.request.urlopen(f"{server.url}/closed", timeout=10) as answer:
                closed[:] = json.load(answer)
            return len(closed) == 2

        until(is_told, "the end of both sessions")
    query = "subscription { count }"
    # 4401 is fatal to graphql-ws: it does not try again.
    assert json.loads(done.stdout) == {
        "heard": [{"count": number, "query": query} for number in range(3)],
        "code": 4401,
        "reason": "Unauthorized",
    }
    assert closed == [[1000, "Normal Closure"], [4401, "Unauthorized"]]
