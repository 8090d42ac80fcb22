"""Each fault of the misbehaving proxy, over real sockets, against a server whose every byte the test decides."""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import anyio.abc
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from holdfast.demo.proxy import CARRIERS, Direction, Faults, Kind, MisbehavingProxy, Mishap
from holdfast.demo.weather import Cut, cut_at_random

pytestmark = pytest.mark.anyio

POLL = b"GET /io/?transport=polling&sid=1 HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /io/?transport=stream&sid=1 HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /io/?transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(body: bytes) -> bytes:
    return b"POST /io/?transport=polling&sid=1 HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Reset(Exception):
    """The connection was reset."""


class End:
    """One end of a TCP connection, read by the test."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self._reader = BufferedByteReceiveStream(stream)

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def head(self) -> bytes:
        try:
            return await self._reader.receive_until(b"\r\n\r\n", 65536)
        except anyio.BrokenResourceError as error:
            raise Reset from error

    async def exactly(self, count: int) -> bytes:
        return await self._reader.receive_exactly(count)

    async def rest(self) -> bytes:
        """Everything until FIN."""
        data = b""
        try:
            while True:
                data += await self._reader.receive()
        except anyio.EndOfStream:
            return data
        except anyio.BrokenResourceError as error:
            raise Reset(data) from error

    async def message(self) -> tuple[bytes, bytes]:
        """A head, and the body that its Content-Length announces."""
        head = await self.head()
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head, await self.exactly(int(lengths[0].split(b":")[1]) if lengths else 0)

    async def gone(self) -> bool:
        """Wait for the connection's end; True if it was a reset."""
        try:
            await self.rest()
        except Reset:
            return True
        return False


@dataclass
class Net:
    """A proxy between clients and a server that does what the test says."""

    proxy: MisbehavingProxy
    accepted: anyio.abc.ObjectReceiveStream[End]
    port: int
    tasks: anyio.abc.TaskGroup
    opened: list[anyio.abc.SocketStream] = field(default_factory=list)

    async def dial(self) -> End:
        stream = await anyio.connect_tcp("127.0.0.1", self.proxy.port)
        self.opened.append(stream)
        return End(stream)

    async def pair(self) -> tuple[End, End]:
        """A connection: the client's end and the server's."""
        client = await self.dial()
        return client, await self.accepted.receive()

    async def websocket(self) -> tuple[End, End]:
        client, server = await self.pair()
        await client.send(UPGRADE)
        await server.head()
        await server.send(SWITCHED)
        await client.head()
        return client, server

    async def stream(self) -> tuple[End, End]:
        client, server = await self.pair()
        await client.send(STREAM)
        await server.head()
        await server.send(EVENTS)
        if not self.proxy.faults.hold_stream_heads:
            await client.head()
        return client, server


@asynccontextmanager
async def network(faults: Faults | None = None) -> AsyncIterator[Net]:
    send, accepted = anyio.create_memory_object_stream[End](math.inf)

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await send.send(End(stream))
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, send, accepted, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        with anyio.fail_after(20):
            async with MisbehavingProxy("127.0.0.1", port, faults=faults) as proxy:
                net = Net(proxy, accepted, port, tasks)
                try:
                    yield net
                finally:
                    for stream in net.opened:
                        await anyio.aclose_forcefully(stream)
        tasks.cancel_scope.cancel()


# Nothing wrong


async def test_bytes_pass_untouched_and_at_once_over_several_requests() -> None:
    async with network() as net:
        client, server = await net.pair()
        for body in (b"one", b"", b"three"):
            await client.send(post(body))
            head, seen = await server.message()
            assert (head + b"\r\n\r\n" + seen) == post(body)
            await server.send(ok(body * 2))
            assert (await client.message())[1] == body * 2
        assert net.proxy.stats.requests == {Kind.POST: 3}
        assert net.proxy.stats.connections == 1
        assert net.proxy.stats.up.body_bytes == 8
        assert net.proxy.stats.down.body_bytes == 16
        assert net.proxy.stats.up.head_bytes == len(post(b"")) * 3


