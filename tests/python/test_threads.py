"""Waiting lets other threads run, and Ctrl-C ends it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import coffer
from support import Command, ScriptedServer, free_port, together, wait_until

BOTH = pytest.mark.usefixtures("both")  # else it is about threads that block

FOUND = b"$5\r\nfound\r\n"


def slow(_: Command) -> bytes:
    time.sleep(0.1)
    return FOUND


def test_eight_threads_wait_together() -> None:
    with ScriptedServer(slow) as server, coffer.Cache(server.url, raw=True, timeout=5, pipeline_depth=1) as cache:
        began = time.monotonic()
        assert together(8, lambda index: cache.get(f"key:{index}")) == [b"found"] * 8
        assert time.monotonic() - began < 0.4, "they waited for each other"


@BOTH
def test_a_thread_that_does_not_wait_goes_on_meanwhile() -> None:
    with ScriptedServer(lambda _: None) as server, coffer.Cache(server.url, raw=True, timeout=0.5, on_outage="error") as cache:
        steps = 0

        def wait(_: int) -> None:
            with pytest.raises(coffer.TimeoutError):
                cache.get("key")

        def step(_: int) -> None:
            nonlocal steps
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                steps += 1

        assert together(2, lambda index: (step if index else wait)(index)) == [None, None]
        assert steps > 1000


@BOTH
@pytest.mark.parametrize("limit", [0.2, "200ms"])
def test_a_call_ends_by_its_deadline(limit: Any) -> None:
    with ScriptedServer(lambda _: None) as server, coffer.Cache(server.url, raw=True, timeout=10, on_outage="error") as cache:
        calls = [
            lambda: cache.get("key", timeout=limit),
            lambda: cache.get_many(["a", "b"], timeout=limit),
            lambda: cache.exists("key", timeout=limit),
        ]
        for call in calls:
            began = time.monotonic()
            with pytest.raises(coffer.TimeoutError) as caught:
                call()
            assert 0.15 < time.monotonic() - began < 0.5
            assert caught.value.status == "TIMEOUT"
            assert isinstance(caught.value, TimeoutError)


@BOTH
def test_a_late_reply_goes_to_nobody() -> None:
    """The reply of a call that timed out is never the next call's."""

    def answer(command: Command) -> bytes:
        if command[1].endswith(b"slow"):
            time.sleep(0.2)
        word = command[1].rsplit(b":", 1)[-1]
        return b"$%d\r\n%s\r\n" % (len(word), word)

    with ScriptedServer(answer) as server, coffer.Cache(server.url, raw=True, pool_max=1, on_outage="error") as cache:
        for _ in range(3):
            with pytest.raises(coffer.TimeoutError):
                cache.get("slow", timeout=0.05)
            assert cache.get("quick") == b"quick"


def test_a_full_pool_says_so() -> None:
    limits = {"pool_max": 1, "pipeline_depth": 1, "acquire_timeout": 0.1, "timeout": 2, "on_outage": "error"}
    with ScriptedServer(lambda _: None) as server, coffer.Cache(server.url, raw=True, **limits) as cache:
        faults = together(2, lambda _: cache.get("key"))
        kinds = {type(fault) for fault in faults}
        assert coffer.PoolTimeoutError in kinds
        assert kinds <= {coffer.PoolTimeoutError, coffer.TimeoutError}


@BOTH
def test_many_threads_get_their_own_values(url: str) -> None:
    with coffer.Cache(url, pool_max=4) as cache:

        def work(index: int) -> None:
            for turn in range(200):
                key, value = f"key:{index}:{turn % 7}", f"{index}:{turn}"
                cache.set(key, value)
                assert cache.get(key) == value
                assert set(cache.get_many([key, "nobody"]).values()) == {value}

        assert together(8, work) == [None] * 8


INTERRUPTED = """
import signal, sys, threading, time
import coffer

cache = coffer.Cache(sys.argv[1], raw=sys.argv[2] != "load", timeout=30)
entered = threading.Event()


def hold(key):
    entered.set()
    time.sleep(30)


def call():
    if sys.argv[2] == "get":
        return cache.get("key")
    if sys.argv[2] == "get_many":
        return cache.get_many(["a", "b"])
    if sys.argv[2] == "increment":
        return cache.increment("key")
    threading.Thread(target=lambda: cache.get_or_load("key", hold), daemon=True).start()
    entered.wait()
    return cache.get_or_load("key", lambda key: 1)


print("ready", flush=True)
try:
    call()
except KeyboardInterrupt:
    print("interrupted", time.time(), flush=True)
"""


@pytest.mark.parametrize("call", ["get", "get_many", "increment", "load"])
def test_ctrl_c_ends_a_wait_within_100_ms(call: str) -> None:
    with ScriptedServer(lambda _: None) as server:
        url = "mem://" if call == "load" else server.url
        command = [sys.executable, "-X", "dev", "-c", INTERRUPTED, url, call]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)  # until it waits; earlier would be interrupted sooner still
            sent = time.time()
            process.send_signal(signal.SIGINT)
            word, _, at = process.stdout.readline().partition(" ")
            process.kill()
            assert word == "interrupted", process.stderr.read()
            assert float(at) - sent < 0.1 + (0.2 if sanitized() else 0)


def sanitized() -> bool:
    return "asan" in os.environ.get("LD_PRELOAD", "")


def test_a_signal_handler_may_use_the_cache(memory: coffer.Cache) -> None:
    seen: list[Any] = []

    def handler(*_: object) -> None:
        memory.set("from the handler", 1)
        seen.append(memory.get("from the handler"))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with ScriptedServer(slow) as server, coffer.Cache(server.url, raw=True) as cache:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            assert cache.get("key") == b"found"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [1]


