"""The switches' application: what it does to the proxy, and whom it answers."""

from __future__ import annotations

import anyio
import httpx
import pytest

from holdfast.demo.app import create_switches
from holdfast.demo.proxy import Faults, MisbehavingProxy

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


def client(proxy: MisbehavingProxy, base_url: str = "http://localhost") -> httpx.AsyncClient:
    app = create_switches(proxy, lambda: 7, {"known": {"sent": 3}}.get)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)


async def test_a_switch_changes_the_faults_and_the_answer_shows_them() -> None:
    async with MisbehavingProxy("127.0.0.1", 9) as proxy, client(proxy) as http:
        before = anyio.current_time()
        answer = await http.post("/set", json={"refuse_websocket": True, "delay_ms": 250})
        assert proxy.faults == Faults(refuse_websocket=True, delay_up=0.25, delay_down=0.25)
        assert answer.json()["faults"]["refuse_websocket"] is True
        assert answer.json()["delayMs"] == 250
        again = (await http.get("/state")).json()
        since = (anyio.current_time() - before) * 1000
        assert 0 <= answer.json()["changedMsAgo"] <= again.pop("changedMsAgo") <= since + 1
        assert again.items() <= answer.json().items()
        assert answer.json()["events"] == 7
        await http.post("/clear", json={})
        assert proxy.faults == Faults()


async def test_cut_all_says_for_how_long() -> None:
    async with MisbehavingProxy("127.0.0.1", 9) as proxy, client(proxy) as http:
        assert 9000 < (await http.post("/cut-all", json={"seconds": 10})).json()["closedForMs"] <= 10_000
        assert (await http.post("/cut", json={})).json()["cuts"] == 1


async def test_counts_of_a_page_are_told_to_whom_knows_its_socket() -> None:
    async with MisbehavingProxy("127.0.0.1", 9) as proxy, client(proxy) as http:
        assert (await http.get("/state?socket=known")).json()["report"] == {"sent": 3}
        assert (await http.get("/state?socket=other")).json()["report"] is None
        assert (await http.get("/state")).json()["report"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [("/nonsense", "{}"), ("/set", '{"delay_ms": "x"}'), ("/cut-all", "{}"), ("/cut-all", "[")],
)
async def test_what_is_not_understood_is_refused(path: str, body: str) -> None:
    async with MisbehavingProxy("127.0.0.1", 9) as proxy, client(proxy) as http:
        assert (await http.post(path, content=body, headers=JSON)).status_code == 400


async def test_only_the_demos_own_page_may_flip_a_switch() -> None:
    async with MisbehavingProxy("127.0.0.1", 9) as proxy, client(proxy) as http:
        for origin, allowed in ((proxy.url, True), ("http://evil.example", False)):
            answer = await http.get("/state", headers={"origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed
        simple = {"content-type": "text/plain", "origin": "http://evil.example"}
        assert (await http.post("/clear", content="{}", headers=simple)).status_code == 415
        async with client(proxy, "http://evil.example") as rebound:
            assert (await rebound.get("/state")).status_code == 400
