"""Links between the workers of a server: who comes, who goes, what is said."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from event_peer import until

from holdfast.engine.errors import RemoteProtocolError
from holdfast.engine.host import Host
from holdfast.engine.node import NodeName
from holdfast.transports.values import pack
from holdfast.transports.workers import link as link_module
from holdfast.transports.workers import mesh as mesh_module
from holdfast.transports.workers.link import Link
from holdfast.transports.workers.mesh import FORWARD, Mesh
from holdfast.transports.workers.place import Place

pytestmark = pytest.mark.anyio


class Worker:
    """One, and what it has heard."""

    def __init__(self, place: Place) -> None:
        self.mesh = Mesh(place, NodeName(), Host())
        self.mesh.add(FORWARD, self)
        self.heard: list[tuple[str, bytes]] = []
        self.gone: list[str] = []

    @property
    def name(self) -> str:
        return self.mesh.node

    def linked(self, link: Link) -> None:
        pass

    def frame(self, link: Link, data: bytes) -> None:
        if data == b"nonsense":
            raise RemoteProtocolError("it makes no sense")
        self.heard.append((link.name, data))

    def unlinked(self, link: Link) -> None:
        self.gone.append(link.name)

    def say(self, other: Worker, data: bytes) -> None:
        self.mesh.links[other.name].send(FORWARD, data)


@asynccontextmanager
async def workers(base: Path, number: int) -> AsyncIterator[list[Worker]]:
    """So many, started at the same time."""
    place = Place(base, "x")
    found = [Worker(place) for _ in range(number)]
    try:
        async with anyio.create_task_group() as tasks:
            for worker in found:
                tasks.start_soon(worker.mesh.start)
        yield found
    finally:
        for worker in found:
            worker.mesh.stop()
        await until(lambda: not place.directory().exists())


async def test_each_has_one_link_to_each_whoever_comes_first(base: Path) -> None:
    async with workers(base, 5) as some:
        for worker in some:
            assert set(worker.mesh.links) == {other.name for other in some} - {worker.name}
            assert worker.mesh.is_ready
        for worker in some:
            for other in some:
                if other is not worker:
                    worker.say(other, worker.name.encode())
        await until(lambda: all(len(worker.heard) == 4 for worker in some))
        for worker in some:
            assert all(name.encode() == data for name, data in worker.heard)
            assert len(set(worker.heard)) == 4


async def test_one_that_comes_later_is_known_to_all_when_it_has_started(base: Path) -> None:
    async with workers(base, 2) as some:
        for _ in range(4):
            late = Worker(Place(base, "x"))
            await late.mesh.start()
            assert len(late.mesh.links) == len(some)
            assert all(late.name in worker.mesh.links for worker in some)
            some.append(late)


async def test_one_that_goes_is_missed_at_once_and_may_come_again(base: Path) -> None:
    async with workers(base, 3) as (one, two, three):
        two.mesh.stop()
        await until(lambda: one.gone == three.gone == [two.name])
        assert set(one.mesh.links) == {three.name}
        await until(lambda: not two.mesh.is_ready)
        await two.mesh.start()
        assert set(two.mesh.links) == {one.name, three.name}
        one.say(two, b"again")
        await until(lambda: bool(two.heard))


async def test_order_is_kept_whatever_the_sizes_and_what_waits_is_let_through(base: Path) -> None:
    async with workers(base, 2) as (one, two):
        sizes = [0, 1, 100_000, 3, 1_000_000, 5, 300_000, 2] * 3
        said = [bytes([at]) * size for at, size in enumerate(sizes)]
        link = one.mesh.links[two.name]
        for data in said:
            one.say(two, data)
            two.say(one, data)
            await link.wait_for_room()
        await until(lambda: len(one.heard) == len(two.heard) == len(said))
        assert [data for _, data in two.heard] == said
        assert [data for _, data in one.heard] == said
        assert link.has_room


async def test_one_that_pauses_misses_nothing(base: Path) -> None:
    async with workers(base, 2) as (one, two):
        link = two.mesh.links[one.name]
        link.pause()
        link.pause()
        for number in range(100):
            one.say(two, bytes([number]) * 50_000)
        one_link = one.mesh.links[two.name]
        assert not one_link.has_room
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one_link.wait_for_room)
            await anyio.lowlevel.checkpoint()
            assert two.heard == []
            link.go_on()
            link.go_on()
        await until(lambda: len(two.heard) == 100)
        assert [data[:1] for _, data in two.heard] == [bytes([number]) for number in range(100)]


@pytest.mark.parametrize("how", ["bytes", "time"])
async def test_one_that_reads_nothing_is_given_up_and_nobody_waits_for_it(
    base: Path, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        link_module, "LIMIT_BYTES" if how == "bytes" else "_STALLED", 6_000_000 if how == "bytes" else 0.1
    )
    async with workers(base, 3) as (one, two, three):
        two.mesh.links[one.name].pause()
        link = one.mesh.links[two.name]
        while link.is_open and link.has_room:
            link.send(FORWARD, bytes(1_000_000))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.wait_for_room)
            if how == "bytes":
                while link.is_open:
                    link.send(FORWARD, bytes(1_000_000))
        await until(lambda: one.gone == [two.name])
        assert "is given up" in caplog.text
        link.send(FORWARD, b"nobody hears")
        one.say(three, b"still there")
        await until(lambda: bool(three.heard))
        two.mesh.links[one.name].go_on()
        # It finds out, and they meet again.
        await until(lambda: two.gone == [one.name])
        assert await one.mesh.finds(two.name) is not None


async def test_worker_is_found_as_soon_as_its_socket_is_there_and_a_dead_one_is_not_waited_for(
    base: Path,
) -> None:
    async with workers(base, 1) as (one,):
        place = Place(base, "x")
        place.listen("deaddead").close()
        assert await one.mesh.finds("deaddead") is None
        assert place.others(one.name) == []
        assert await one.mesh.finds("neverwas") is None
        late = Worker(place)
        late.mesh.begin()
        await until(lambda: place.has(late.name))
        assert await one.mesh.finds(late.name) is not None
        late.mesh.stop()


async def test_one_who_makes_no_sense_is_not_listened_to(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workers(base, 2) as (one, two):
        one.say(two, b"nonsense")
        await until(lambda: one.gone == [two.name])
        assert "it makes no sense" in caplog.text
        assert await one.mesh.finds(two.name) is not None


@pytest.mark.parametrize(
    "hello",
    [pack([99, "aaaaaaaa", False]), pack([1, "../../xx", False]), pack([1, 5, False]), pack(5), b"\xc1", b""],
)
async def test_stranger_is_sent_away(base: Path, hello: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "holdfast.workers")
    async with workers(base, 1) as (one,):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(Place(base, "x").directory() / one.name))
            stranger.sendall(len(hello).to_bytes(4, "big") + hello)
            stranger.setblocking(False)
            await anyio.wait_readable(stranger)
            assert stranger.recv(100) == b""
        assert one.mesh.links == {}
        assert "another version" in caplog.text


async def test_who_says_too_much_at_once_is_sent_away(base: Path) -> None:
    async with workers(base, 1) as (one,):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(Place(base, "x").directory() / one.name))
            stranger.sendall(b"\xff\xff\xff\xff")
            stranger.setblocking(False)
            await anyio.wait_readable(stranger)
            assert stranger.recv(100) == b""


async def test_who_says_nothing_is_sent_away(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "_HELLO_SECONDS", 0.1)
    async with workers(base, 1) as (one,):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(Place(base, "x").directory() / one.name))
            stranger.setblocking(False)
            await anyio.wait_readable(stranger)
            assert stranger.recv(100) == b""


async def test_what_prevents_it_is_said_with_the_remedy_and_waited_for_by_nobody(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(base, "x")
    place.directory().mkdir(mode=0o755)
    worker = Worker(place)
    with anyio.fail_after(5):
        await worker.mesh.start()
        await worker.mesh.start()
    assert worker.mesh.is_ready
    assert await worker.mesh.finds("somebody") is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    for words in ("is open to other users", "workers=", "sticky"):
        assert words in record.message
    worker.mesh.stop()
