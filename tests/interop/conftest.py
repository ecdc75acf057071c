"""A redis-server, and each language as a peer that lives as long as the session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]

from peers import MAKERS, Peer  # noqa: E402
from support import RedisServer, Resp, has_redis, redis_server  # noqa: E402


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with redis_server() as running:
        yield running


@pytest.fixture
def raw(shared_server: RedisServer) -> Iterator[Resp]:
    """A client that looks at the server from outside; the server is empty."""
    client = shared_server.client()
    client.call("FLUSHALL")
    yield client
    client.close()


@pytest.fixture(params=["tcp", "unix"])
def server_url(request: pytest.FixtureRequest, shared_server: RedisServer, raw: Resp) -> str:
    return shared_server.url if request.param == "tcp" else shared_server.unix_url


@pytest.fixture(scope="session")
def peer() -> Iterator[Callable[[str], Peer]]:
    """A language by its name. What it says at its end, such as a leak, fails the session."""
    made: dict[str, Peer] = {}

    def peer(name: str) -> Peer:
        if name not in made:
            made[name] = MAKERS[name]()
        return made[name]

    yield peer
    for one in made.values():
        one.close()
