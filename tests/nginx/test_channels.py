"""Near copies in nginx's workers: one of them hears what changes, on cosockets and timers, and another follows when that one is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hosting import Nginx
from support import RedisServer, Resp, wait_until

Host = Callable[..., Nginx]

OPTIONS = "raw=true&prefix=p&near_bytes=1MiB&timeout=5s"


@pytest.fixture
def name() -> Iterator[str]:
    """Of shared memory, which is gone afterwards."""
    made = f"coffer-nginx-{os.getpid()}"
    yield made
    for path in Path("/dev/shm").glob(f"{made}.*"):
        path.unlink()


def asked_count(raw: Resp) -> int:
    stats = raw.call("INFO", "commandstats")
    assert isinstance(stats, bytes)
    found = re.search(rb"cmdstat_get:calls=(\d+)", stats)
    return int(found[1]) if found else 0


def get(nginx: Nginx) -> object:
    return nginx.value('return cache:get("k")')


def is_near(nginx: Nginx, raw: Resp) -> bool:
    """Ten requests, which any worker may have had, and no question to the server."""
    before = asked_count(raw)
    for _ in range(10):
        get(nginx)
    return asked_count(raw) == before


def assert_follows(nginx: Nginx, raw: Resp, seconds: float = 10) -> None:
    for value in ("1", "2", "3"):
        raw.call("SET", "p:things:k", value)
        began = time.monotonic()
        wait_until(lambda value=value: get(nginx) == value, 2.5)  # type: ignore[misc]
        wait_until(lambda: is_near(nginx, raw), seconds)
        assert get(nginx) == value, time.monotonic() - began


@pytest.mark.parametrize("near", ["process", "shared"])
def test_workers_see_what_others_change(name: str, near: str, host: Host, server: RedisServer, raw: Resp) -> None:
    nginx = host(f"{server.url}?{OPTIONS}&near={near}&near_name={name}")
    assert_follows(nginx, raw)
    raw.call("CLIENT", "KILL", "TYPE", "pubsub")
    assert_follows(nginx, raw)
    raw.call("FLUSHALL")
    wait_until(lambda: get(nginx) is None, 2.5)


def test_another_worker_follows_when_one_is_killed(name: str, host: Host, server: RedisServer, raw: Resp) -> None:
    nginx = host(f"{server.url}?{OPTIONS}&near=shared&near_name={name}")
    nginx.forgive("exited on signal 9")
    assert_follows(nginx, raw)
    for _ in range(4):
        victim = nginx.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda victim=victim: victim not in nginx.workers() and len(nginx.workers()) == 2)  # type: ignore[misc]
        assert_follows(nginx, raw)
    nginx.reload()
    assert_follows(nginx, raw)
