"""What the Lua tests share with those of Python: a redis-server, and the helpers of tests/python/support.py."""

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


@pytest.fixture(params=["mem", "tcp", "unix"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "mem":
        return "mem://"
    server: RedisServer = request.getfixturevalue("server")
    return server.url if request.param == "tcp" else server.unix_url


@pytest.fixture(params=["tcp", "unix"])
def server_url(request: pytest.FixtureRequest, server: RedisServer) -> str:
    return server.url if request.param == "tcp" else server.unix_url
