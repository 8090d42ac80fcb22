"""The random network is only worth what it finds: each of these sessions breaks one rule, and must be caught."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from random_network import EndingNetwork, RandomNetwork, schedules

from holdfast.engine.session import Carrier, ClientSession, CloseReason, ServerSession
from holdfast.engine.session.streams import Inbox
from holdfast.engine.wire.packet import Packet, PacketType


class ForgetsOnWrite(ServerSession):
    """Rule 7: a message is kept until it is acknowledged, not until it is written."""

    def packets_to_send(self, carrier, *, now, limit_bytes=None):  # type: ignore[no-untyped-def]
        packets = super().packets_to_send(carrier, now=now, limit_bytes=limit_bytes)
        self.outbox.acknowledged = self.outbox.written
        self._forget()
        return packets


class ForgetsWhatTheWriterOwes(ServerSession):
    """Rule 5: an acknowledgement through an old carrier must not renumber the lagging new one."""

    def _forget(self) -> None:
        self.outbox.forget(self.outbox.acknowledged)
        if self.writer is not None:
            self.writer.written = max(self.writer.written, self.outbox.acknowledged)


class TakesStaleAttaches(ServerSession):
    """Rule 6: a lower carrier number never takes over writing."""

    def _check_number(self, number: int, transport: str) -> None:
        pass


class CountsFromWhatItHolds(ServerSession):
    """Rule 4: a late POST between attach and first message renumbers those who assume."""

    def receive(self, carrier: Carrier, packet: Packet, now: float) -> str | bytes | None:
        if (
            packet[0] is PacketType.MESSAGE
            and carrier.number is not None
            and carrier.number > 1
            and not hasattr(self, f"_counted{carrier.number}")
        ):
            setattr(self, f"_counted{carrier.number}", True)
            carrier.next_in = self.inbox.received + 1
        return super().receive(carrier, packet, now)


class _Repeating(Inbox):
    def take(self, number: int) -> bool:
        super().take(number)
        return True


class RunsRepeats(ServerSession):
    """Rule 7: a POST that comes twice is acknowledged, not run again."""

    def __init__(self, **options) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**options)
        self.inbox = _Repeating()


class TrustsTheAnswerToAPost(ServerSession):
    """Section 6: a client that has a WebSocket now does not POST again when the answer is lost."""

    def answer_to_post(self) -> str:
        self.told()
        return super().answer_to_post()


class DetachesForTheOld(ServerSession):
    """Rule 6: the late end of a replaced carrier changes nothing."""

    def detach(self, carrier, *, now, reason=CloseReason.TRANSPORT_CLOSE):  # type: ignore[no-untyped-def]
        if self.writer is not None:
            carrier = self.writer
        return super().detach(carrier, now=now, reason=reason)


class ForgetsToState(ClientSession):
    """Rule 3: numbering goes on from the server's answer, not from what the client remembers."""

    def _receive_answer(self, carrier, data):  # type: ignore[no-untyped-def]
        super()._receive_answer(carrier, data)
        if carrier is self.writer and carrier.control:
            carrier.control[-1] = f"9{self.outbox.last + 1}"


class KeepsAfterItsEnd(ServerSession):
    """What is over keeps nothing."""

    def _end(self, life, reason):  # type: ignore[no-untyped-def]
        self.life = life
        self.reason = self.reason or reason


class KeepsMoreThanItMay(ServerSession):
    """The bound holds for what one call brings, too."""

    def _overrun(self, message: str) -> None:
        if self.outbox.size_bytes > self.limit_bytes + 2_000:
            super()._overrun(message)


class EndsBeforeItHasSaidAll(ServerSession):
    """What was sent before the end still goes out."""

    def close(self, reason, *, now):  # type: ignore[no-untyped-def]
        super().close(reason, now=now)
        self.fail(reason)


class AcknowledgesWhatItDoesNotHandOver(ServerSession):
    """Acknowledged is what the application has."""

    def receive(self, carrier: Carrier, packet: Packet, now: float) -> str | bytes | None:
        message = super().receive(carrier, packet, now)
        return None if self.inbox.received == 3 else message


def found(
    opening: str, server: type[ServerSession], client: type[ClientSession], kind: type[RandomNetwork]
) -> bool:
    class Faulty(kind):
        server_class = server
        client_class = client

    def breaks(schedule: list[tuple[str, int]]) -> bool:
        network = Faulty(opening)
        try:
            for kind, choice in schedule:
                network.step(kind, choice)
            network.heal()
        except Exception:
            return True
        return False

    try:
        find(
            schedules(ends=kind is EndingNetwork),
            breaks,
            settings=settings(
                max_examples=3_000,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except NoSuchExample:
        return False
    return True


@pytest.mark.parametrize(
    ("server", "client"),
    [
        (ForgetsOnWrite, ClientSession),
        (ForgetsWhatTheWriterOwes, ClientSession),
        (TakesStaleAttaches, ClientSession),
        (CountsFromWhatItHolds, ClientSession),
        (RunsRepeats, ClientSession),
        (ServerSession, ForgetsToState),
        (DetachesForTheOld, ClientSession),
        pytest.param(
            TrustsTheAnswerToAPost, ClientSession, marks=[pytest.mark.slow, pytest.mark.timeout(240)]
        ),
    ],
    ids=lambda fault: fault.__name__,
)
def test_the_random_network_finds_it(server: type[ServerSession], client: type[ClientSession]) -> None:
    assert any(found(opening, server, client, RandomNetwork) for opening in ("websocket", "polling"))


@pytest.mark.parametrize(
    "server",
    [KeepsAfterItsEnd, KeepsMoreThanItMay, EndsBeforeItHasSaidAll, AcknowledgesWhatItDoesNotHandOver],
    ids=lambda fault: fault.__name__,
)
def test_the_random_network_in_which_sessions_end_finds_it(server: type[ServerSession]) -> None:
    assert found("websocket", server, ClientSession, EndingNetwork)
