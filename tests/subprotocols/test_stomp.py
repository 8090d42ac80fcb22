from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from holdfast.engine.settings import StompSettings
from holdfast.engine.subprotocols.stomp import (
    Acknowledge,
    Action,
    Commit,
    Connect,
    Disconnect,
    Receipt,
    SendTo,
    StompConnection,
    StompError,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from holdfast.engine.subprotocols.stomp_frames import Frame

NOW = 100.0
CONNECT = "CONNECT\naccept-version:1.2\nhost:h\n\n\0"


class Side:
    """A server's side of one connection, and what it has understood."""

    def __init__(self, *, heart_beat: float = 0, now: float = NOW, **limits: float) -> None:
        settings = replace(StompSettings(), **limits)
        self.connection: StompConnection[str] = StompConnection(settings, heart_beat=heart_beat, now=now)

    def take(self, data: str | bytes, now: float = NOW) -> list[Action[str]]:
        return list(self.connection.receive(data, now=now))

    def one(self, data: str) -> Action[str]:
        [action] = self.take(data)
        return action

    def refused(self, data: str) -> StompError:
        with pytest.raises(StompError) as raised:
            self.take(data)
        assert self.connection.is_ended
        return raised.value


def opened(version: str = "1.2", **limits: float) -> Side:
    side = Side(**limits)
    side.one(f"CONNECT\naccept-version:{version}\nhost:h\n\n\0")
    side.connection.accept(session="s", server="x")
    return side


def frame(command: str, **headers: str) -> str:
    lines = [f"{name.replace('_', '-')}:{value}" for name, value in headers.items()]
    return "\n".join([command, *lines, "", "\0"])


def subscribed(side: Side, ack: str = "auto", id: str = "1") -> Subscription[str]:
    action = side.one(frame("SUBSCRIBE", id=id, destination="/queue/a", ack=ack))
    assert isinstance(action, Subscribe)
    return action.subscription


# --- connecting


@pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
def test_the_highest_shared_version_is_spoken(command: str) -> None:
    side = Side()
    action = side.one(f"{command}\naccept-version:1.0, 1.1,9.9\nhost:h\nlogin:me\npasscode:secret\n\n\0")
    assert isinstance(action, Connect)
    assert (action.login, action.passcode, action.host) == ("me", "secret", "h")
    assert "secret" not in repr(action)
    assert side.connection.accept(session="s", server="x", user="me") == Frame(
        "CONNECTED",
        {"version": "1.1", "session": "s", "server": "x", "heart-beat": "0,0", "user-name": "me"},
    )


def test_a_client_that_names_no_version_speaks_1_0_which_has_no_heart_beats() -> None:
    side = Side(heart_beat=5)
    side.one("CONNECT\nlogin: me\n\n\0")
    assert side.connection.accept(session="s", server="x").headers == {
        "version": "1.0",
        "session": "s",
        "server": "x",
    }


@pytest.mark.parametrize(
    "data",
    [
        "CONNECT\naccept-version:2.0\n\n\0",
        "CONNECT\naccept-version:1.2\nheart-beat:1\n\n\0",
        "CONNECT\naccept-version:1.2\nheart-beat:-1,0\n\n\0",
        "CONNECT\naccept-version:1.2\n\nbody\0",
        "SEND\ndestination:/queue/a\n\n\0",
        "CONNECTED\nversion:1.2\n\n\0",
    ],
)
def test_what_cannot_open_a_connection_is_refused(data: str) -> None:
    Side().refused(data)


def test_connect_comes_once() -> None:
    opened().refused(CONNECT)


def test_frames_behind_connect_in_one_message_are_understood_in_its_version() -> None:
    send = "SEND\ndestination:/queue/a\\cb\n\nx\0"
    actions = Side().take(CONNECT + "\n" + send)
    assert isinstance(actions[1], SendTo)
    assert actions[1].destination == "/queue/a:b"


# --- sending


def test_send_hands_on_the_clients_headers_and_not_the_protocols() -> None:
    action = opened().one("SEND\ndestination:/queue/a\nreceipt:r\ncontent-length:1\nx:y\n\nb\0")
    assert action == SendTo("/queue/a", {"x": "y"}, b"b", "r")


def test_a_frame_without_what_it_needs_is_refused_with_its_receipt() -> None:
    assert opened().refused(frame("SEND", receipt="r")).receipt == "r"
    assert "destination" in str(opened().refused("SEND\ndestination:\n\n\0"))


def test_a_broken_frame_ends_the_connection_after_those_before_it() -> None:
    side = opened()
    coming = side.connection.receive(frame("SEND", destination="/queue/a") + "SEND\0", now=NOW)
    assert isinstance(next(coming), SendTo)
    with pytest.raises(StompError, match="before its headers"):
        next(coming)
    assert side.take(frame("SEND", destination="/queue/a")) == []


def test_a_frame_too_large_names_the_setting() -> None:
    error = opened(max_frame_bytes=3).refused("SEND\ndestination:/queue/a\n\nabcd\0")
    assert "max_frame_bytes" in str(error)


# --- subscribing and acknowledging


def test_a_delivery_of_mode_auto_needs_no_ack() -> None:
    side = opened()
    subscription = subscribed(side)
    assert side.connection.deliver(subscription, "a") == {"message-id": "1", "subscription": "1"}
    assert side.connection.unacked == 0
    side.refused(frame("ACK", id="1"))


def test_ack_of_mode_client_counts_for_all_before_it() -> None:
    side = opened()
    subscription = subscribed(side, "client")
    headers = [side.connection.deliver(subscription, what) for what in "abc"]
    assert headers[1] == {"message-id": "2", "subscription": "1", "ack": "2"}
    action = side.one(frame("ACK", id="2", receipt="r"))
    assert action == Acknowledge("2", True, True, "r")
    assert side.connection.settle("2") == ["a", "b"]
    assert (side.connection.unacked, list(subscription.unacked)) == (1, ["3"])
    assert side.connection.settle("2") == []


def test_ack_of_mode_client_individual_counts_for_one() -> None:
    side = opened()
    subscription = subscribed(side, "client-individual")
    for what in "abc":
        side.connection.deliver(subscription, what)
    assert side.one(frame("NACK", id="2", requeue="false")) == Acknowledge("2", False, False, None)
    assert side.connection.settle("2") == ["b"]
    assert list(subscription.unacked) == ["1", "3"]


def test_in_1_1_an_ack_names_the_message_and_in_1_0_there_is_no_nack() -> None:
    side = opened("1.1")
    side.connection.deliver(subscribed(side, "client"), "a")
    assert side.one(frame("ACK", subscription="1", message_id="1")) == Acknowledge("1", True, True, None)
    side = opened("1.0")
    side.connection.deliver(subscribed(side, "client"), "a")
    assert isinstance(side.one(frame("ACK", message_id="1")), Acknowledge)
    side.refused(frame("NACK", message_id="1"))


def test_a_client_of_1_0_subscribes_by_destination() -> None:
    side = opened("1.0")
    action = side.one(frame("SUBSCRIBE", destination="/queue/a"))
    assert isinstance(action, Subscribe)
    assert side.connection.deliver(action.subscription, "a") == {"message-id": "1"}
    assert isinstance(side.one(frame("UNSUBSCRIBE", destination="/queue/a")), Unsubscribe)
    side.refused(frame("UNSUBSCRIBE", destination="/queue/a"))


@pytest.mark.parametrize(
    "headers",
    [{"id": "1"}, {"destination": "/queue/a"}, {"id": "1", "destination": "/queue/a", "ack": "never"}],
)
def test_a_subscription_needs_an_id_a_destination_and_a_mode_that_exists(headers: dict[str, str]) -> None:
    opened().refused(frame("SUBSCRIBE", **headers))


def test_an_id_is_for_one_subscription_and_there_are_only_so_many() -> None:
    side = opened()
    subscribed(side)
    side.refused(frame("SUBSCRIBE", id="1", destination="/queue/b"))
    side = opened(max_subscriptions=1)
    subscribed(side)
    error = side.refused(frame("SUBSCRIBE", id="2", destination="/queue/b", receipt="r"))
    assert "max_subscriptions" in str(error)
    assert error.receipt == "r"


def test_what_was_not_acknowledged_is_in_the_subscription_that_ends() -> None:
    side = opened()
    subscription = subscribed(side, "client")
    side.connection.deliver(subscription, "a")
    action = side.one(frame("UNSUBSCRIBE", id="1", receipt="r"))
    assert action == Unsubscribe(subscription, "r")
    assert (subscription.is_open, subscription.unacked) == (False, {"1": "a"})
    assert side.connection.unacked == 0
    side.refused(frame("ACK", id="1"))


def test_unsubscribe_needs_an_id() -> None:
    opened().refused(frame("UNSUBSCRIBE", destination="/queue/a"))


def test_we_may_end_a_subscription_ourselves() -> None:
    side = opened()
    subscription = subscribed(side)
    for _ in range(2):
        side.connection.end_subscription(subscription)
    assert (side.connection.subscriptions, subscription.is_open) == ({}, False)


# --- transactions


def test_what_is_sent_in_a_transaction_means_nothing_before_commit() -> None:
    side = opened()
    side.connection.deliver(subscribed(side, "client"), "a")
    assert side.take(frame("BEGIN", transaction="t")) == []
    assert side.one(frame("SEND", transaction="t", destination="/queue/a", receipt="r")) == Receipt("r")
    assert side.take(frame("ACK", transaction="t", id="1")) == []
    assert side.one(frame("COMMIT", transaction="t", receipt="c")) == Commit(
        (SendTo("/queue/a", {}, b"", "r"), Acknowledge("1", True, True, None)), "c"
    )


def test_what_is_aborted_never_was() -> None:
    side = opened()
    assert side.one(frame("BEGIN", transaction="t", receipt="b")) == Receipt("b")
    side.take(frame("SEND", transaction="t", destination="/queue/a"))
    assert side.one(frame("ABORT", transaction="t", receipt="a")) == Receipt("a")
    side.refused(frame("COMMIT", transaction="t"))


@pytest.mark.parametrize(
    "data",
    [
        frame("BEGIN", transaction="t") * 2,
        frame("BEGIN", transaction="t") + frame("BEGIN", transaction="u"),
        frame("SEND", transaction="t", destination="/queue/a"),
        frame("BEGIN", transaction="t") + frame("SEND", transaction="t", destination="/queue/a") * 3,
        frame("BEGIN", transaction="t") + f"SEND\ndestination:/a\ntransaction:t\n\n{'x' * 2000}\0",
        frame("ABORT", transaction="t"),
        frame("BEGIN"),
    ],
)
def test_transactions_have_names_and_bounds(data: str) -> None:
    side = opened(max_transactions=1, max_transaction_frames=2, max_transaction_bytes=2000)
    with pytest.raises(StompError, match=r"transaction"):
        side.take(data)


# --- the end


def test_nothing_is_taken_after_disconnect_or_an_error() -> None:
    side = opened()
    both = frame("DISCONNECT", receipt="r") + frame("SEND", destination="/queue/a")
    assert side.take(both) == [Disconnect("r")]
    side = opened()
    assert side.connection.error("what\n is wrong", receipt="r", body="more") == Frame(
        "ERROR",
        {"message": "what is wrong", "receipt-id": "r", "content-type": "text/plain"},
        b"more",
    )
    assert side.connection.error("x").headers == {"message": "x"}
    assert side.connection.error("a\0b\ud800").headers == {"message": "a\ufffdb?"}
    assert side.take(frame("SEND", destination="/queue/a")) == []


def test_for_who_hands_frames_on_only_connect_is_understood() -> None:
    side = Side()
    connection = side.connection
    send = frame("SEND", destination="/queue/a", transaction="unknown")
    data = CONNECT + send + frame("ACK", id="77") + frame("DISCONNECT", receipt="r") + send
    connect, *frames = connection.pass_on(data, now=NOW)
    assert isinstance(connect, Connect)
    assert [each.command for each in frames if isinstance(each, Frame)] == ["SEND", "ACK", "DISCONNECT"]
    assert list(connection.pass_on(send, now=NOW)) == []


@pytest.mark.parametrize(
    "data", [frame("SEND", destination="/a"), CONNECT * 2, CONNECT + "ACK\n\nx\0", CONNECT + "\0"]
)
def test_what_is_handed_on_has_the_form_of_frames(data: str) -> None:
    connection = Side().connection
    with pytest.raises(StompError):
        list(connection.pass_on(data, now=NOW))
    assert connection.is_ended


# --- heart-beats


def beating(server: float, client: str) -> Side:
    side = Side(heart_beat=server)
    side.one(f"CONNECT\naccept-version:1.2\nheart-beat:{client}\n\n\0")
    seconds = side.connection.accept(session="s", server="x").headers["heart-beat"]
    assert seconds == f"{round(server * 1000)},{round(server * 1000)}"
    return side


def test_connect_must_come_in_time() -> None:
    connection = Side(connect_timeout=10).connection
    assert connection.deadline() == NOW + 10
    assert connection.check_time(NOW + 9) is False
    with pytest.raises(StompError, match="connect_timeout"):
        connection.check_time(NOW + 10)


@pytest.mark.parametrize(
    ("server", "client", "sent", "silent"),
    [
        (10, "0,0", None, None),
        (0, "5000,5000", None, None),
        (10, "0,5000", 10, None),
        (10, "0,20000", 20, None),
        (10, "5000,0", None, 20),
        (10, "20000,0", None, 40),
    ],
)
def test_each_direction_has_the_larger_of_both_intervals(
    server: float, client: str, sent: float | None, silent: float | None
) -> None:
    connection = beating(server, client).connection
    due = [NOW + seconds for seconds in (sent, silent) if seconds is not None]
    assert connection.deadline() == min(due, default=float("inf"))


def test_a_heart_beat_is_due_when_nothing_was_sent_for_the_interval() -> None:
    connection = beating(10, "0,10000").connection
    connection.sent(NOW + 5)
    assert connection.check_time(NOW + 14) is False
    assert connection.check_time(NOW + 15) is True


def test_whatever_comes_is_a_heart_beat_and_silence_is_death() -> None:
    side = beating(10, "10000,0")
    side.take("\n", now=NOW + 15)
    assert side.connection.check_time(NOW + 34) is False
    side.connection.heard(NOW + 16)
    assert side.connection.check_time(NOW + 35) is False
    with pytest.raises(StompError, match="heart-beat"):
        side.connection.check_time(NOW + 36)
    assert side.connection.is_ended


# --- anything


def test_whatever_a_client_says_is_understood_or_refused() -> None:
    random = Random(7)
    values = {
        "id": ["1", "2", "3"],
        "destination": ["/queue/a"],
        "ack": ["auto", "client", "client-individual", "client", "never"],
        "transaction": ["t", "u"],
        "receipt": ["r"],
        "message-id": ["1", "2"],
    }
    commands = ("SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT")
    understood = refused = 0
    for _ in range(3_000):
        side = opened(random.choice(["1.0", "1.1", "1.2"]), max_subscriptions=2, max_transactions=2)
        connection = side.connection
        try:
            for _ in range(random.randint(1, 12)):
                command = random.choice(commands)
                # What a transaction is needed for, and seldom anything else.
                odds = {"transaction": 0.9 if command in ("BEGIN", "COMMIT", "ABORT") else 0.1}
                names = [name for name in values if random.random() < odds.get(name, 0.9)]
                headers = {name: random.choice(values[name]) for name in names}
                lines = [f"{name}:{value}" for name, value in headers.items()]
                for action in side.take("\n".join([command, *lines, "", "\0"])):
                    understood += 1
                    if isinstance(action, Subscribe):
                        for what in "ab":
                            connection.deliver(action.subscription, what)
                    acks = action.actions if isinstance(action, Commit) else (action,)
                    for each in acks:
                        if isinstance(each, Acknowledge):
                            connection.settle(each.id)
                waiting = [len(each.unacked) for each in connection.subscriptions.values()]
                assert connection.unacked == sum(waiting)
        except StompError:
            refused += 1
    assert understood > 1_000
    assert refused > 1_000


def test_bytes_of_a_client_that_has_only_texts_are_a_list_of_their_numbers() -> None:
    side = opened()
    data = b"SEND\ndestination:/queue/a\ncontent-length:2\n\n\xff\x00\0"
    assert side.one(",".join(map(str, data))) == SendTo("/queue/a", {}, b"\xff\x00", None)
    # Within a frame, such a text is what it says.
    side.take("SEND\ndestination:/queue/a\n\n")
    assert side.one("50,51\0") == SendTo("/queue/a", {}, b"50,51", None)
    assert "not a list of bytes" in str(side.refused("12,x"))


def test_bytes_that_their_client_has_lost_are_refused_at_once() -> None:
    assert "bytes do not travel by SockJS" in str(opened().refused("[object ArrayBuffer]"))
