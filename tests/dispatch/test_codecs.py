"""Codecs of the application, beside the two that are there."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest
from event_peer import EventPeer, Idle, Wire

from holdfast.engine.dispatch import Events, Socket
from holdfast.engine.errors import ConnectionRefusedError, LocalProtocolError, RemoteProtocolError
from holdfast.engine.session.reason import CloseReason
from holdfast.engine.wire.codec import Codec, JsonCodec, MsgpackCodec
from holdfast.engine.wire.message import Message
from holdfast.engine.wire.socketio import BinaryHeader, SocketPacket, SocketPacketType

pytestmark = pytest.mark.anyio


@dataclass
class ReprCodec:
    """Packets as Python writes them. As a data class with `==` it has no hash, which nobody asks of a codec."""

    name: str = "repr"
    encoded: list[SocketPacket] = field(default_factory=list[SocketPacket])

    def recognises(self, data: str | bytes) -> bool:
        return isinstance(data, str) and data.startswith("(")

    def encode(self, packet: SocketPacket) -> list[Message]:
        self.encoded.append(packet)
        type, namespace, data, id = packet
        if data.__class__ is list and any(isinstance(value, set) for value in data):  # type: ignore[attr-defined]
            raise LocalProtocolError("no sets")
        return [Message(repr((int(type), namespace, data, id)))]

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        try:
            type, namespace, content, id = ast.literal_eval(str(data))
            return SocketPacket(SocketPacketType(type), namespace, content, id)
        except (ValueError, SyntaxError) as error:
            raise RemoteProtocolError("not a packet") from error


class Careless(ReprCodec):
    """Lets everything out that can go wrong."""

    def decode(self, data: str | bytes) -> SocketPacket | BinaryHeader:
        type, namespace, content, id = ast.literal_eval(str(data))
        return SocketPacket(SocketPacketType(type), namespace, content, id)


CONNECT = "(0,'/',None,None)"
MSGPACK_CONNECT = b"\x82\xa4type\x00\xa3nsp\xa1/"


async def connected(wire: Wire, first: str | bytes, *, codecs: tuple[str, ...] = ()) -> EventPeer:
    peer = wire.open(counting=bool(codecs), codecs=codecs)
    peer.send(first)
    answer = await peer.receive()
    assert "sid" in str(answer), answer
    return peer


async def test_codec_of_the_application_is_recognised_by_the_first_message() -> None:
    codec = ReprCodec()
    io = Events(codecs=[codec, JsonCodec(), MsgpackCodec()])
    io.on("x", lambda socket, value: (value, None))
    wire = Wire(io)
    peer = await connected(wire, CONNECT)
    peer.send("(2,'/',['x',{1:b'\\x00'}],7)")
    assert await peer.receive() == "(3, '/', [{1: b'\\x00'}, None], 7)"
    assert (await wire.connect()).session.is_open
    assert io.codec_names == ("repr", "json", "msgpack")


async def test_first_codec_that_recognises_a_message_has_it() -> None:
    class Everything(ReprCodec):
        def recognises(self, data: str | bytes) -> bool:
            return True

    peer = await connected(Wire(Events(codecs=[JsonCodec(), Everything()])), "0")
    await connected(Wire(Events(codecs=[Everything(), JsonCodec()])), CONNECT)
    assert peer.session.is_open


async def test_message_that_no_codec_recognises_ends_its_session_and_no_other() -> None:
    io = Events(codecs=[ReprCodec(), MsgpackCodec()])
    wire = Wire(io)
    other = await connected(wire, CONNECT)
    peer = wire.open()
    with pytest.raises(RemoteProtocolError, match="no codec"):
        peer.send("0")
    assert peer.session.ended_with() == CloseReason.PARSE_ERROR
    await io.emit("x")
    assert other.received() == ["(2, '/', ['x'], None)"]


async def test_clients_of_all_kinds_get_one_broadcast_each_encoded_once() -> None:
    codec = ReprCodec()
    io = Events(codecs=[codec, JsonCodec(), MsgpackCodec()])
    wire = Wire(io)
    custom = [await connected(wire, CONNECT) for _ in range(3)]
    plain = await wire.connect()
    plain_msgpack = await connected(wire, MSGPACK_CONNECT)
    counting = [
        await connected(wire, "0", codecs=("json",)),
        await connected(wire, MSGPACK_CONNECT, codecs=("msgpack", "json")),
        await connected(wire, CONNECT, codecs=("unknown", "repr")),
    ]
    codec.encoded.clear()
    await io.emit("x", 1)
    assert len(codec.encoded) == 1
    msgpack = [b"\x83\xa4type\x02\xa4data\x92\xa1x\x01\xa3nsp\xa1/"]
    text = ["(2, '/', ['x', 1], None)"]
    assert [peer.received() for peer in [*custom, plain, plain_msgpack]] == [
        text,
        text,
        text,
        ['2["x",1]'],
        msgpack,
    ]
    assert [peer.received() for peer in counting] == [['2["x",1]'], msgpack, text]
    assert [peer.session.codec for peer in counting] == ["json", "msgpack", "repr"]
    with pytest.raises(LocalProtocolError, match="no sets"):
        await io.emit("x", {1})
    with pytest.raises(LocalProtocolError, match="at most 10"):
        await io.emit("x", *[b""] * 11)
    assert all(peer.received() == [] for peer in [*custom, plain, plain_msgpack, *counting])


async def test_counting_peer_that_knows_none_of_the_codecs_gets_the_first() -> None:
    io = Events(codecs=[ReprCodec(), MsgpackCodec()])
    peer = await connected(Wire(io), CONNECT, codecs=("json",))
    assert peer.session.codec == "repr"


async def test_recognition_is_not_asked_of_a_counting_peers_first_message() -> None:
    io = Events(codecs=[ReprCodec(), JsonCodec()])
    peer = Wire(io).open(counting=True, codecs=("repr",))
    with pytest.raises(RemoteProtocolError):
        peer.send("0")


@pytest.mark.parametrize("codecs", [[], [JsonCodec(), ReprCodec("json")], [JsonCodec(), JsonCodec()]])
def test_codecs_have_names_of_their_own_and_there_is_one(codecs: list[Codec]) -> None:
    with pytest.raises(LocalProtocolError, match="at least one codec"):
        Events(codecs=codecs)


# -- codecs that do what they must not


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "(9,'/',None,None)",
        "(0,'/')",
        b"bytes",
        "(2,'/',[],None)",
        "(2,'/',['disconnect'],None)",
        "(2,'/',('x',),None)",
        "(2,'/',None,None)",
        "(2,'/',[5],None)",
        "(5,'/',['x'],None)",
        "(3,'/',[1],None)",
        "(3,'/',[1],'1')",
        "(2,'/',['x'],-1)",
        "(2,'/',['x'],True)",
        "(2,5,['x'],None)",
        "(0,'no slash',None,None)",
        "(0,'/a',[1],None)",
        "(0,'/a,b',None,None)",
    ],
)
async def test_whatever_a_careless_codec_lets_through_ends_that_session_as_a_parse_error(
    message: str | bytes,
) -> None:
    io = Events(codecs=[Careless(), JsonCodec()])
    io.on("*", lambda socket, event, *args: "handled")
    io.of("/a")
    wire = Wire(io)
    other, peer = await connected(wire, CONNECT), await connected(wire, CONNECT)
    with pytest.raises(RemoteProtocolError):
        peer.send(message)
    assert peer.session.ended_with() == CloseReason.PARSE_ERROR
    await io.emit("x")
    assert len(other.received()) == 1


async def test_failure_of_decoding_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire(Events(codecs=[Careless()]))
    peer = await connected(wire, CONNECT)
    with pytest.raises(RemoteProtocolError, match=r"^the codec cannot read a message$"):
        peer.send("(1,2,3)")
    assert caplog.text.count("Traceback") >= 1
    assert len(caplog.records) == 1


async def test_codec_that_fails_to_recognise_leaves_it_to_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fails(ReprCodec):
        def recognises(self, data: str | bytes) -> bool:
            raise ZeroDivisionError

    await Wire(Events(codecs=[Fails(), JsonCodec()])).connect()
    assert len(caplog.records) == 1


Encode = Callable[[SocketPacket], list[Message]]


def _raises(packet: SocketPacket) -> list[Message]:
    raise ZeroDivisionError


def _nothing(packet: SocketPacket) -> list[Message]:
    return []


def _separator(packet: SocketPacket) -> list[Message]:
    return [Message("a\x1eb")]


def _no_message(packet: SocketPacket) -> list[Message]:
    return ["text"]  # type: ignore[list-item]


def _none(packet: SocketPacket) -> list[Message]:
    return None  # type: ignore[return-value]


WRONG = [_raises, _nothing, _separator, _no_message, _none]


class Wrong(ReprCodec):
    """Encodes as it should until it is told otherwise."""

    wrong: Encode | None = None
    types: tuple[SocketPacketType, ...] = tuple(SocketPacketType)

    def encode(self, packet: SocketPacket) -> list[Message]:
        if self.wrong is not None and packet.type in self.types:
            return self.wrong(packet)
        return super().encode(packet)


@pytest.mark.parametrize("wrong", WRONG)
async def test_event_that_a_codec_fails_to_encode_reaches_nobody_and_says_so(wrong: Encode) -> None:
    codec = Wrong()
    io = Events(codecs=[codec, JsonCodec()])
    seen: list[str] = []

    @io.on("x")
    async def x(socket: Socket) -> str:
        for emit in (socket.emit, io.emit, io.emit_with_ack, socket.volatile.emit, socket.emit_with_ack):
            with pytest.raises(LocalProtocolError):
                await emit("y")
            seen.append("refused")
        codec.types = (SocketPacketType.EVENT,)
        return "done"

    wire = Wire(io)
    plain, peer = await wire.connect(), await connected(wire, CONNECT)
    codec.wrong = wrong
    peer.send("(2,'/',['x'],1)")
    assert await peer.receive() == "(3, '/', ['done'], 1)"
    assert seen == ["refused"] * 5
    assert plain.received() == []
    assert peer.session.is_open


@pytest.mark.parametrize("wrong", WRONG)
async def test_codec_that_cannot_answer_a_connect_ends_that_session_alone(
    wrong: Encode, caplog: pytest.LogCaptureFixture
) -> None:
    codec = Wrong()
    io = Events(codecs=[codec, JsonCodec()])
    log: list[str] = []
    for name in ("connect", "disconnect"):

        async def note(socket: Socket, *args: object, name: str = name) -> None:
            log.append(name)

        io.of("/handled").on(name, note)
    io.of("/refuses").on("connect", lambda socket: False)

    @io.of("/refuses with words").on("connect")
    async def refuse(socket: Socket) -> None:
        raise ConnectionRefusedError("no", {"data": 1})

    io.of("/fails").on("connect", lambda socket: 1 / 0)
    wire = Wire(io)
    plain = await wire.connect()
    codec.wrong = wrong
    names = ["/", "/handled", "/refuses", "/refuses with words", "/fails", "/unknown"]
    for name in names:
        peer = wire.open()
        peer.send(f"(0,{name!r},None,None)")
        with pytest.raises(Idle):
            await peer.receive()
        assert peer.session.ended_with() == CloseReason.FORCED_SERVER_CLOSE
    await anyio.wait_all_tasks_blocked()
    assert log == ["connect", "disconnect"]
    assert "background task failed" not in caplog.text
    await io.emit("x")
    assert plain.received() == ['2["x"]']


@pytest.mark.parametrize("wrong", WRONG)
async def test_codec_that_cannot_say_goodbye_does_not_keep_others_from_being_put_out(wrong: Encode) -> None:
    codec = Wrong()
    io = Events(codecs=[codec, JsonCodec()])
    wire = Wire(io)
    peer, plain = await connected(wire, CONNECT), await wire.connect()
    codec.wrong = wrong
    await io.disconnect_sockets()
    assert plain.received() == ["1"]
    assert not peer.session.is_open
    assert list(io.sockets) == []


@pytest.mark.parametrize("wrong", WRONG)
async def test_answer_that_a_codec_fails_to_encode_becomes_an_error_answer(wrong: Encode) -> None:
    codec = Wrong()

    def once(packet: SocketPacket) -> list[Message]:
        codec.wrong = None
        return wrong(packet)

    io = Events(codecs=[codec])
    io.on("x", lambda socket: 1)
    peer = await connected(Wire(io), CONNECT)
    codec.wrong = once
    peer.send("(2,'/',['x'],1)")
    assert await peer.receive() == "(3, '/', [{'error': {'message': 'internal error'}}], 1)"


@pytest.mark.parametrize("wrong", WRONG)
async def test_codec_that_cannot_answer_at_all_does_not_keep_the_next_event_from_its_handler(
    wrong: Encode, caplog: pytest.LogCaptureFixture
) -> None:
    codec = Wrong()
    io = Events(codecs=[codec])
    seen: list[int] = []

    @io.on("x")
    async def x(socket: Socket, number: int) -> int:
        seen.append(number)
        return number

    peer = await connected(Wire(io), CONNECT)
    codec.wrong = wrong
    peer.send("(2,'/',['x',1],1)", "(2,'/',['x',2],2)")
    await anyio.wait_all_tasks_blocked()
    assert seen == [1, 2]
    assert "background task failed" not in caplog.text
