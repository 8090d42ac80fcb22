"""A real stream, a record that another node has left, and what its client hears when it goes on here."""

from __future__ import annotations

import json
from secrets import token_hex

import anyio
import pytest
from counting_peer import CountingPeer, WebSocketCarrier, client_of
from real_redis import Redis

from holdfast import RedisStreamsAdapter, Server
from holdfast.engine.adapters.chronicle import Place
from holdfast.engine.dispatch.saved import SavedSocket, encode_sockets
from holdfast.engine.durable import Meta
from holdfast.engine.host import Host
from holdfast.engine.live import Handshake
from holdfast.engine.live.records import Put
from holdfast.engine.redis import RedisAddress, RedisConnection
from holdfast.engine.session.record import Write
from holdfast.engine.wire.message import Message

pytestmark = pytest.mark.servers


class Stream:
    """Says things as other nodes do."""

    def __init__(self, redis: RedisConnection, name: str) -> None:
        self._redis = redis
        self._name = name

    async def say(
        self, uid: str, text: str, number: int | None = None, *, rooms: tuple[str, ...] = (), **more: object
    ) -> str:
        opts = {"rooms": rooms, "except": more.get("except_", []), "flags": more.get("flags", {})}
        data = {"packet": {"type": 2, "data": ["said", text], "nsp": "/"}, "opts": opts}
        fields = ("uid", uid, "nsp", more.get("nsp", "/"), "type", "3", "data", json.dumps(data))
        own = () if number is None else ("hf", number)
        found = await self._redis.command("XADD", self._name, "*", *map(str, (*fields, *own)))
        assert isinstance(found, bytes)
        return found.decode()


def state(place: Place) -> bytes:
    socket = SavedSocket(namespace="/", id="me", auth={}, rooms=["lobby"], data={}, place=place)
    return encode_sockets([socket])[0]


def left(place: Place) -> Write:
    sent = (Message('2["said","in the record"]'),)
    return Write(1, 1, sent, 0, 1, (), (), 1, state(place), is_whole=True)


async def test_client_hears_what_was_said_meanwhile_once_and_in_order(shared_redis: Redis) -> None:
    name = f"s{token_hex(4)}"
    adapter = RedisStreamsAdapter(shared_redis.url, stream_name=name, channel_prefix=name)
    io = Server(adapter=adapter, durable=True, path="/engine.io")
    redis = RedisConnection(RedisAddress.parse(shared_redis.url), Host())
    redis.open()
    stream = Stream(redis, name)
    meta = Meta(
        key="key",
        codec="json",
        transport="websocket",
        request=Handshake(),
        has_identity=False,
        expires_at=None,
    )
    async with client_of(io) as client, io.lifespan():
        with anyio.fail_after(20):
            while not adapter.is_up:
                await anyio.sleep(0.01)
            heard = await stream.say("gone", "heard before", 1)
            records = adapter.records(Host(), seconds=60, tombstone_seconds=60)
            await records.run("gone", [Put("session", left(Place("gone", heard, 2)), meta.encode())])
            await stream.say("gone", "handed over before it died", 2)
            await stream.say("gone", "one", 3)
            await stream.say("other", "two", rooms=("lobby",))
            await stream.say("other", "of another room", rooms=("kitchen",))
            await stream.say("other", "without me", except_=["lobby"])
            await stream.say("other", "volatile", flags={"volatile": True})
            await stream.say("other", "elsewhere", nsp="/other")
            await stream.say("other", "three", rooms=("me", "kitchen"))
            peer = CountingPeer(client)
            peer.sid, peer.key, peer.said, peer.acknowledged = "session", "key", ["0"], 1
            carrier = await peer.attach("websocket")
            assert isinstance(carrier, WebSocketCarrier)
            wanted = ["in the record", "one", "two", "three"]
            assert await carrier.take(4) == [f'2["said","{text}"]' for text in wanted]
            # What could not be said at once comes late; and what this node says itself comes once.
            await stream.say("gone", "late, and heard before", 2)
            await stream.say("gone", "late", 4)
            await io.to("lobby").emit("said", "mine")
            last = set(await carrier.take(2))
            assert last == {'2["said","late"]', '2["said","mine"]'}
            await stream.say("other", "end")
            assert await carrier.take(1) == ['2["said","end"]']
        records.close()
    redis.close()
