"""An attachment whose carrier fails: nothing is handed to it any more."""

from __future__ import annotations

import asyncio

import pytest
from asgi_driver import settled

from holdfast.engine.host import Host
from holdfast.engine.live.attachment import Attachment
from holdfast.engine.session import Carrier, Life, Role
from holdfast.engine.wire.message import Message

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """On Trio nothing is written through."""
    return "asyncio"


class Talker:
    """A session with nothing of its own to say."""

    life = Life.OPEN

    def __init__(self, host: Host) -> None:
        self.host = host

    def has_packets(self, attachment: Attachment) -> bool:
        return False

    def take(self, attachment: Attachment, limit_bytes: int | None = None) -> list[str | Message]:
        return []


async def begun_host() -> Host:
    host = Host()
    host.begin(asyncio.sleep, 0)
    await settled()
    return host


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("waits", [False, True])
async def test_after_a_write_that_failed_nothing_more_is_written_through(waits: bool, ends: bool) -> None:
    host, wire = await begun_host(), list[str]()
    attachment = Attachment(Carrier("websocket", Role.WRITER), Talker(host))

    async def write(packets: list[str | Message]) -> None: ...

    async def through(messages: list[Message]) -> None:
        if waits:
            await asyncio.sleep(0)
        if wire:
            raise OSError("the peer has left")
        wire.extend(str(message.data) for message in messages)

    attachment.begin(write, through=through, ends=ends)
    for text in ("first", "second"):
        write_now = attachment.write_now
        assert write_now is not None
        write_now([Message(text)])
        await settled()
    assert wire == ["first"]
    # What has come of the peer before is still read where it is read at all.
    assert attachment.is_cut == ends
    assert attachment.write_now is None