async def test_every_byte_of_a_chunked_stream_arrives_when_it_was_sent() -> None:
    async with network() as net:
        client, server = await net.stream()
        for byte in chunk(b"one") + chunk(b"two") + b"0\r\nTrailer: x\r\n\r\n":
            await server.send(bytes([byte]))
            assert await client.exactly(1) == bytes([byte])
        await net.proxy.until(lambda: not net.proxy.stats.open_carriers)
        await client.send(POLL)
        await server.head()


async def test_a_half_closed_client_still_gets_its_answer() -> None:
    async with network() as net:
        client, server = await net.pair()
        await client.send(POLL)
        await client.stream.send_eof()
        assert await server.rest() == POLL
        await server.send(ok(b"late"))
        await server.stream.send_eof()
        assert await client.rest() == ok(b"late")


async def test_a_response_without_a_length_ends_with_the_connection() -> None:
    async with network() as net:
        client, server = await net.pair()
        await client.send(POLL)
        await server.head()
        await server.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await server.stream.aclose()
        assert (await client.rest()).endswith(b"all of it")


async def test_a_client_that_leaves_is_reported_to_the_server() -> None:
    async with network() as net:
        client, server = await net.stream()
        await client.stream.aclose()
        assert await server.rest() == b""


async def test_a_reset_is_passed_on_as_a_reset() -> None:
    async with network() as net:
        with socket.create_connection(("127.0.0.1", net.proxy.port)) as client:
            server = await net.accepted.receive()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert await server.gone()


async def test_an_unreachable_server_is_a_reset() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = unused.getsockname()[1]
        async with (
            MisbehavingProxy("127.0.0.1", target) as proxy,
            await anyio.connect_tcp("127.0.0.1", proxy.port) as stream,
        ):
            assert await End(stream).gone()


async def test_a_client_that_does_not_read_stops_the_server() -> None:
    async with network() as net:
        client, server = await net.stream()
        blocked = False
        for _ in range(400):  # 26 MB, far more than all buffers on the way
            with anyio.move_on_after(0.3) as scope:
                await server.send(chunk(b"x" * 65536))
            if blocked := scope.cancelled_caught:
                break
        assert blocked
        await client.exactly(100_000)


async def test_what_is_not_http_ends_the_connection() -> None:
    async with network() as net:
        client, _ = await net.pair()
        await client.send(b"nonsense\r\n\r\n")
        assert await client.gone()


async def test_leaving_the_proxy_closes_everything() -> None:
    async with network() as net:
        async with MisbehavingProxy("127.0.0.1", net.port) as inner:
            stream = await anyio.connect_tcp("127.0.0.1", inner.port)
            net.opened.append(stream)
            server = await net.accepted.receive()
        await End(stream).gone()
        await server.gone()
        with pytest.raises(OSError):
            await anyio.connect_tcp("127.0.0.1", inner.port)


# WebSocket


async def test_a_websocket_passes_both_ways() -> None:
    async with network() as net:
        client, server = await net.websocket()
        await client.send(b"up")
        assert await server.exactly(2) == b"up"
        await server.send(b"down")
        assert await client.exactly(4) == b"down"
        assert net.proxy.stats.open_carriers == {Kind.WEBSOCKET: 1}


async def test_refuse_websocket_answers_403_and_the_connection_lives_on() -> None:
    async with network(Faults(refuse_websocket=True)) as net:
        client, server = await net.pair()
        await client.send(UPGRADE)
        assert (await client.message())[0].startswith(b"HTTP/1.1 403 ")
        await client.send(POLL)
        assert (await server.head()).startswith(b"GET /io/?transport=polling")
        assert net.proxy.stats.faults["refuse_websocket"] == 1


