"""A request's head: what is plain is read as any server reads it, and all that is not is left to the server."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.transports.fast.head import read_head

PLAIN = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: here\r\nX-One:  two \r\nCONNECTION: keep-alive"


def test_a_plain_head() -> None:
    head = read_head(PLAIN)
    assert head is not None
    assert (head.method, head.path, head.query) == ("GET", b"/socket.io/", b"EIO=4&transport=polling")
    assert head.headers == [(b"host", b"here"), (b"x-one", b"two"), (b"connection", b"keep-alive")]
    assert (head.length, head.keeps, head.upgrade) == (0, True, b"")


def test_length_close_and_upgrade() -> None:
    head = read_head(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\nconnection: close")
    assert head is not None
    assert (head.method, head.path, head.query, head.length, head.keeps) == ("POST", b"/", b"", 12, False)
    head = read_head(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket")
    assert head is not None
    assert head.upgrade == b"websocket"
    head = read_head(b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket")
    assert head is not None
    assert head.upgrade == b""


@pytest.mark.parametrize(
    "change",
    [
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"GET ", b"PUT "),
        (b"GET ", b"get "),
        (b"GET /", b"GET  /"),
        (b"GET /socket.io", b"GET http://here/socket.io"),
        (b"/socket.io/", b"/socket.io/#x"),
        (b"/socket.io/", b"/s\xc3\xb6"),
        (b"Host: here", b"Host : here"),
        (b"Host: here", b"Hos t: here"),
        (b"Host: here", b" folded"),
        (b"Host: here", b"Host: here\nX: y"),
        (b"Host: here", b"Host: a\0b"),
        (b"Host: here", b"Host: here\r\nHost: there"),
        (b"Host: here", b"X: no host"),
        (b"Host: here", b"no colon"),
        (b"X-One:  two", b"Transfer-Encoding: chunked"),
        (b"X-One:  two", b"Content-Length: 1\r\nContent-Length: 1"),
        (b"X-One:  two", b"Content-Length: +1"),
        (b"X-One:  two", b"Content-Length: 1, 1"),
        (b"X-One:  two", b"Content-Length: 99999999999"),
        (b"X-One:  two", b"Expect: 100-continue"),
    ],
)
def test_what_could_be_read_in_two_ways_is_left_to_the_server(change: tuple[bytes, bytes]) -> None:
    assert change[0] in PLAIN
    assert read_head(PLAIN.replace(*change, 1)) is None


class Parsed:
    """What the server's own parser makes of a head."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


NAMES = st.sampled_from([b"Host", b"x", b"Content-Length", b"Connection", b"Cookie", b"a:b", b"b b", b""])
VALUES = st.one_of(st.sampled_from([b"1", b" here ", b"close", b"a, b", b"\tx\t"]), st.binary(max_size=6))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.binary(max_size=8))
def test_what_is_read_is_what_the_servers_parser_reads(
    fields: list[tuple[bytes, bytes]], path: bytes
) -> None:
    lines = b"".join([b"\r\n" + name + b":" + value for name, value in [(b"host", b"a"), *fields]])
    head = read_head(b"GET /" + path + b" HTTP/1.1" + lines)
    if head is None:
        return
    parsed = Parsed()
    parser = httptools.HttpRequestParser(parsed)
    parser.feed_data(b"GET /" + path + b" HTTP/1.1" + lines + b"\r\n\r\n" + b"x" * head.length)
    assert parsed.headers == head.headers
    assert parsed.url == head.path + (b"?" + head.query if b"?" in parsed.url else b"")
    assert parser.should_keep_alive() == head.keeps


@pytest.mark.parametrize("fill", [b" ", b"\t", b" \t", b"a", b":", b"\xff"])
def test_a_head_that_is_made_to_be_read_slowly_is_not(fill: bytes) -> None:
    # Each of them would take seconds where a pattern goes back and forth.
    for end in (b"\x01", b"\n", b""):
        read_head(b"GET / HTTP/1.1\r\nhost: a\r\na:" + fill * (30_000 // len(fill)) + end)
    assert read_head(b"GET / HTTP/1.1\r\nhost: a\r\na:" + fill * 40_000) is None
