"""Every operation, on mem:// and on a server."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

import coffer
from support import Resp, wait_until

pytestmark = pytest.mark.usefixtures("both")


def test_a_miss_gives_the_default(cache: coffer.Cache) -> None:
    assert cache.get("nobody") is None
    assert cache.get("nobody", "a default") == "a default"
    assert cache.get_entry("nobody") is None


def test_a_stored_none_is_not_a_miss(cache: coffer.Cache) -> None:
    cache.set("key", None)
    assert cache.get("key", "a default") is None
    assert cache.exists("key")
    assert cache.get_many(["key"]) == {"key": None}


def test_a_remembered_absence_is_a_miss_that_says_so(cache: coffer.Cache) -> None:
    cache.set("key", coffer.ABSENT)
    assert cache.get("key", "a default") == "a default"
    assert cache.get_many(["key"]) == {}
    entry = cache.get_entry("key")
    assert entry is not None
    assert entry.value is coffer.ABSENT
    assert entry.source == "negative"
    assert cache.stats().negative_hits >= 1


def test_an_entry_tells_its_times_and_its_source(cache: coffer.Cache, url: str) -> None:
    before = time.time()
    cache.set("key", {"a": 1}, ttl=60)
    entry = cache.get_entry("key")
    assert entry is not None
    assert (entry.value, entry.format) == ({"a": 1}, 2)
    assert entry.source == ("near" if url == "mem://" else "remote")
    assert entry.entry_id != 0
    assert entry.created is not None and entry.fresh is not None and entry.expires is not None
    assert before - 1 <= entry.created <= time.time() + 1
    assert 59 <= entry.fresh - entry.created <= 67
    assert entry.expires >= entry.fresh


def test_for_ever_has_to_be_said_and_is_kept(cache: coffer.Cache) -> None:
    cache.set("key", 1, ttl="forever")
    entry = cache.get_entry("key")
    assert entry is not None
    assert entry.fresh == math.inf
    assert cache.ttl("key") == math.inf


def test_add_and_replace_look_first(cache: coffer.Cache) -> None:
    assert not cache.replace("key", 1)
    assert cache.add("key", 2)
    assert not cache.add("key", 3)
    assert cache.get("key") == 2
    assert cache.replace("key", [4])
    assert cache.get("key") == [4]


def test_compare_and_set_stores_over_the_entry_that_was_seen(cache: coffer.Cache) -> None:
    cache.set("key", "first")
    seen = cache.get_entry("key")
    assert seen is not None
    assert cache.compare_and_set("key", seen.entry_id, "second")
    assert not cache.compare_and_set("key", seen.entry_id, "third")
    assert cache.get("key") == "second"
    assert not cache.compare_and_set("nobody", seen.entry_id, "x")


def test_delete_says_whether_it_was_there(cache: coffer.Cache) -> None:
    cache.set("key", 1)
    assert cache.delete("key") is True
    assert cache.delete("key") is False
    assert cache.exists("key") is False


def test_expire_and_touch_move_the_end(cache: coffer.Cache) -> None:
    assert cache.expire("nobody", 5) is False
    assert cache.touch("nobody") is False
    assert cache.ttl("nobody") is None
    cache.set("key", "value", ttl=10)
    assert cache.expire("key", "1h") is True
    assert 3500 < (cache.ttl("key") or 0) <= 3600
    assert cache.expire("key", 1) is True
    assert 0 < (cache.ttl("key") or 0) <= 1
    assert cache.touch("key") is True
    assert 200 < (cache.ttl("key") or 0) <= 330
    assert cache.get("key") == "value"


def test_what_has_expired_is_gone(cache: coffer.Cache) -> None:
    cache.set("key", 1, ttl="30ms")
    wait_until(lambda: cache.get("key") is None)
    assert not cache.exists("key")


def test_stale_values_are_given_where_they_are_welcome(url: str) -> None:
    with coffer.Cache(url, ttl="20ms", stale_ttl="1h", ttl_jitter=0) as cache:
        cache.set("key", "old")
        wait_until(lambda: cache.get("key") is None)
        assert cache.get("key", stale=True) == "old"
        assert cache.get_many(["key"], stale=True) == {"key": "old"}
        entry = cache.get_entry("key", stale=True)
        assert entry is not None
        assert entry.source == "stale"


def test_counters_are_apart_from_values(cache: coffer.Cache) -> None:
    assert cache.counter("key") is None
    assert cache.increment("key") == 1
    assert cache.increment("key", 41) == 42
    assert cache.increment("key", -2, ttl="1h") == 40
    assert cache.counter("key") == 40
    assert cache.get("key") is None
    assert cache.reset_counter("key") is True
    assert cache.reset_counter("key") is False


def test_counters_have_64_bits_exactly(cache: coffer.Cache) -> None:
    assert cache.increment("key", 2**53 + 1) == 2**53 + 1
    assert cache.increment("key", 2**63 - 1 - (2**53 + 1)) == 2**63 - 1
    with pytest.raises(coffer.CounterError):
        cache.increment("key")
    assert cache.counter("key") == 2**63 - 1
    assert cache.increment("low", -(2**63)) == -(2**63)


@pytest.mark.parametrize("count", [0, 1, 100, 2000])
def test_many_keys_at_once(cache: coffer.Cache, count: int) -> None:
    wanted: dict[str, Any] = {f"key:{number}": [number, "x" * (number % 50)] for number in range(count)}
    cache.set_many(wanted, ttl="1h")
    assert cache.get_many([*wanted, "nobody"]) == wanted
    assert cache.get_many(iter(wanted)) == wanted
    assert cache.delete_many([*wanted, "nobody"]) == count
    assert cache.get_many(wanted) == {}


@pytest.mark.parametrize("raw", [False, True])
def test_a_clear_takes_all_of_one_namespace(cache: coffer.Cache, raw: bool) -> None:
    ours = cache.namespace("ours", raw=raw)
    others = [cache.namespace("our"), cache.namespace("ours", version=2), cache.namespace("ours.x"), cache]
    for other in others:
        other.set("key", "stays")
    assert ours.clear() == 0
    ours.set_many({f"key *?[{number}]\\": b"v" for number in range(3000)})
    ours.set("absent", b"" if raw else coffer.ABSENT)
    ours.increment("n")
    assert ours.clear(timeout="20s") == 3002
    assert ours.get_many([f"key *?[{number}]\\" for number in range(3000)]) == {}
    assert ours.counter("n") is None
    assert ours.clear() == 0
    assert [other.get("key") for other in others] == ["stays"] * 4
    assert [other.clear() for other in others[:3]] == [1] * 3
    assert ours.stats().latency["clear"].count == 3


def test_a_load_that_began_before_a_clear_stores_nothing(cache: coffer.Cache) -> None:
    def load(key: str) -> str:
        cache.clear()
        return "read before"

    assert cache.get_or_load("key", load) == "read before"
    assert cache.get("key") is None
    assert cache.get_or_load("key", lambda _: "new") == "new"
    assert cache.get("key") == "new"


def test_many_values_of_all_kinds(cache: coffer.Cache) -> None:
    wanted = {"text": "t", "bytes": b"b", "json": {"a": [1]}, "none": None, "view": memoryview(b"view"), "array": bytearray(b"array")}
    cache.set_many(wanted)
    assert cache.get_many([*wanted, "text"]) == {**wanted, "view": b"view", "array": b"array"}


def test_namespaces_share_the_pool_and_not_the_keys(cache: coffer.Cache) -> None:
    users = cache.namespace("users", ttl="30m")
    pages = cache.namespace("pages")
    users.set("1", "a user")
    pages.set("1", "a page")
    assert (users.get("1"), pages.get("1"), cache.get("1")) == ("a user", "a page", None)
    assert 1700 < (users.ttl("1") or 0) <= 1980
    assert users.option("prefix") == "test"
    pools = {one.stats().pool.made for one in (cache, users, pages)}
    assert len(pools) == 1, "one pool for all"
    assert pools.pop() <= 1


def test_names_on_the_server_are_three_fields(raw: Resp, server: Any) -> None:
    with coffer.Cache(server.url, prefix="prod", namespace="users", version=3) as cache:
        cache.set("a{b}", 1)
        cache.increment("visits")
    keys = raw.call("KEYS", "*")
    assert isinstance(keys, list)
    assert sorted(keys) == [b"prod:users@3:#visits", b"prod:users@3:a%7Bb%7D"]


def test_a_cache_that_is_turned_off_stores_nothing(url: str) -> None:
    with coffer.Cache(url, enabled=False) as cache:
        cache.set("key", 1)
        assert cache.get("key") is None
        assert cache.get_or_load("key", lambda _: 2) == 2
        assert cache.stats().bypassed >= 2


def test_ping(cache: coffer.Cache) -> None:
    cache.ping()
    cache.ping(timeout=1)


def test_stats_count_what_was_done(cache: coffer.Cache, url: str) -> None:
    cache.set("key", b"12345")
    cache.get("key")
    cache.get("nobody")
    cache.delete("key")
    cache.get_or_load("key", lambda _: "loaded")
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.deletes, stats.loads) == (1, 2, 1, 1)
    assert stats.sets == 2
    assert stats.bytes_read >= 5
    assert stats.bytes_written >= 5
    assert 0 < stats.hit_ratio < 1
    assert stats.refusals == {}
    if url == "mem://":
        assert stats.store.entries == 1
        assert stats.store.memory_bytes >= 2**20
        assert stats.pool.made == 0
    else:
        assert stats.pool.made == 1
        assert stats.pool.in_use == 0
        assert stats.latency["get"].count == 2
        assert 0 < stats.latency["get"].p50_us <= stats.latency["get"].p99_us <= stats.latency["get"].max_us * 1.07


def test_stats_are_by_namespace(memory: coffer.Cache) -> None:
    other = memory.namespace("other")
    other.set("key", 1)
    assert (memory.stats().sets, other.stats().sets) == (0, 1)
    assert memory.stats().hit_ratio == 0.0