async def test_hang_websocket_never_answers() -> None:
    async with network(Faults(hang_websocket=True)) as net:
        client, server = await net.pair()
        await client.send(UPGRADE)
        await net.proxy.until(lambda: net.proxy.stats.faults["hang_websocket"] == 1)
        await client.stream.aclose()
        assert await server.rest() == b""


async def test_swallow_websocket_lets_the_handshake_through_and_nothing_after_it() -> None:
    async with network(Faults(swallow_websocket=True)) as net:
        client, server = await net.websocket()
        await client.send(b"up")
        await server.send(b"down")
        await net.proxy.until(lambda: net.proxy.stats.faults["swallow_websocket"] == 1)
        net.proxy.clear()
        await client.send(b"more")
        await client.stream.send_eof()
        assert await server.rest() == b""
        assert await client.rest() == b""


async def test_swallow_websocket_silences_an_open_one() -> None:
    async with network() as net:
        client, server = await net.websocket()
        await client.send(b"before")
        await server.exactly(6)
        net.proxy.set(swallow_websocket=True)
        await client.send(b"after")
        await client.stream.send_eof()
        assert await server.rest() == b""


async def test_close_websocket_ends_it_after_the_handshake() -> None:
    async with network(Faults(close_websocket=True)) as net:
        client, _ = await net.websocket()
        assert await client.rest() == b""


async def test_strip_upgrade_makes_it_an_ordinary_request() -> None:
    async with network(Faults(strip_upgrade=True)) as net:
        client, server = await net.pair()
        await client.send(UPGRADE)
        head = await server.head()
        assert b"pgrade" not in head
        assert head.startswith(b"GET /io/?transport=websocket HTTP/1.1\r\n")
        await server.send(ok(b"what?"))
        assert (await client.message())[1] == b"what?"


async def test_a_websocket_can_be_cut_in_the_middle_of_a_frame() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_RESPONSE, of=Kind.WEBSOCKET, after_bytes=3)
        client, server = await net.websocket()
        await server.send(b"ab")
        assert await client.exactly(2) == b"ab"
        await server.send(b"cdef")
        await plan.wait()
        assert await client.gone()
        assert await server.gone()


async def test_a_websocket_ends_after_its_time() -> None:
    async with network(Faults(end_websockets_after=0.0)) as net:
        client, server = await net.websocket()
        assert await client.rest() == b""
        assert await server.rest() == b""


# Streams


async def test_hold_streams_releases_when_the_response_ends() -> None:
    async with network(Faults(hold_streams=True)) as net:
        client, server = await net.stream()
        await server.send(chunk(b"one"))
        await net.proxy.until(lambda: net.proxy.stats.faults["hold_streams"] > 0)
        await server.send(chunk(b"two") + b"0\r\n\r\n")
        assert await client.exactly(21) == chunk(b"one") + chunk(b"two") + b"0\r\n\r\n"


async def test_hold_streams_releases_when_the_server_closes() -> None:
    async with network(Faults(hold_streams=True)) as net:
        client, server = await net.stream()
        await server.send(chunk(b"one"))
        await server.stream.send_eof()
        assert await client.rest() == chunk(b"one")


async def test_hold_streams_releases_when_it_is_switched_off() -> None:
    async with network(Faults(hold_streams=True)) as net:
        client, server = await net.stream()
        await server.send(chunk(b"one"))
        await net.proxy.until(lambda: net.proxy.stats.faults["hold_streams"] > 0)
        net.proxy.set(hold_streams=False)
        assert await client.exactly(8) == chunk(b"one")
        await server.send(chunk(b"two"))
        assert await client.exactly(8) == chunk(b"two")


async def test_hold_responses_holds_what_is_not_an_event_stream_too() -> None:
    async with network(Faults(hold_responses=True)) as net:
        client, server = await net.pair()
        await client.send(post(b"x"))
        await server.message()
        await server.send(EVENTS.replace(b"text/event-stream", b"text/plain") + chunk(b"data"))
        await client.head()
        await net.proxy.until(lambda: net.proxy.stats.faults["hold_responses"] > 0)
        await server.send(b"0\r\n\r\n")
        assert await client.exactly(len(chunk(b"data"))) == chunk(b"data")


