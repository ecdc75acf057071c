"""For the tests of the command: the fake beside them, a server that may die, real traces. The rest is in the folder above."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import RedisServer, has_redis, redis_server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

sys.path.insert(0, str(HERE))  # cli_fake, also for the programs that the tests start


@pytest.fixture
def doomed_server() -> Iterator[RedisServer]:
    """A server that the test may stop."""
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with redis_server() as running:
        yield running


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """The folder of real traces, which are no part of the project."""
    folder = Path(os.environ.get("COFFER_SHARED", ROOT.parent / "shared")) / "data" / "traces"
    if not folder.is_dir():
        pytest.skip("needs the real traces of ../shared/data (or COFFER_SHARED)")
    return folder
