"""Near copies in nginx's workers: one of them hears what changes, on cosockets and timers, and another follows when that one is killed."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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


READ = """
    local value, _, source = cache:get("k")
    return tonumber(value), source
"""
LAST_REQUEST = """
    ngx.shared.last:set("begun" .. args.turn, true)
    local seen, last = {before = 0, near = 0, remote = 0}, 0
    repeat
        local value, _, source = cache:get("k")
        assert(tonumber(value) >= last, "an older value")
        last = tonumber(value)
        local at = ngx.worker.exiting() and source or "before"
        seen[at] = seen[at] + 1
        ngx.sleep(0.005)
    until ngx.shared.last:get("ends" .. args.turn)
    return seen
"""


class Writer:
    """Another host, which counts."""

    def __init__(self, raw: Resp) -> None:
        self.raw, self.number, self._ends = raw, 0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.write()

    def write(self) -> None:
        self.raw.call("SET", "p:things:k", str(self.number + 1))
        self.number += 1

    def _run(self) -> None:
        while not self._ends.wait(0.2):
            self.write()

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()


def longest_without_near(nginx: Nginx, seconds: float) -> float:
    """In seconds, as requests one after another meet it for so long; none of them sees an older value than the one before."""
    longest, last, since = 0.0, 0, time.monotonic()
    end = since + seconds
    while time.monotonic() < end:
        value, source, _ = nginx.lua(READ)
        assert value >= last
        last = value
        if source == "near":
            longest, since = max(longest, time.monotonic() - since), time.monotonic()
    return max(longest, time.monotonic() - since)


def test_a_reload_hands_the_channels_over_at_once_while_last_requests_go_on(name: str, host: Host, server: RedisServer, raw: Resp) -> None:
    """The worker that hears what changes exits, with a request that goes on for longer than its lease would last."""
    nginx = host(f"{server.url}?{OPTIONS}&near=shared&near_name={name}", workers=1, http_lines="lua_shared_dict last 1m;")
    writer = Writer(raw)
    wait_until(lambda: is_near(nginx, raw))
    with writer, ThreadPoolExecutor() as pool:
        for turn in range(2):
            (old,) = nginx.workers()
            takeovers = nginx.value("return cache:stats().near.takeovers")
            last_one = pool.submit(nginx.value, LAST_REQUEST, turn=turn)
            wait_until(lambda turn=turn: nginx.value('return ngx.shared.last:get("begun" .. args.turn)', turn=turn))  # type: ignore[misc]
            nginx.reload()
            longest = longest_without_near(nginx, 1.5)
            workers, takeovers = nginx.workers(), nginx.value("return cache:stats().near.takeovers") - takeovers
            nginx.value('ngx.shared.last:set("ends" .. args.turn, true)', turn=turn)
            seen = last_one.result()
            assert old in workers
            assert takeovers == 1
            assert longest < 0.5
            assert seen["near"] > 5 * seen["remote"], seen  # it asks for what was written, and then has it near from another one
            wait_until(lambda old=old: old not in nginx.workers())  # type: ignore[misc]
    assert_follows(nginx, raw)
