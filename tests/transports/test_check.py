"""Every transport passes the same checks."""

from __future__ import annotations

from functools import partial

import pytest
from check_transport import CHECKS, TRANSPORTS, Check
from counting_peer import open_site


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_every_transport(check: Check, transport: str) -> None:
    await check(partial(open_site, transport))
