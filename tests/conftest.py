"""What every test shares: both event loops, and how hard Hypothesis tries.

`HYPOTHESIS_PROFILE=large` searches at random and for long; the default is small and gives the same examples every
time, so that a red build is red for everybody.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from packed_client import install, pack
from waiting_tests import pytest_pyfunc_call

__all__ = ["anyio_backend", "application", "pytest_collection_finish", "pytest_pyfunc_call", "tarball"]

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "small",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=_SLOW_IS_FINE,
)
settings.register_profile(
    "large",
    deadline=None,
    max_examples=20_000,
    print_blob=True,
    suppress_health_check=_SLOW_IS_FINE,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "small"))


def pytest_collection_finish() -> None:
    """What is there before the first test is not looked through by each that collects its garbage: half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every async test runs on both."""
    return request.param


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JavaScript client, packed."""
    return pack(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def application(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the packed client is installed, and nothing else."""
    return install(tarball, tmp_path_factory.mktemp("installed") / "application")
