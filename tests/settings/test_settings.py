"""Every setting is checked when it is made, and says what is allowed."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from holdfast import Cookie, Engine, Server, Session, Settings
from holdfast.engine.settings.rules import rule_of

SECONDS = [field.name for field in fields(Settings) if rule_of(field).unit == "s"]
SIZES = [field.name for field in fields(Settings) if rule_of(field).unit == "bytes"]
COUNTS = [name for name in (field.name for field in fields(Settings)) if name.startswith("max_")]
COUNTS = [name for name in COUNTS if name not in SECONDS and name not in SIZES]
SWITCHES = [field.name for field in fields(Settings) if type(field.default) is bool]


async def function(session: Session) -> None:
    del session


def test_every_setting_is_of_a_kind_that_is_checked() -> None:
    others = {
        "transports",
        "origins",
        "cors",
        "cookie",
        "when_full",
        "volatile",
        "trusted_proxies",
        "workers",
    }
    assert {*SECONDS, *SIZES, *COUNTS, *SWITCHES, *others} == {field.name for field in fields(Settings)}
    assert len(SECONDS) > 8
    assert len(SIZES) == 8
    assert len(COUNTS) == 12
    assert len(SWITCHES) == 6


def test_defaults_are_those_of_socketio_for_plain_peers_and_quicker_for_counting_ones() -> None:
    settings = Settings()
    assert (settings.ping_interval, settings.ping_timeout) == (25, 20)
    assert (settings.counting_ping_interval, settings.counting_ping_timeout) == (10, 5)
    assert (settings.max_payload, settings.connect_timeout, settings.upgrade_timeout) == (1_000_000, 45, 10)
    assert settings.transports == ("websocket", "stream", "polling")


def refused(name: str, value: object) -> tuple[type[Exception], str]:
    with pytest.raises((TypeError, ValueError)) as caught:
        Settings(**{name: value})
    return caught.type, str(caught.value)


@pytest.mark.parametrize("name", SECONDS)
def test_time_is_a_number_of_seconds_of_a_sensible_length(name: str) -> None:
    for value in (0.001, 1, 2.5, 3600):
        assert getattr(Settings(**{name: value}), name) == value
    for value in ("25", True, False, (25, 5), 1j):
        kind, text = refused(name, value)
        assert kind is TypeError
        assert f"setting {name}={value!r}: must be a number of seconds from 0.001 to " in text
    for value in (0, -1, 0.0001, float("nan"), float("inf"), -float("inf"), 10**9, 10**400):
        kind, text = refused(name, value)
        assert kind is ValueError
        assert text.startswith(f"setting {name}=")
        assert "must be a number of seconds from 0.001 to " in text


def test_only_what_may_be_without_limit_may_be_none() -> None:
    assert Settings(ack_timeout=None).ack_timeout is None
    for name in {field.name for field in fields(Settings)} - {"ack_timeout", "origins", "cookie", "workers"}:
        assert refused(name, None)[0] is TypeError


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout", "connect_timeout", "upgrade_timeout"])
def test_milliseconds_are_recognised_as_what_they_are(name: str) -> None:
    assert refused(name, 25_000)[1].endswith("; is that milliseconds? 25 s")
    assert "milliseconds" not in refused(name, -25_000)[1]


def test_duration_of_a_recovery_in_milliseconds_is_recognised_too() -> None:
    assert refused("max_disconnection_duration", 120_000)[1].endswith("; is that milliseconds? 120 s")


@pytest.mark.parametrize("name", SIZES + COUNTS)
def test_size_and_number_are_whole_and_at_least_one(name: str) -> None:
    assert getattr(Settings(**{name: 1}), name) == 1
    for value in (1e6, 1.0, "1", True):
        kind, text = refused(name, value)
        assert kind is TypeError
        assert f"setting {name}={value!r}: must be a whole number" in text
        assert ("bytes" in text) == (name in SIZES)
    for value in (0, -1, 2**53):
        assert refused(name, value)[0] is ValueError


@pytest.mark.parametrize("name", SWITCHES)
def test_switch_is_true_or_false_and_no_number(name: str) -> None:
    for value in (True, False):
        assert getattr(Settings(**{name: value}), name) is value
    for value in (0, 1, "yes"):
        assert refused(name, value) == (TypeError, f"setting {name}={value!r}: must be True or False")


def test_object_for_the_recovery_is_told_where_its_parts_are() -> None:
    value = {"maxDisconnectionDuration": 1000}
    assert "max_disconnection_duration" in refused("connection_state_recovery", value)[1]


def test_long_value_is_not_shown_whole() -> None:
    assert len(refused("max_payload", "x" * 10_000)[1]) < 200


def test_transports_are_kept_in_the_order_of_preference() -> None:
    assert Settings(transports=["polling", "websocket", "polling"]).transports == ("websocket", "polling")
    assert Settings(transports={"stream"}).transports == ("stream",)  # pyright: ignore[reportArgumentType]


def test_transports_are_some_of_those_there_are() -> None:
    for value in ([], ["webtransport"], ["polling", "x"], ["Polling"], [["polling"]], [1]):
        kind, text = refused("transports", value)
        assert kind is ValueError
        assert "a list of one or more of 'websocket', 'stream', 'polling'" in text
    for value in ("polling", 1):
        assert refused("transports", value)[0] is TypeError


def test_workers_meet_by_themselves_or_in_a_directory_or_not_at_all() -> None:
    assert Settings().workers == "auto"
    assert Settings(workers=None).workers is None
    assert Settings(workers=Path("/run/app")).workers == "/run/app"
    assert refused("workers", "run/app")[0] is ValueError
    kind, text = refused("workers", 4)
    assert kind is TypeError
    assert "uvicorn --workers 4" in text
    assert refused("workers", True)[0] is TypeError


def test_cors_is_one_of_two_words() -> None:
    assert Settings(cors="app").cors == "app"
    assert refused("cors", "both") == (ValueError, 'setting cors=\'both\': must be "own" or "app"')
    kind, text = refused("cors", {"origin": "*", "credentials": True})
    assert kind is TypeError
    assert "cors.origin is the setting origins" in text
    assert refused("cors", True)[0] is TypeError


def test_credentials_are_not_for_everybody_and_not_for_a_middleware_that_does_not_ask_us() -> None:
    with pytest.raises(ValueError, match=r'credentials=True: must be False beside origins="\*"'):
        Settings(origins="*", credentials=True)
    with pytest.raises(ValueError, match="allow_credentials=True"):
        Settings(cors="app", credentials=True)


def test_cookie_is_a_cookie_or_the_name_of_one() -> None:
    assert Settings().cookie is None
    assert Settings(cookie="route").cookie == Cookie(name="route")
    assert Settings(cookie=Cookie(secure=True)).cookie == Cookie(secure=True)
    for value in (True, False, {"name": "io"}, 1):
        kind, text = refused("cookie", value)
        assert kind is TypeError
        assert "holdfast.Cookie(" in text
    assert refused("cookie", "a=b")[0] is ValueError


# -- made, changed, compared


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().ping_interval = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_settings_are_taken_by_name_only() -> None:
    with pytest.raises(TypeError):
        Settings(25.0)  # pyright: ignore[reportCallIssue]


def test_settings_are_values() -> None:
    settings = Settings(origins=["https://app.example/"], cookie="io", transports=["polling"])
    same = Settings(origins=("https://app.example",), cookie=Cookie(), transports=("polling",))
    assert settings == same
    assert hash(settings) == hash(same)
    assert copy.deepcopy(settings) == pickle.loads(pickle.dumps(settings)) == settings.replace() == settings


def test_replace_changes_what_it_names_and_checks_the_whole_again() -> None:
    settings = Settings(origins="*", ping_interval=3)
    changed = settings.replace(ping_timeout=2, origins=["https://app.example"])
    assert (changed.ping_interval, changed.ping_timeout) == (3, 2)
    assert settings.origins == "*"
    with pytest.raises(ValueError, match="credentials"):
        settings.replace(credentials=True)
    with pytest.raises(TypeError, match="did you mean 'ping_interval'"):
        settings.replace(ping_intervall=3)


@pytest.mark.parametrize("kind", ["server", "engine"])
def test_single_options_go_over_whole_settings(kind: str) -> None:
    def made(**options: Any) -> Settings:
        endpoint = Server(**options) if kind == "server" else Engine(function, **options)
        return endpoint.table.settings

    settings = Settings(ping_interval=3, ping_timeout=2)
    assert made() == Settings()
    assert made(settings=settings) == settings
    assert made(ping_interval=4) == Settings(ping_interval=4)
    assert made(settings=settings, ping_interval=4) == Settings(ping_interval=4, ping_timeout=2)
    with pytest.raises(TypeError, match="did you mean 'ping_interval'"):
        made(settings=settings, ping_intervall=4)
    with pytest.raises(ValueError, match="setting ping_interval=-1"):
        made(settings=settings, ping_interval=-1)
    with pytest.raises(TypeError, match="settings must be Settings, not dict"):
        made(settings={"ping_interval": 4})


def test_server_hands_the_same_settings_to_its_events_and_its_sessions() -> None:
    server = Server(settings=Settings(ping_interval=3), max_attachments=2)
    assert server.settings is server.table.settings
    assert server.settings.max_attachments == 2
