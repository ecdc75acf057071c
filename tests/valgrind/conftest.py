"""A redis-server, and where the helpers of the other tests are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lua"))

from support import has_redis, redis_server


@pytest.fixture(params=["mem", "tcp"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "mem":
        yield "mem://"
        return
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with redis_server() as running:
        yield running.url