async def test_hold_streams_can_hold_the_head_too() -> None:
    async with network(Faults(hold_streams=True, hold_stream_heads=True)) as net:
        client, server = await net.stream()
        await net.proxy.until(lambda: net.proxy.stats.faults["hold_streams"] > 0)
        await server.send(b"0\r\n\r\n")
        assert await client.exactly(len(EVENTS) + 5) == EVENTS + b"0\r\n\r\n"


async def test_hold_streams_leaves_polls_alone() -> None:
    async with network(Faults(hold_streams=True)) as net:
        client, server = await net.pair()
        await client.send(POLL)
        await server.head()
        await server.send(ok(b"now")[:-1])
        await client.head()
        assert await client.exactly(2) == b"no"


async def test_hold_under_bytes_lets_the_large_through() -> None:
    async with network(Faults(hold_under_bytes=100)) as net:
        client, server = await net.stream()
        await server.send(chunk(b"small"))
        await net.proxy.until(lambda: net.proxy.stats.faults["hold_under_bytes"] > 0)
        await server.send(chunk(b"x" * 100))
        both = chunk(b"small") + chunk(b"x" * 100)
        assert await client.exactly(len(both)) == both


async def test_a_stream_ends_after_its_bytes_or_its_time() -> None:
    async with network(Faults(end_streams_after_bytes=4)) as net:
        client, server = await net.stream()
        await server.send(chunk(b"abc") + chunk(b"def"))
        assert await client.rest() == chunk(b"abc") + b"3\r\nd"
        assert net.proxy.stats.faults["end_streams_after_bytes"] == 1
        net.proxy.faults = Faults(end_streams_after=0.0)
        client, server = await net.stream()
        assert await client.rest() == b""


# Cuts


@pytest.mark.parametrize("reset", [True, False])
async def test_cut_ends_what_carries_a_session_and_nothing_else(reset: bool) -> None:
    async with network() as net:
        carriers = [await net.websocket(), await net.stream(), await net.pair()]
        await carriers[2][0].send(POLL)
        await carriers[2][1].head()
        idle = await net.pair()
        assert net.proxy.cut(reset=reset) == 3
        for client, server in carriers:
            assert await client.gone() is reset
            assert await server.gone() is reset
        assert not net.proxy.stats.open_carriers
        await idle[0].send(POLL)
        await idle[1].head()


async def test_cut_can_choose_a_kind() -> None:
    async with network() as net:
        await net.websocket()
        client, _ = await net.stream()
        assert net.proxy.cut(Kind.STREAM) == 1
        assert await client.gone()
        assert net.proxy.stats.open_carriers == {Kind.WEBSOCKET: 1}


async def test_cut_all_refuses_new_connections_until_the_time_is_over() -> None:
    async with network() as net:
        client, _ = await net.pair()
        assert net.proxy.cut_all(math.inf) == 1
        assert await client.gone()
        with suppress(OSError):  # Some notice the reset while they still connect.
            assert await (await net.dial()).gone()
        assert net.proxy.stats.faults["refused connection"] == 1
        net.proxy.clear()
        client, server = await net.pair()
        await client.send(POLL)
        await server.head()


async def test_in_a_black_hole_connections_stay_and_bytes_vanish() -> None:
    async with network() as net:
        idle, dead = await net.pair(), await net.pair()
        net.proxy.black_hole()
        await dead[0].send(POLL)
        await net.proxy.until(lambda: net.proxy.stats.faults["black hole"] == 1)
        net.proxy.clear()
        await idle[0].send(POLL)
        await idle[1].head()
        # What lost bytes stays silent, and its end is passed on.
        await dead[0].send(POLL)
        await dead[0].stream.send_eof()
        assert await dead[1].rest() == b""


