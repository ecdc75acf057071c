"""Fixtures: an nginx with its workers, on an empty redis-server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hosting import Nginx, program, running
from support import RedisServer

Host = Callable[..., Nginx]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """host(url, ...) starts one more, which is stopped at the end, and whose log has to be clean then."""
    program()
    with ExitStack() as stack:

        def start(url: str, **arguments: Any) -> Nginx:
            folder = tmp_path / f"nginx{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return stack.enter_context(running(Nginx(folder, url, **arguments)))

        yield start


@pytest.fixture
def nginx(host: Host, server: RedisServer) -> Nginx:
    return host(server.url)
