"""Engine.IO 4 for plain peers: "Transports" and "Upgrade"."""

from __future__ import annotations

import pytest

from holdfast.engine.session import Verdict, admit_plain


@pytest.mark.parametrize("request_", ["poll", "post"])
def test_first_request_of_its_kind_is_admitted_while_polling(request_: str) -> None:
    assert admit_plain(request_, transport="polling", busy=False) is Verdict.ADMIT


@pytest.mark.parametrize("request_", ["poll", "post"])
def test_second_request_of_its_kind_at_once_closes_the_session(request_: str) -> None:
    assert admit_plain(request_, transport="polling", busy=True) is Verdict.CLOSE


@pytest.mark.parametrize("busy", [False, True])
def test_websocket_may_take_over_from_polling_whatever_is_under_way(busy: bool) -> None:
    assert admit_plain("websocket", transport="polling", busy=busy) is Verdict.ADMIT


@pytest.mark.parametrize("request_", ["poll", "post", "websocket"])
@pytest.mark.parametrize("busy", [False, True])
def test_nothing_is_admitted_after_the_upgrade_and_the_session_lives(request_: str, busy: bool) -> None:
    assert admit_plain(request_, transport="websocket", busy=busy) is Verdict.REFUSE


def test_unknown_request_is_refused() -> None:
    assert admit_plain("stream", transport="polling", busy=False) is Verdict.REFUSE