async def test_a_black_hole_swallows_the_end_of_a_connection_until_it_is_over() -> None:
    async with network() as net:
        client, server = await net.stream()
        net.proxy.black_hole(0.05)
        await client.stream.aclose()
        before = anyio.current_time()
        await server.rest()
        assert anyio.current_time() - before >= 0.03


async def test_a_connection_made_in_a_black_hole_is_silent() -> None:
    async with network() as net:
        net.proxy.black_hole()
        client, server = await net.pair()
        await client.send(POLL)
        await client.stream.send_eof()
        net.proxy.clear()
        assert await server.rest() == b""


async def test_what_is_silenced_loses_its_bytes_and_its_ends_and_new_connections_work() -> None:
    async with network() as net:
        (client, server), (closing, other) = await net.websocket(), await net.stream()
        assert net.proxy.silence() == 2
        await client.send(b"up")
        await server.send(b"down")
        await closing.stream.send_eof()
        await other.stream.aclose()
        with anyio.move_on_after(0.05) as waited:
            await client.rest()
        assert waited.cancelled_caught
        with anyio.move_on_after(0.05) as waited:
            await server.rest()
        assert waited.cancelled_caught
        again = await net.pair()
        await again[0].send(POLL)
        await again[1].head()


async def test_a_reset_of_what_is_silenced_is_not_heard_at_the_other_end() -> None:
    async with network() as net:
        client, server = await net.websocket()
        net.proxy.silence()
        await anyio.aclose_forcefully(server.stream)
        with anyio.move_on_after(0.05) as waited:
            await client.rest()
        assert waited.cancelled_caught
        # When both are gone there is nothing left of it.
        await anyio.aclose_forcefully(client.stream)
        await net.proxy.until(lambda: not net.proxy.stats.open_carriers)


# Delay


async def test_delay_is_added_each_way_and_keeps_order_when_it_shrinks() -> None:
    async with network(Faults(delay_up=0.1, delay_down=0.05)) as net:
        client, server = await net.pair()
        start = anyio.current_time()
        await client.send(post(b"first"))
        await anyio.sleep(0.01)
        net.proxy.set(delay_up=0.0)
        await client.send(post(b"second"))
        assert (await server.message())[1] == b"first"
        assert 0.09 <= anyio.current_time() - start < 1
        assert (await server.message())[1] == b"second"
        start = anyio.current_time()
        await server.send(ok(b"1"))
        assert (await client.message())[1] == b"1"
        assert anyio.current_time() - start >= 0.045


async def test_jitter_keeps_order() -> None:
    async with network(Faults(jitter=0.01)) as net:
        client, server = await net.websocket()
        for number in range(20):
            await client.send(b"%02d" % number)
        assert await server.exactly(40) == b"".join(b"%02d" % number for number in range(20))


# Mishaps


async def test_cut_response_lets_so_many_bytes_pass() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_RESPONSE, of=Kind.POLL, after_bytes=4)
        client, server = await net.pair()
        await client.send(POLL)
        await server.head()
        await server.send(ok(b"0123456789"))
        await plan.wait()
        assert await client.gone()
        assert await server.gone()
        assert net.proxy.stats.faults[Mishap.CUT_RESPONSE] == 1


async def test_cut_response_counts_the_data_of_chunks_and_waits_for_a_body_long_enough() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_RESPONSE, after_bytes=4)
        client, server = await net.pair()
        await client.send(POLL)
        await server.head()
        await server.send(ok(b"0123"))
        assert (await client.message())[1] == b"0123"
        assert plan.happened == 0
        client, server = await net.stream()
        await server.send(chunk(b"01") + chunk(b"23"))
        assert await client.exactly(14) == chunk(b"01") + chunk(b"23")
        await server.send(chunk(b"4"))
        await plan.wait()


