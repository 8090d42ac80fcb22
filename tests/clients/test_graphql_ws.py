"""graphql-ws over our WebSocket-shaped object, which it takes in place of a WebSocket."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from real_server import free_port, running, server_command

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
console.log(JSON.stringify(heard));
process.exit(0);
"""


def test_a_subscription_over_forced_polling(application: Path) -> None:
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
    query = "subscription { count }"
    assert json.loads(done.stdout) == [{"count": number, "query": query} for number in range(3)]
