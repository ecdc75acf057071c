"""What the suites share: a redis-server of their own (what needs it is skipped by name where there is none), and the helpers of
tests/python/support.py."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "python"))

from support import RedisServer, Resp, has_redis, redis_server

# A shell that starts a job in the background has it ignore SIGINT, and what a process ignores its children ignore too: no test of Ctrl-C
# could pass.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(params=["tcp", "unix"])
def server_url(request: pytest.FixtureRequest, server: RedisServer) -> str:
    return server.url if request.param == "tcp" else server.unix_url