async def test_cut_request_sends_half_a_post() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_REQUEST, after_bytes=3)
        client, server = await net.pair()
        await client.send(post(b"abcdef"))
        await plan.wait()
        assert await client.gone()
        assert await server.gone()
        assert net.proxy.stats.up.body_bytes == 3


async def test_cut_request_waits_for_a_body_long_enough() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_REQUEST, after_bytes=3)
        client, server = await net.pair()
        await client.send(post(b"abc"))
        assert (await server.message())[1] == b"abc"
        await server.send(ok(b""))
        await client.message()
        await client.send(post(b"abcd"))
        await plan.wait()


@pytest.mark.parametrize(("kind", "request_bytes"), [(Kind.POLL, POLL), (Kind.POST, post(b"abc"))])
async def test_lose_answer_lets_the_server_work_for_nothing(kind: Kind, request_bytes: bytes) -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.LOSE_ANSWER, of=kind)
        client, server = await net.pair()
        await client.send(request_bytes)
        await server.message()
        await server.send(ok(b"lost"))
        await plan.wait()
        with pytest.raises(Reset) as caught:
            await client.rest()
        assert caught.value.args == (b"",)
        assert net.proxy.stats.down.head_bytes == 0


async def test_repeat_gives_the_server_two_posts_and_the_client_one_answer() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.REPEAT)
        client, server = await net.pair()
        await client.send(post(b"abc"))
        copy = await net.accepted.receive()
        assert (await copy.message())[1] == b"abc"
        assert plan.happened == 0
        await copy.send(ok(b"copy"))
        await plan.wait()
        assert (await server.message())[1] == b"abc"
        await server.send(ok(b"original"))
        assert (await client.message())[1] == b"original"
        await client.send(post(b"next"))
        assert (await server.message())[1] == b"next"


async def test_a_late_copy_comes_after_the_original_was_answered() -> None:
    async with network() as net:
        net.proxy.next(Mishap.REPEAT, delay=0.01)
        client, server = await net.pair()
        await client.send(post(b"abc"))
        await server.message()
        await server.send(ok(b"original"))
        assert (await client.message())[1] == b"original"
        copy = await net.accepted.receive()
        assert (await copy.message())[1] == b"abc"


@pytest.mark.parametrize(("mishap", "status"), [(Mishap.BAD_GATEWAY, b"502"), (Mishap.HTML_PAGE, b"200")])
async def test_a_page_is_answered_in_place_of_the_server(mishap: Mishap, status: bytes) -> None:
    async with network() as net:
        plan = net.proxy.next(mishap, times=2)
        client, server = await net.pair()
        for request in (POLL, post(b"abc")):
            await client.send(request)
            head, body = await client.message()
            assert head.startswith(b"HTTP/1.1 " + status)
            assert body.startswith(b"<!doctype html>")
        assert plan.happened == 2
        await client.send(post(b"third"))
        assert (await server.message())[1] == b"third"


async def test_a_captive_portal_lets_only_pages_through() -> None:
    async with network(Faults(html_page=True)) as net:
        client, server = await net.pair()
        await client.send(POLL)
        assert b"terms of use" in (await client.message())[1]
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        await server.head()


async def test_mishaps_by_chance_follow_the_seed() -> None:
    async def answer_everything(server: End) -> None:
        with suppress(anyio.IncompleteRead):
            while True:
                await server.head()
                await server.send(ok(b""))

    async def outcomes() -> list[bytes]:
        seen: list[bytes] = []
        async with network(Faults(mishaps=((Mishap.BAD_GATEWAY, 0.5),))) as net:
            client, server = await net.pair()
            net.tasks.start_soon(answer_everything, server)
            for _ in range(12):
                await client.send(POLL)
                seen.append((await client.message())[0][9:12])
        return seen

    first = await outcomes()
    assert set(first) == {b"200", b"502"}
    assert await outcomes() == first


