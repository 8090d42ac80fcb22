from __future__ import annotations

from holdfast.engine.session.heartbeat import Beat, Heartbeat

NOW = 100.0


def beat() -> Heartbeat:
    return Heartbeat(interval=10.0, timeout=5.0, now=NOW)


def test_ping_is_due_after_the_interval_and_only_once() -> None:
    heartbeat = beat()
    assert heartbeat.deadline() == 110.0
    assert heartbeat.due(109.9) is Beat.NOTHING
    assert heartbeat.due(110.0) is Beat.PING
    assert heartbeat.due(110.0) is Beat.NOTHING


def test_silence_after_a_ping_is_death_after_the_timeout() -> None:
    heartbeat = beat()
    heartbeat.due(110.0)
    assert heartbeat.deadline() == 115.0
    assert heartbeat.due(114.9) is Beat.NOTHING
    assert heartbeat.due(115.0) is Beat.DEAD


def test_timer_that_fires_a_little_late_does_not_lengthen_the_peers_time() -> None:
    heartbeat = beat()
    assert heartbeat.due(110.04) is Beat.PING
    assert heartbeat.deadline() == 115.0


def test_after_a_stall_the_peer_has_its_whole_time() -> None:
    heartbeat = beat()
    assert heartbeat.due(112.0) is Beat.PING
    assert heartbeat.deadline() == 117.0


def test_sign_of_life_starts_the_next_interval() -> None:
    heartbeat = beat()
    heartbeat.due(110.0)
    heartbeat.heard(111.0)
    assert heartbeat.deadline() == 121.0
    assert heartbeat.due(115.0) is Beat.NOTHING
    assert heartbeat.due(121.0) is Beat.PING


def test_of_many_signs_of_life_only_the_first_after_a_ping_counts() -> None:
    heartbeat = beat()
    heartbeat.heard(105.0)
    assert heartbeat.deadline() == 110.0
    heartbeat.due(110.0)
    heartbeat.heard(111.0)
    heartbeat.heard(114.0)
    assert heartbeat.deadline() == 121.0
