"""Opening, closing, forking, exiting: and what importing does not do."""

from __future__ import annotations

import copy
import gc
import logging
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

import coffer
from support import RedisServer, Resp, connected, wait_until

BOTH = pytest.mark.usefixtures("both")


@BOTH
def test_close_ends_the_connections_and_all_use(url: str) -> None:
    cache = coffer.Cache(url)
    users = cache.namespace("users")
    cache.set("key", 1)
    assert not cache.closed
    cache.close()
    cache.close()
    assert cache.closed
    assert users.closed
    for one in (cache, users):
        uses: list[Callable[[coffer.Cache], object]] = [
            lambda one: one.get("key"),
            lambda one: one.set("key", 1),
            lambda one: one.add("key", 1),
            lambda one: one.get_or_load("key", lambda _: 1),
            lambda one: one.namespace("a"),
            coffer.Cache.clear,
            coffer.Cache.ping,
            coffer.Cache.stats,
            coffer.Cache.health,
            coffer.Cache.turn_off,
        ]
        for use in uses:
            with pytest.raises(coffer.ClosedError):
                use(one)
    assert repr(cache).removeprefix("<coffer.").removeprefix("aio.") == "Cache closed>"


def test_a_namespace_closes_alone(memory: coffer.Cache) -> None:
    users = memory.namespace("users")
    users.close()
    assert users.closed
    assert not memory.closed
    memory.set("key", 1)


@BOTH
def test_connections_are_made_late_and_closed(server: RedisServer, raw: Resp) -> None:
    with coffer.Cache(server.url) as cache:
        assert connected(raw) == 0
        cache.ping()
        assert connected(raw) == 1
    wait_until(lambda: connected(raw) == 0)


@BOTH
def test_a_forgotten_cache_is_closed(server: RedisServer, raw: Resp) -> None:
    cache = coffer.Cache(server.url)
    users = cache.namespace("users")
    users.set("1", 1)
    gone = weakref.ref(cache)
    del cache
    assert users.get("1") == 1, "a namespace does not need the one it was made from"
    del users
    gc.collect()
    assert gone() is None
    wait_until(lambda: connected(raw) == 0)


def test_a_cache_cannot_be_pickled_or_copied(memory: coffer.Cache) -> None:
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickled or copied"):
            call(memory)


def test_absent_stays_itself() -> None:
    assert copy.copy(coffer.ABSENT) is coffer.ABSENT
    assert copy.deepcopy(coffer.ABSENT) is coffer.ABSENT
    assert pickle.loads(pickle.dumps(coffer.ABSENT)) is coffer.ABSENT
    assert repr(coffer.ABSENT) == "coffer.ABSENT"


@BOTH
def test_close_inside_a_loader_is_safe() -> None:
    cache = coffer.Cache()

    def loader(_: str) -> str:
        cache.close()
        return "loaded"

    assert cache.get_or_load("key", loader) == "loaded"
    assert cache.closed


@BOTH
def test_a_child_goes_on_with_connections_of_its_own(url: str) -> None:
    cache = coffer.Cache(url)
    cache.set("key", "parent")
    for _ in range(10):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                cache.set("child", os.getpid())
                good = cache.get("key") == "parent" and cache.get("child") == os.getpid()
                good = good and cache.get_or_load("loaded", lambda _: 1) == 1
                status = 0 if good else 2
            finally:
                os._exit(status)
        for _ in range(20):
            assert cache.get("key") == "parent"
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    cache.close()


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_the_development_mode_is_quiet(url: str) -> None:
    code = """
import sys, coffer
cache = coffer.Cache(sys.argv[1])
users = cache.namespace("users")
users.set("key", {"a": [1, "x", None]})
assert users.get_many(["key"]) == {"key": {"a": [1, "x", None]}}
assert users.get_or_load("other", lambda key: b"bytes") == b"bytes"
assert users.add("third", bytearray(b"bytes"))
try:
    users.set("key", object())
except coffer.ValueTypeError:
    pass
print(users.get("nobody"))
"""
    assert run(code, url) == "None\n", "an open cache at exit is closed without a word"


def test_exit_with_threads_inside_calls_is_quiet() -> None:
    code = """
import threading, coffer
cache = coffer.Cache()
entered = threading.Event()

def hold(key):
    entered.set()
    threading.Event().wait(30)

threading.Thread(target=lambda: cache.get_or_load("key", hold), daemon=True).start()
entered.wait()
for _ in range(4):
    threading.Thread(target=lambda: cache.get_or_load("key", hold), daemon=True).start()
"""
    assert run(code) == ""


def test_importing_opens_and_starts_nothing() -> None:
    code = """
import os, sys, threading
before = set(os.listdir("/proc/self/fd"))
import coffer
assert threading.active_count() == 1
assert len(os.listdir("/proc/self/task")) == 1
assert {os.path.realpath(f"/proc/self/fd/{n}") for n in set(os.listdir("/proc/self/fd")) - before} <= {f"/proc/{os.getpid()}/fd"}
assert "asyncio" not in sys.modules and "socket" not in sys.modules and "coffer.cli" not in sys.modules
"""
    assert run(code) == ""


def test_the_logger_is_silent_by_default() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("coffer").handlers)
    assert run("import coffer, logging; logging.getLogger('coffer').warning('to nobody')") == ""


def test_the_version_is_the_cores() -> None:
    header = Path(__file__).resolve().parents[2] / "core/include/coffer/coffer.h"
    assert f'COFFER_VERSION "{coffer.__version__}"' in header.read_text(encoding="utf-8")


def test_every_public_name_is_explained() -> None:
    for name in coffer.__all__:
        thing = getattr(coffer, name)
        if callable(thing) and name not in ("Key", "Duration"):
            assert thing.__doc__, name
    for name, member in vars(coffer.Cache).items():
        if not name.startswith("_"):
            assert member.__doc__, name


def test_use_after_fork_in_a_thread_of_the_child(memory: coffer.Cache) -> None:
    child = os.fork()
    if child == 0:
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(memory.get_or_load("key", lambda _: 1)))
        thread.start()
        thread.join(10)
        os._exit(0 if results == [1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
