"""What the tests of packages share with those of Python: a redis-server, by the helpers of tests/python/support.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from support import RedisServer, has_redis, redis_server


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with redis_server() as running:
        yield running


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """An empty server."""
    client = shared_server.client()
    client.call("FLUSHALL")
    client.close()
    return shared_server