class Interrupted(Exception):
    pass


def test_interrupted_calls_never_mix_up_replies(url: str) -> None:
    """Signals at random moments, for half a second: each call answers for its own key or raises what the handler raised."""

    def handler(*_: object) -> None:
        raise Interrupted

    source = random.Random(7)
    interruptions = calls = 0
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with coffer.Cache(url, timeout=5, pool_max=2) as cache:
            wanted = {f"key:{number}": f"value {number} " * (1 + number * 200) for number in range(10)}
            cache.set_many(wanted)
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                key = source.choice(list(wanted))
                try:
                    signal.setitimer(signal.ITIMER_REAL, source.uniform(1e-6, 4e-4))
                    while True:
                        calls += 1
                        assert cache.get(key) == wanted[key]
                        assert cache.get_many([key, "nobody"]) == {key: wanted[key]}
                        assert cache.get_or_load(key, lambda _: "never") == wanted[key]
                except Interrupted:
                    interruptions += 1
            assert cache.get_many(wanted) == wanted
            assert cache.stats().pool.in_use == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interruptions > 20
    assert calls > interruptions


def test_close_lets_calls_under_way_end() -> None:
    with ScriptedServer(slow) as server:
        cache = coffer.Cache(server.url, raw=True)
        entered = threading.Event()

        def call(index: int) -> Any:
            if index == 0:
                entered.set()
                return cache.get("key")
            entered.wait(10)
            time.sleep(0.03)
            cache.close()
            with pytest.raises(coffer.ClosedError):
                cache.get("key")
            return None

        assert together(2, call) == [b"found", None]


@BOTH
def test_nobody_listening_is_a_connection_error() -> None:
    with coffer.Cache(f"redis://127.0.0.1:{free_port()}", timeout=1, on_outage="error") as cache:
        for call in (lambda: cache.get("key"), lambda: cache.set("key", 1), cache.ping):
            with pytest.raises(coffer.ConnectionError) as caught:
                call()
            assert isinstance(caught.value, ConnectionError)
            assert caught.value.status in ("CONNECT", "NOT_SENT")
        assert cache.stats().pool.failed >= 1


@BOTH
def test_a_server_that_comes_back_is_used_again() -> None:
    with ScriptedServer(lambda _: FOUND) as first:
        port = first.port
        cache = coffer.Cache(f"redis://127.0.0.1:{port}", raw=True, timeout=1, on_outage="error")
        assert cache.get("key") == b"found"
    with pytest.raises(coffer.ConnectionError):
        cache.get("key")
    cache.close()


@BOTH
def test_a_write_whose_answer_was_lost_may_have_been_applied() -> None:
    def hang_up(_: Command) -> bytes:
        raise OSError

    with ScriptedServer(hang_up) as server, coffer.Cache(server.url, raw=True, timeout=2, on_outage="error") as cache:
        with pytest.raises(coffer.MaybeAppliedError):
            cache.set("key", 1)
        with pytest.raises(coffer.MaybeAppliedError):
            cache.increment("key")
        with pytest.raises(coffer.ConnectionError) as caught:
            cache.get("key")
        assert not isinstance(caught.value, coffer.MaybeAppliedError)


@BOTH
@pytest.mark.parametrize(
    "reply", [b"$5\r\nabcdefg\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"_\r\n", b"$99999999999\r\n", b"*2147483647\r\n"]
)
def test_what_is_not_the_protocol_is_an_error(reply: bytes) -> None:
    with ScriptedServer(lambda _: reply) as server, coffer.Cache(server.url, raw=True, timeout=2) as cache:
        with pytest.raises((coffer.ProtocolError, coffer.ConnectionError)) as caught:
            cache.get("key")
        assert caught.value.status in ("PROTO", "LIMIT")


@BOTH
@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        (b"-NOPERM this user has no permissions\r\n", coffer.PermissionDeniedError, "NOPERM"),
        (b"-OOM command not allowed\r\n", coffer.ServerError, "OOM"),
        (b"-READONLY You can't write\r\n", coffer.ServerError, "READONLY"),
        (b"-MOVED 1 127.0.0.1:1\r\n", coffer.ServerError, "MOVED"),
        (b"-LOADING Redis is loading\r\n", coffer.ServerBusyError, "LOADING"),
        (b"-WRONGTYPE Operation\r\n", coffer.ServerError, "WRONGTYPE"),
        (b"-ERR something else\r\n", coffer.ServerError, "SERVER"),
    ],
)
def test_the_servers_words_become_exceptions(reply: bytes, kind: type[coffer.Error], status: str) -> None:
    with ScriptedServer(lambda _: reply) as server, coffer.Cache(server.url, raw=True, timeout=2, on_outage="error") as cache:
        with pytest.raises(kind) as caught:
            cache.set("key", 1)
        assert caught.value.status == status


@BOTH
def test_the_connection_is_used_again_after_an_error() -> None:
    def answer(command: Command) -> bytes:
        return b"-ERR no\r\n" if command[0] == b"SET" else FOUND

    with ScriptedServer(answer) as server, coffer.Cache(server.url, raw=True, timeout=2) as cache:
        with pytest.raises(coffer.ServerError):
            cache.set("key", 1)
        assert cache.get("key") == b"found"
        assert cache.stats().pool.made == 1
        wait_until(lambda: cache.stats().pool.in_use == 0)
