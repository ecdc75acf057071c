"""Where the helpers of the other tests are; valgrind is slow, so one way to the server has to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lua"))

from support import RedisServer


@pytest.fixture(params=["mem", "tcp"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "mem":
        return "mem://"
    server: RedisServer = request.getfixturevalue("server")
    return server.url