async def test_truncate_response_ends_politely() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.TRUNCATE_RESPONSE, of=Kind.STREAM, after_bytes=4)
        client, server = await net.stream()
        await server.send(chunk(b"012345"))
        await plan.wait()
        assert await client.rest() == b"6\r\n0123"
        assert not await server.gone()


async def test_a_cut_character_is_one_that_takes_several_bytes() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_CHARACTER, after_bytes=5)
        client, server = await net.stream()
        for text in ("abé", "plain", "xy\u20acz"):
            await server.send(chunk(text.encode()))
        await plan.wait()
        with pytest.raises(Reset) as caught:
            await client.rest()
        assert caught.value.args[0] in (b"", chunk("abé".encode()) + chunk(b"plain") + b"6\r\nxy\xe2")
        down = net.proxy.stats.down
        assert down.body_bytes == len(chunk("abé".encode()) + chunk(b"plain") + b"6\r\nxy\xe2")


async def test_a_cut_event_is_one_that_has_begun() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_EVENT, after_bytes=6)
        client, server = await net.stream()
        await server.send(chunk(b"data: one\n\n"))
        await client.exactly(len(chunk(b"data: one\n\n")))
        await server.send(chunk(b"id: 2\ndata: two\n\n"))
        await plan.wait()
        with pytest.raises(Reset):
            await client.rest()
        assert net.proxy.stats.down.body_bytes == len(chunk(b"data: one\n\n") + b"12\r\nid: 2\ndata:")


async def test_a_plan_for_a_character_waits_for_a_response_that_has_one() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.CUT_CHARACTER)
        client, server = await net.pair()
        await client.send(POLL)
        await server.head()
        await server.send(ok(b"plain"))
        assert (await client.message())[1] == b"plain"
        await client.send(POLL)
        await server.head()
        await server.send(ok("é".encode()))
        await plan.wait()
        assert await client.gone()


@pytest.mark.parametrize("request_bytes", [POLL, STREAM, post(b"abc")])
async def test_lose_request_gives_the_server_nothing(request_bytes: bytes) -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.LOSE_REQUEST)
        client, server = await net.pair()
        await client.send(request_bytes)
        await plan.wait()
        assert await client.gone()
        with pytest.raises(Reset) as caught:
            await server.rest()
        assert caught.value.args == (b"",)


async def test_reordered_posts_arrive_the_second_first() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.REORDER)
        client, _ = await net.pair()
        await client.send(post(b"first"))
        assert await client.gone()
        client, server = await net.pair()
        await client.send(post(b"second"))
        assert (await server.message())[1] == b"second"
        assert plan.happened == 0
        await server.send(ok(b"seen"))
        assert (await client.message())[1] == b"seen"
        late = await net.accepted.receive()
        assert (await late.message())[1] == b"first"
        await late.send(ok(b""))
        await plan.wait()


async def test_a_reordered_post_that_none_overtakes_is_late() -> None:
    async with network() as net:
        plan = net.proxy.next(Mishap.REORDER, delay=0.02)
        client, _ = await net.pair()
        await client.send(post(b"only"))
        assert await client.gone()
        late = await net.accepted.receive()
        assert (await late.message())[1] == b"only"
        await late.send(ok(b""))
        await plan.wait()


async def test_a_stalled_connection_is_silent_and_then_reset() -> None:
    async with network() as net:
        client, server = await net.websocket()
        assert net.proxy.stall(0.1, Kind.STREAM) == 0
        started = anyio.current_time()
        assert net.proxy.stall(0.1) == 1
        await client.send(b"lost")
        await server.send(b"lost")
        with pytest.raises(Reset) as caught:
            await client.rest()
        assert anyio.current_time() - started >= 0.1
        assert caught.value.args == (b"",)
        assert await server.gone()
        assert net.proxy.stats.faults == {"stall": 1}


