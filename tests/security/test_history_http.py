"""Each known fault of this kind of software, as far as requests and their heads go, tried on a real server.

Those of frames are in test_history_frames.py, of decoders in test_history_decoders.py, guessable ids in
test_s5_session_ids.py, dependencies in test_s12_pins.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product

import pytest
from raw_client import RawAnswer, ask, head, unharmed
from real_peer import http_client
from real_server import Running, free_port, running, server_command

pytestmark = pytest.mark.servers

POLLING = "/engine.io/?EIO=4&transport=polling"
WEBSOCKET = "/engine.io/?EIO=4&transport=websocket"
EVENTS = "/socket.io/?EIO=4&transport="
CLOSE = ("Connection", "close")
UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
)


# httptools and websockets; h11 and wsproto.
SERVERS = {
    "uvicorn": ["--ws=auto"],
    # wsproto unpacks a message whole before anybody counts it: docs/security.md says to leave its compression off.
    "uvicorn-sansio-h11": ["--ws=wsproto", "--ws-per-message-deflate=false"],
}


@pytest.fixture(scope="module", params=SERVERS)
def process(request: pytest.FixtureRequest) -> Iterator[Running]:
    port = free_port()
    with running(
        server_command(request.param, "server_app:app", port, "--log-level=info", *SERVERS[request.param]),
        port,
    ) as server:
        yield server


@pytest.fixture
def server(process: Running) -> Iterator[Running]:
    with unharmed(process):
        yield process


def opened(server: Running) -> str:
    with http_client(server.url) as client:
        return json.loads(client.get(POLLING).text[1:])["sid"]


def check_answered(answer: RawAnswer, *statuses: int) -> None:
    assert answer.status in statuses, answer.text
    assert answer.seconds < 1


# -- origins


@pytest.mark.parametrize("way", ["polling", "stream&holdfast=1", "websocket"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://eviltestserver",
        "http://testserver.evil.example",
        "http://testserver:8080",
        "http://testserver@evil.example",
        "http://evil.example#testserver",
    ],
)
def test_cve_2020_28481_cve_2019_13611_foreign_page_opens_nothing(
    server: Running, origin: str, way: str
) -> None:
    upgrade = UPGRADE if way == "websocket" else (CLOSE,)
    answer = ask(server, head("GET", EVENTS + way, *upgrade, ("Origin", origin)))
    check_answered(answer, 403)
    assert "access-control-allow-origin" not in answer.text.lower()
    asked = (("Origin", origin), ("Access-Control-Request-Method", "POST"), CLOSE)
    answer = ask(server, head("OPTIONS", EVENTS + way.replace("websocket", "polling"), *asked))
    check_answered(answer, 403)
    assert "access-control" not in answer.text.lower()


# -- one request that ended the process


@pytest.mark.parametrize(
    "more",
    [
        (
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ),
        (("Connection", "Upgrade"), ("Upgrade", "TLS/1.0")),
        (("Connection", "Upgrade"), ("Upgrade", "")),
    ],
    ids=["h2c", "tls", "nothing"],
)
def test_cve_2022_41940_upgrade_to_something_else_is_a_request_as_any(
    server: Running, more: tuple[tuple[str, str], ...]
) -> None:
    answer = ask(server, head("GET", POLLING, *more))
    check_answered(answer, 200, 400)


def test_cve_2022_41940_preface_of_http_2_is_refused(server: Running) -> None:
    answer = ask(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    assert set(answer.statuses) <= {400, 404}
    assert answer.seconds < 1


ODD_QUERIES = [
    "EIO=4&transport=__proto__",
    "EIO=4&transport=constructor&sid=__proto__",
    "EIO=4&transport=polling&sid=__proto__",
    "EIO=4&EIO=3&transport=websocket&transport=polling",
    "EIO[]=4&transport[]=polling",
    "EIO=4&transport=%00",
    "EIO=4&transport=polling&sid=%ff%fe",
    "%ff=%ff&&&=&;",
    "EIO=__proto__&transport=toString",
    "",
]


@pytest.mark.parametrize("method", ["GET", "POST", "WEBSOCKET", "PUT", "HEAD", "QUERY"])
def test_cve_2023_31125_odd_query_is_refused(server: Running, method: str) -> None:
    upgrade, method = (UPGRADE, "GET") if method == "WEBSOCKET" else ((CLOSE,), method)
    for query in ODD_QUERIES:
        answer = ask(server, head(method, f"/socket.io/?{query}", *upgrade, ("Content-Length", "0")))
        check_answered(answer, 400)


TARGETS = [
    POLLING,
    f"{EVENTS}polling",
    "/socket.io/holdfast.min.js",
    "/socket.io/none",
    "/reasons",
    "/page",
    "/",
    "*",
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "HEAD", "DELETE"])
def test_cve_2020_7693_upgrade_to_a_route_that_takes_none(server: Running, method: str) -> None:
    for target, upgrade in product(TARGETS, (UPGRADE, (("Upgrade", "websocket"), CLOSE))):
        answer = ask(server, head(method, target, *upgrade))
        assert len(answer.statuses) <= 1
        assert answer.seconds < 1
        assert 500 not in answer.statuses


@pytest.mark.parametrize("kind", ["application/octet-stream", "multipart/form-data", "text/plain", "x", ""])
@pytest.mark.parametrize("body", [b"\x04hello", b"\xff\xfe\0", b"", b"4hello"])
def test_fc11285e_post_of_any_type_is_answered(server: Running, kind: str, body: bytes) -> None:
    target = f"{POLLING}&sid={opened(server)}"
    fields = (("Content-Type", kind), ("Content-Length", str(len(body))), CLOSE)
    answer = ask(server, head("POST", target, *fields) + body)
    check_answered(answer, 200 if body == b"4hello" else 400)


# -- heads


@pytest.mark.parametrize("name", ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Cookie", "Origin"])
def test_cve_2021_32640_header_of_many_spaces_costs_no_time(server: Running, name: str) -> None:
    value = "a" + " " * 40_000 + "b"
    answer = ask(server, head("GET", WEBSOCKET, *UPGRADE, (name, value)))
    assert answer.seconds < 1
    assert set(answer.statuses) <= {101, 400, 403, 431}
    assert "a" + " " * 100 not in answer.text.partition("\r\n\r\n")[0]


@pytest.mark.parametrize("count", [101, 2000])
def test_cve_2024_37890_many_headers_harm_nobody(server: Running, count: int) -> None:
    many = tuple((f"X-{number}", "x") for number in range(count))
    for target, more in ((POLLING, (CLOSE,)), (WEBSOCKET, UPGRADE)):
        answer = ask(server, head("GET", target, *more, *many))
        assert set(answer.statuses) <= {101, 200, 400, 431}
        assert answer.seconds < 1


# -- echoes, log and head injection


@pytest.mark.parametrize("name", ["j", "c", "callback", "jsonp", "sid", "t", "transport", "EIO"])
@pytest.mark.parametrize("value", ["%3Cscript%3Ealert(1)%3C/script%3E", "CWSMIKI0hCD0Up0IZUnnnnnnnn", "0"])
def test_cve_2020_8823_cve_2014_4671_nothing_is_echoed_and_no_answer_is_a_script(
    server: Running, name: str, value: str
) -> None:
    for target in (POLLING, f"{EVENTS}polling"):
        answer = ask(server, head("GET", f"{target}&{name}={value}", CLOSE))
        start, _, body = answer.text.partition("\r\n\r\n")
        assert answer.status in (200, 400)
        assert "x-content-type-options: nosniff" in start.lower()
        assert re.search(r"content-type: (text/plain|application/json)", start.lower())
        assert "script" not in body
        assert "CWSMIKI" not in body
        assert not body.startswith("___eio")


@pytest.mark.parametrize(
    "text", ["%0d%0aSet-Cookie:%20x=1", "%1b[31m", "%00", "%e2%80%a8", "a\x1b[31mb", "a\x7fb"]
)
def test_cve_2020_7694_cve_2020_7695_neither_log_nor_head_is_written_by_a_stranger(
    server: Running, text: str
) -> None:
    for target in (
        f"/socket.io/{text}",
        f"{POLLING}&sid={text}",
        f"/{text}?{text}",
        f"{POLLING}&{text}={text}",
    ):
        answer = ask(server, head("GET", target, CLOSE))
        assert "set-cookie" not in answer.text.partition("\r\n\r\n")[0].lower()
    for name in ("Origin", "Host", "Sec-WebSocket-Protocol"):
        answer = ask(server, head("GET", WEBSOCKET, *UPGRADE, (name, text)))
        assert "set-cookie" not in answer.text.lower().partition("\r\n\r\n")[0]
    # The fixture looks at the log.


# -- files


@pytest.mark.parametrize(
    "name",
    [
        "../pyproject.toml",
        "..%2fpyproject.toml",
        "%2e%2e/%2e%2e/etc/passwd",
        "holdfast.min.js/../../../pyproject.toml",
        "holdfast.min.js%00.txt",
        "//etc/passwd",
        "..\\pyproject.toml",
        "package.json",
        "HOLDFAST.MIN.JS",
    ],
)
def test_cve_2023_29159_only_the_files_of_the_table_are_there(server: Running, name: str) -> None:
    answer = ask(server, head("GET", f"/socket.io/{name}", CLOSE))
    check_answered(answer, 404, 400)
    assert "root:" not in answer.text
    assert "[project]" not in answer.text


def test_cve_2025_62727_ranges_of_a_client_file_are_not_looked_at(server: Running) -> None:
    target = "/socket.io/holdfast.min.js"
    whole = ask(server, head("GET", target, CLOSE))
    ranges = "bytes=" + ",".join(f"{number}-{number}" for number in range(6000))
    answer = ask(server, head("GET", target, CLOSE, ("Range", ranges)))
    check_answered(answer, 200)
    assert answer.text.partition("\r\n\r\n")[2] == whole.text.partition("\r\n\r\n")[2]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "testserver/../x",
        "testserver?x=",
        "testserver#",
        "[::1",
        "a b",
        "",
        "@",
        "testserver:99999999",
    ],
)
def test_cve_2026_48710_host_changes_no_path_and_no_refusal(server: Running, host: str) -> None:
    for target, status in ((POLLING, 200), ("/socket.io/?EIO=3", 400), ("/nothing", 404)):
        answer = ask(server, head("GET", target, ("Host", host), CLOSE))
        # An HTTP parser may refuse the header by itself.
        check_answered(answer, status, 400)


def test_cve_2026_48710_second_host_is_refused(server: Running) -> None:
    for hosts in (("testserver", "evil.example"), ("evil.example", "testserver")):
        pairs = [("Host", host) for host in hosts]
        answer = ask(server, head("GET", POLLING, *pairs, ("Origin", "http://testserver"), CLOSE))
        check_answered(answer, 400)


def chunked(body: bytes, *more: tuple[str, str]) -> bytes:
    return head("POST", "TARGET", ("Transfer-Encoding", "chunked"), *more) + body


SMUGGLED = b"GET /page HTTP/1.1\r\nHost: testserver\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        chunked(b"6\r\n4helloXX0\r\n\r\n"),
        chunked(b"6\r\n4hello\r\n0\r\n\r\n" + SMUGGLED, ("Content-Length", "6"), CLOSE),
        chunked(b"+6\r\n4hello\r\n0\r\n\r\n"),
        chunked(b"0x6\r\n4hello\r\n0\r\n\r\n"),
        chunked(b"-1\r\n4hello\r\n0\r\n\r\n"),
        chunked(b"fffffffffffffffff\r\n4hello\r\n0\r\n\r\n"),
        chunked(b"6\r\n4hello", ("Content-Length", "0")),
        head("POST", "TARGET", ("Transfer-Encoding", "chunked, identity")) + b"6\r\n4hello\r\n0\r\n\r\n",
        head("POST", "TARGET", ("Content-Length", "6"), ("Content-Length", "7")) + b"4hello\n",
        head("POST", "TARGET", ("Content-Length", "+6")) + b"4hello",
        head("POST", "TARGET", ("Content-Length", "-1")) + b"4hello",
    ],
    ids=[
        "no end of line after a chunk",
        "length and chunks",
        "sign",
        "hexadecimal prefix",
        "negative chunk",
        "endless chunk",
        "length 0 and chunks",
        "not chunked at last",
        "two lengths",
        "length with sign",
        "negative length",
    ],
)
def test_cve_2025_43859_body_of_unsure_length_brings_nothing(server: Running, request_bytes: bytes) -> None:
    sid = opened(server)
    answer = ask(server, request_bytes.replace(b"TARGET", f"{POLLING}&sid={sid}".encode()))
    assert "<title>" not in answer.text, "a second request was answered"
    assert set(answer.statuses) <= ({400, 200} if SMUGGLED in request_bytes else {400}), answer.text
    assert answer.seconds < 1
