"""One Redis for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from real_redis import Redis, redis_server


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[Redis]:
    with redis_server() as redis:
        yield redis