@pytest.mark.parametrize("direction", Direction)
async def test_silence_in_one_direction_leaves_the_other(direction: Direction) -> None:
    async with network() as net:
        client, server = await net.websocket()
        mute, heard = (client, server) if direction is Direction.UP else (server, client)
        assert net.proxy.silence(direction) == 1
        await mute.send(b"lost")
        for word in (b"one", b"two"):
            await heard.send(word)
            assert await mute.exactly(3) == word
        # Nor is its end heard: the other one still speaks, and is told when that one closes.
        await mute.stream.send_eof()
        await heard.send(b"more")
        assert await mute.exactly(4) == b"more"
        await heard.stream.aclose()
        assert not await mute.gone()
        assert net.proxy.stats.faults["silence"] == 1


async def test_bandwidth_is_shared_out_in_order() -> None:
    async with network(Faults(bandwidth_up=20_000, bandwidth_down=10_000)) as net:
        client, server = await net.websocket()
        started = anyio.current_time()
        await server.send(b"0123456789" * 200)
        # In parts, and not all of it at the end.
        assert await client.exactly(1000) == b"0123456789" * 100
        assert 0.06 <= anyio.current_time() - started < 0.19
        assert await client.exactly(1000) == b"0123456789" * 100
        assert anyio.current_time() - started >= 0.19
        started = anyio.current_time()
        await client.send(b"x" * 2000)
        await server.exactly(2000)
        assert anyio.current_time() - started >= 0.09


async def test_a_websocket_ends_after_its_bytes() -> None:
    async with network(Faults(end_websockets_after_bytes=5)) as net:
        client, server = await net.websocket()
        await server.send(b"0123456789")
        assert await client.rest() == b"01234"
        assert not await server.gone()
        assert net.proxy.stats.faults == {"end_websockets_after_bytes": 1}


async def test_strip_headers_takes_them_out_of_requests_and_responses() -> None:
    async with network(Faults(strip_headers=("X-Secret", "cache-control"))) as net:
        client, server = await net.pair()
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nx-secret: 1\r\nAccept: y\r\n\r\n")
        assert await server.head() + b"\r\n\r\n" == b"GET / HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n"
        await server.send(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok")
        head, body = await client.message()
        assert (head, body) == (b"HTTP/1.1 200 OK\r\nContent-Length: 2", b"ok")
        await client.send(POLL)
        assert await server.head() + b"\r\n\r\n" == POLL
        assert net.proxy.stats.faults == {"strip_headers": 2}


# Weather


async def test_cuts_come_at_random_moments_and_each_hits_something() -> None:
    async def cuts() -> list[Cut]:
        async with network() as net:
            heard: list[int] = []

            async def stay_connected() -> None:
                while True:
                    # It may be cut while it is being opened.
                    with suppress(Reset, anyio.IncompleteRead, anyio.BrokenResourceError):
                        client, _ = await net.websocket()
                        await client.gone()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stay_connected)
                struck = await cut_at_random(
                    net.proxy,
                    12,
                    seed=3,
                    pause=(0.0, 0.01),
                    stall=0.02,
                    note=lambda cut: heard.append(cut.connections),
                )
                tasks.cancel_scope.cancel()
            assert heard == [1] * 12
            assert [cut.ended - cut.at >= 0.02 for cut in struck] == [cut.how is Cut.STALL for cut in struck]
            return [cut.how for cut in struck]

    first = await cuts()
    assert set(first) == set(Cut)
    assert await cuts() == first


async def test_the_kinds_of_carrier_are_counted_while_they_are_open() -> None:
    async with network() as net:
        await net.websocket()
        client, server = await net.stream()
        assert net.proxy.stats.open_carriers == {Kind.WEBSOCKET: 1, Kind.STREAM: 1}
        await server.send(b"0\r\n\r\n")
        await client.exactly(5)
        await net.proxy.until(lambda: net.proxy.stats.open_carriers == {Kind.WEBSOCKET: 1})
        assert Kind.POST not in CARRIERS
