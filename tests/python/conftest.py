"""Fixtures: `cache` runs a test on mem:// and on a redis-server; where there is none, those runs are skipped by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import coffer
from support import RedisServer, Resp, has_redis, redis_server


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


@pytest.fixture
def raw(server: RedisServer) -> Iterator[Resp]:
    """A client that looks at `server` from outside."""
    client = server.client()
    yield client
    client.close()


@pytest.fixture(params=["mem", "tcp", "unix"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "mem":
        return "mem://"
    server: RedisServer = request.getfixturevalue("server")
    return server.url if request.param == "tcp" else server.unix_url


@pytest.fixture
def cache(url: str) -> Iterator[coffer.Cache]:
    with coffer.Cache(url, prefix="test", namespace="things") as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[coffer.Cache]:
    with coffer.Cache("mem://") as opened:
        yield opened
