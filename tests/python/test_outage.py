"""A redis-server that is killed, frozen and started again: what callers get, how fast, and what is left when it is back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import coffer
from support import RedisServer, has_redis, redis_server, together, wait_until

pytestmark = [pytest.mark.usefixtures("both"), pytest.mark.skipif(not has_redis(), reason="redis-server is not installed")]

DEADLINE = 0.3
AT_ONCE = 0.05  # what asks nobody, on a busy machine


@pytest.fixture
def own() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def open_at(server: RedisServer, **options: object) -> coffer.Cache:
    return coffer.Cache(server.url, prefix="t", namespace="users", timeout=DEADLINE, on_outage="error", **options)


def kill(server: RedisServer) -> None:
    server.process.kill()
    server.process.wait(10)


def freeze(server: RedisServer) -> None:
    server.process.send_signal(signal.SIGSTOP)


def thaw(server: RedisServer) -> None:
    server.process.send_signal(signal.SIGCONT)


def took(call: Callable[[], object]) -> tuple[float, object]:
    """How long a call took, and what it gave or raised."""
    began = time.monotonic()
    try:
        answer: object = call()
    except coffer.Error as fault:
        answer = fault
    return time.monotonic() - began, answer


def fail_until_open(cache: coffer.Cache) -> None:
    """The first calls fail by their deadline; then the breaker is open."""
    for _ in range(20):
        seconds, fault = took(lambda: cache.get("other"))
        assert isinstance(fault, coffer.Error)
        assert seconds < DEADLINE + 0.2
        if cache.health().endpoints[0].breaker == "open":
            return
    raise AssertionError("the breaker never opened")


def test_a_frozen_server_is_asked_no_more_after_a_few_calls(own: RedisServer) -> None:
    with open_at(own) as cache:
        cache.set("k", "v")
        freeze(own)
        try:
            fail_until_open(cache)
            seconds, fault = took(lambda: cache.get("k"))
            assert isinstance(fault, coffer.ConnectionError)
            assert fault.status == "BREAKER_OPEN"
            assert seconds < AT_ONCE
            seconds, value = took(lambda: cache.get_or_load("k", lambda _: "loaded"))
            assert (value, seconds < AT_ONCE) == ("loaded", True)
            health = cache.health()
            assert health.state == "down"
            assert "is away (the deadline passed)" in health.reasons[0]
            assert health.endpoints[0].version.startswith(("redis ", "valkey "))
            assert health.endpoints[0].round_trip is not None
            assert cache.stats().breaker.open == 1
            assert cache.stats().breaker.refused >= 2
        finally:
            thaw(own)
        wait_until(lambda: cache.health(active=True).state == "healthy")
        assert cache.get("k") == "v"


def test_what_was_written_meanwhile_is_gone_when_the_server_is_back(own: RedisServer) -> None:
    """The server keeps its data, as one that could not be reached for a while does."""
    other = own.client()
    with open_at(own) as cache:
        cache.set_many({"set": "old", "deleted": "old", "batch": "old", "replaced": "old", "kept": "old"})
        freeze(own)
        try:
            fail_until_open(cache)
            for write in (
                lambda: cache.set("set", "new"),
                lambda: cache.delete("deleted"),
                lambda: cache.set_many({"batch": "new", "more": "new"}),
                lambda: cache.replace("replaced", "new"),
                lambda: cache.delete("deleted"),
            ):
                assert isinstance(took(write)[1], coffer.Error)
            assert cache.health().owed_keys == 5
            assert any("will be deleted" in reason for reason in cache.health().reasons)
        finally:
            thaw(own)
        # whoever is first: nobody reads an old value
        answers: list[object] = []
        wait_until(lambda: answers.append(took(lambda: cache.get("set"))[1]) or answers[-1] is None)
        assert all(answer is None or isinstance(answer, coffer.Error) for answer in answers)
        assert cache.get_many(["set", "deleted", "batch", "more", "replaced", "kept"]) == {"kept": "old"}
        assert sorted(other.call("KEYS", "*")) == [b"t:users:kept"]  # type: ignore[type-var]
        assert cache.health().state == "healthy"
        assert cache.health().owed_keys == 0
        assert cache.stats().outage_deletes == 5
        assert cache.stats().outage_lost == 0
    other.close()


def test_a_killed_server_is_found_again_soon() -> None:
    with redis_server() as first, open_at(first) as cache:
        cache.set("k", "v")
        kill(first)
        fail_until_open(cache)
        seconds, value = took(lambda: cache.get_or_load("k", lambda _: "loaded"))
        assert (value, seconds < AT_ONCE) == ("loaded", True)
        again = RedisServer(Path(first.path).parent, "--port", str(first.port))
        try:
            back = time.monotonic()
            wait_until(lambda: took(lambda: cache.set("k", "new"))[1] is None)
            assert time.monotonic() - back < 0.5  # 200 ms and the machine's mood
            assert cache.get("k") == "new"
        finally:
            again.stop()


def test_one_caller_at_a_time_asks_a_server_that_is_away(own: RedisServer) -> None:
    with open_at(own, pool_max=16) as cache:
        cache.set("k", "v")
        freeze(own)
        try:
            fail_until_open(cache)
            wait_until(lambda: cache.health().endpoints[0].retry_in == 0.0)
            faults = together(8, lambda _: took(lambda: cache.get("k"))[1])
            assert sum(getattr(fault, "status", "") != "BREAKER_OPEN" for fault in faults) <= 1
        finally:
            thaw(own)


def test_an_application_may_go_on_without_its_cache(own: RedisServer) -> None:
    with coffer.Cache(own.url, timeout=DEADLINE) as cache:  # the default
        cache.set("k", "v")
        kill(own)
        assert cache.get("k") is None
        assert cache.get("k", "a default") == "a default"
        assert cache.get_entry("k") is None
        missed = cache.get_entry("k", misses=True)
        assert missed is not None
        assert (missed.value, missed.source) == (coffer.ABSENT, "outage")
        cache.set("k", "new")
        assert cache.add("new", 1) is False
        assert cache.delete("k") is False
        assert cache.exists("k") is False
        assert cache.ttl("k") is None
        assert cache.get_many(["a", "b"]) == {}
        cache.set_many({"a": 1})
        assert cache.delete_many(["a"]) == 0
        assert cache.get_or_load("k", lambda _: "loaded") == "loaded"
        with pytest.raises(coffer.ConnectionError):
            cache.increment("n")
        with pytest.raises(coffer.ConnectionError):
            cache.clear()
        with pytest.raises(coffer.ConnectionError):
            cache.ping()
        stats = cache.stats()
        assert stats.outage_misses == 9
        assert cache.health().state == "down"
        assert stats.outage_writes > 0


def test_what_is_no_outage_is_never_a_miss(own: RedisServer) -> None:
    """A client that was set up wrongly is noticed at once, whatever `on_outage` says; get_or_load is no exception."""
    other = own.client()
    other.call("ACL", "SETUSER", "reader", "on", ">word", "~*", "+@read", "+@connection", "-get")
    other.call("LPUSH", "t:users:list", "v")
    other.call("SET", "t:users:large", "x" * 3_000_000)
    place = {"prefix": "t", "namespace": "users", "timeout": 5, "on_outage": "miss"}
    cases = (
        ({"username": "nobody", "password": "wrong"}, "key", coffer.AuthenticationError),
        ({"username": "reader", "password": "word"}, "key", coffer.PermissionDeniedError),
        ({"password_file": "/nowhere"}, "key", coffer.CredentialsError),
        ({}, "list", coffer.ServerError),
        ({"max_reply": "1MiB", "max_value": 1024}, "large", coffer.ProtocolError),
    )
    for options, key, kind in cases:
        with coffer.Cache(own.url, **place, **options) as cache:
            with pytest.raises(kind):
                cache.get(key)
            with pytest.raises(kind):
                cache.exists(key)
            with pytest.raises(kind):
                cache.get_or_load(key, lambda _: "loaded")
            assert cache.stats().outage_misses == 0
    other.close()


def test_a_miss_says_whether_the_server_was_asked(own: RedisServer) -> None:
    with coffer.Cache(own.url, timeout=DEADLINE) as cache:
        missed = cache.get_entry("k", misses=True)
        assert missed is not None
        assert (missed.value, missed.source, missed.expires) == (coffer.ABSENT, "none", None)
        cache.set("k", "v")
        found = cache.get_entry("k", misses=True)
        assert found is not None
        assert (found.value, found.source) == ("v", "remote")


def test_what_cannot_be_remembered_is_counted_and_told(own: RedisServer) -> None:
    with open_at(own, outage_memory=200) as cache:
        cache.get("k")
        kill(own)
        for index in range(20):
            took(lambda index=index: cache.delete(f"key:{index}"))  # type: ignore[misc]
        assert cache.stats().outage_lost > 0
        assert cache.health().lost_keys == cache.stats().outage_lost
        assert any("could not be remembered" in reason for reason in cache.health().reasons)


# ---- off and on ----


def test_caching_is_turned_off_and_on_while_it_runs(cache: coffer.Cache) -> None:
    same = cache.namespace("things")
    other = cache.namespace("other")
    cache.set("k", "old")
    other.set("k", "v")
    cache.turn_off()
    assert same.get("k") is None
    assert other.get("k") == "v"
    same.set("k", "new")
    assert cache.get_or_load("k", lambda _: "loaded") == "loaded"
    assert cache.health().state == "degraded"
    cache.turn_on()
    assert cache.get("k") is None  # neither the old value, nor one that was not stored
    cache.turn_off(everything=True)
    assert other.get("k") is None
    cache.turn_on(everything=True)
    assert other.get("k") == "v"
    cache.turn_off(operation="clear")
    with pytest.raises(coffer.UnsupportedError, match="turned off"):
        cache.clear()
    cache.turn_on(operation="clear")
    cache.turn_off(operation="get")
    assert (cache.get("k"), cache.add("k", 1), cache.exists("k")) == (None, True, True)
    cache.turn_on(operation="get")
    assert cache.get("k") == 1
    assert cache.health().state == "healthy"


def test_a_share_of_the_keys_is_cached(cache: coffer.Cache) -> None:
    keys = [f"key:{index}" for index in range(200)]
    cache.set_many(dict.fromkeys(keys, 1))
    cache.set_share(25)
    cached = [key for key in keys if cache.get(key) is not None]
    assert 20 <= len(cached) <= 80
    assert list(cache.get_many(keys)) == cached
    for key in keys:
        cache.set(key, 2)
    cache.set_share(100)
    assert cache.get_many(keys) == dict.fromkeys(cached, 2)


def test_misuse_is_refused(memory: coffer.Cache) -> None:
    with pytest.raises(coffer.ArgumentError):
        memory.turn_off(operation="nothing")
    with pytest.raises(coffer.ArgumentError):
        memory.turn_off(operation="get", everything=True)
    for percent in (-1, 101):
        with pytest.raises(coffer.ArgumentError):
            memory.set_share(percent)
    with pytest.raises(coffer.ValueTypeError):
        memory.set_share(0.5)  # type: ignore[arg-type]


def test_health_never_connects_by_itself(own: RedisServer) -> None:
    with open_at(own) as cache:
        health = cache.health()
        assert (health.state, health.reasons, health.endpoints) == ("healthy", ("no server has been asked yet",), ())
        assert cache.stats().pool.made == 0
        health = cache.health(active=True)
        assert [one.name for one in health.endpoints] == [f"127.0.0.1:{own.port}"]
        assert health.reasons == ()


def test_health_tells_what_the_server_forbids() -> None:
    with redis_server("--user", "default", "on", "nopass", "~*", "+@all", "-time") as server, open_at(server) as cache:
        health = cache.health(active=True)
        assert health.state == "healthy"
        assert health.endpoints[0].forbidden == ("TIME",)
        assert "TIME" in health.reasons[0]


def test_a_right_that_was_given_is_missed_no_more(own: RedisServer) -> None:
    other = own.client()
    other.call("ACL", "SETUSER", "default", "-exists", "-get", "-unlink")
    with open_at(own) as cache:
        for refused in (cache.get, cache.delete):
            with pytest.raises(coffer.PermissionDeniedError):
                refused("k")
        assert cache.health().endpoints[0].forbidden == ("GET", "UNLINK")
        other.call("ACL", "SETUSER", "default", "+get")
        assert cache.get("k") is None
        assert cache.health().endpoints[0].forbidden == ("UNLINK",)
        other.call("ACL", "SETUSER", "default", "+unlink")
        cache.delete("k")
        assert cache.health().state == "healthy"
    other.close()
