"""Reads of what is in this host's memory: in one crossing, and with `near_objects` without decoding again. Here on mem://, whose
arena is what a server's near copies lie in too."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import coffer
import coffer.aio
import coffer.testing
from coffer import _coffer_core as core
from coffer._cache import Cache as Blocking
from support import RedisServer, wait_until


@pytest.fixture
def kept(both: None) -> Iterator[coffer.Cache]:
    with coffer.Cache("mem://", near_objects=3) as cache:
        yield cache


# ---- the call that is written in C


def test_its_arguments_and_words_are_those_that_the_source_shows() -> None:
    source = inspect.getsource(Blocking)
    shown = source[source.index("def get(self") : source.index("def get_entry")]
    signature = ["self", "key", "default", "stale", "timeout"]
    assert list(inspect.signature(Blocking.get).parameters) == signature
    assert [shown.index(f"{name}") for name in signature] == sorted(shown.index(f"{name}") for name in signature)
    words = shown[shown.index('"""') + 3 : shown.rindex('"""')]
    assert Blocking.get.__doc__ is not None
    assert words.split() == Blocking.get.__doc__.split()


@pytest.mark.parametrize(
    "call",
    [
        lambda cache: cache.get(),
        lambda cache: cache.get("a", 1, 2),
        lambda cache: cache.get("a", 1, True, 3),
        lambda cache: cache.get("a", nothing=1),
        lambda cache: cache.get("a", key="a"),
        lambda cache: cache.get(default=1),
    ],
)
def test_what_it_is_not_called_with_raises_type_error(memory: coffer.Cache, call: Callable[[coffer.Cache], Any]) -> None:
    with pytest.raises(TypeError):
        call(memory)


def test_it_is_called_in_every_way(memory: coffer.Cache) -> None:
    memory.set("key", [1])
    assert memory.get("key") == memory.get(key="key") == memory.get("key", 2) == memory.get("key", default=2, stale=True, timeout=1) == [1]
    assert memory.get("none") is None
    assert memory.get("none", 2) == memory.get("none", default=2) == memory.get(b"none", 2, timeout="1s") == 2
    for wrong in (0, -1, "x", "forever"):
        with pytest.raises(coffer.ArgumentError):
            memory.get("key", timeout=wrong)
    with pytest.raises(coffer.ValueTypeError, match="a key is a str or bytes, not int"):
        memory.get(1)  # type: ignore[arg-type]


def test_each_read_is_counted_and_some_are_timed(memory: coffer.Cache) -> None:
    memory.set("key", b"12345")
    before = memory.stats()
    for _ in range(200):
        memory.get("key")
        memory.get("none")
    stats = memory.stats()
    assert (stats.hits - before.hits, stats.misses - before.misses, stats.bytes_read - before.bytes_read) == (200, 200, 1000)
    assert stats.latency["get"].count == 400
    assert stats.latency["get"].max_us > 0


def test_a_value_that_ends_is_gone_when_it_ends(memory: coffer.Cache) -> None:
    with coffer.testing.clock() as clock:
        memory.set("key", "value", ttl=10)
        clock.move(9.9)
        assert memory.get("key") == "value"
        clock.move(2)  # jitter included
        assert memory.get("key") is None


def test_large_values_are_read_whole_and_hold_no_memory(memory: coffer.Cache) -> None:
    large = bytes(range(256)) * 4000
    memory.set("large", large)
    memory.set("small", b"small")
    for _ in range(3):
        assert (memory.get("large"), memory.get("small"), memory.get("small"), memory.get("large")) == (large, b"small", b"small", large)


def test_what_was_never_opened_says_so() -> None:
    cache = Blocking.__new__(Blocking)
    with pytest.raises(coffer.ClosedError):
        cache.get("key")
    with pytest.raises(AttributeError):
        assert cache._handle
    assert isinstance(cache, core.Reader)


def test_asyncio_gets_it_without_a_turn_of_the_loop() -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        async with coffer.aio.Cache("mem://") as cache:
            await cache.set("key", "value")
            asyncio.get_running_loop().call_soon(seen.append, "turn")
            for _ in range(10):
                seen.append(await cache.get("key"))
        return seen

    assert asyncio.run(main())[:10] == ["value"] * 10


# ---- get_or_load and @cached: what is near makes no op


def never(*_: Any) -> Any:
    raise AssertionError("what is near was asked for by an op")


def cached_function(cache: coffer.Cache) -> Callable[[], Any]:
    return cache.cached(key="key")(never)


def cached_method(cache: coffer.Cache) -> Callable[[], Any]:
    class Owner:
        @cache.cached(key="key", timeout="5s", ttl=60)
        def method(self) -> Any:
            return never()

    return Owner().method


LOADS: dict[str, Callable[[coffer.Cache], Callable[[], Any]]] = {
    "get_or_load": lambda cache: lambda: cache.get_or_load("key", never),
    "get_or_load with all": lambda cache: lambda: cache.get_or_load("key", never, "1h", timeout=5),
    "cached": cached_function,
    "cached method": cached_method,
}


@pytest.mark.parametrize("way", LOADS)
@pytest.mark.parametrize("value", [b"bytes", "text", [1, {"a": None}], None, 0], ids=repr)
def test_loads_of_what_is_near_make_no_op(memory: coffer.Cache, monkeypatch: pytest.MonkeyPatch, way: str, value: Any) -> None:
    read = LOADS[way](memory)
    memory.set("key", value)
    monkeypatch.setattr(core, "load_begin", never)
    before = memory.stats()
    for _ in range(100):
        assert read() == value
    stats = memory.stats()
    assert stats.hits - before.hits == 100
    assert (stats.latency["get_or_load"].count, "get" in stats.latency) == (100, False)
    assert stats.latency["get_or_load"].timed_count == 2
    assert (stats.loads, stats.misses) == (before.loads, before.misses)


def test_gets_between_leave_loads_timed(memory: coffer.Cache) -> None:
    memory.set("key", 1)
    for _ in range(128):
        memory.get("key")
        memory.get_or_load("key", never)
    latency = memory.stats().latency
    assert (latency["get"].timed_count, latency["get_or_load"].timed_count) == (2, 2)


def test_a_load_of_what_is_near_refuses_what_any_load_does(memory: coffer.Cache) -> None:
    memory.set("key", 1)
    for wrong in (0, -1, "x"):
        with pytest.raises(coffer.ArgumentError):
            memory.get_or_load("key", never, timeout=wrong)
        with pytest.raises(coffer.ArgumentError):
            memory.get_or_load("key", never, ttl=wrong)
        for options in ({"timeout": wrong}, {"ttl": wrong}):
            with pytest.raises(coffer.ArgumentError):
                memory.cached(key="key", **options)(never)()  # type: ignore[arg-type]
    with pytest.raises(coffer.ArgumentError):
        memory.get_or_load("key", never, timeout="forever")
    with pytest.raises(coffer.ValueTypeError, match="a key is a str or bytes, not int"):
        memory.get_or_load(1, never)  # type: ignore[type-var]
    for key in ("", "a\nkey", "\ud800", "k" * 251):
        with pytest.raises(coffer.KeyInvalidError):
            memory.get_or_load(key, never)
    assert memory.get_or_load("key", never) == 1
    memory.close()
    with pytest.raises(coffer.ClosedError):
        memory.get_or_load("key", never)
    with pytest.raises(coffer.ClosedError):
        memory.cached(key="key")(never)()


def test_a_load_takes_what_is_near_only_while_it_may(memory: coffer.Cache) -> None:
    with coffer.testing.clock() as clock:
        memory.set("key", "near", ttl=10)
        memory.set("absent", coffer.ABSENT, ttl=10)
        memory.turn_off(operation="get_or_load")
        assert (memory.get_or_load("key", lambda _: "loaded"), memory.get("key")) == ("loaded", "near")
        memory.turn_on(operation="get_or_load")
        memory.turn_off(operation="get")
        assert (memory.get_or_load("key", never), memory.get("key")) == ("near", None)
        memory.turn_on(operation="get")
        clock.move(12)
        assert [memory.get_or_load(key, lambda key: key) for key in ("key", "absent")] == ["key", "absent"]


def test_near_reads_go_on_after_a_large_value(memory: coffer.Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.set("large", bytes(100_000))
    memory.set("key", "small")
    assert memory.get("large") == memory.get_or_load("large", never) == bytes(100_000)
    assert memory.get("key") == "small"  # by an op, which tells that what is read is small again
    monkeypatch.setattr(core, "load_begin", never)
    monkeypatch.setattr(core, "get", never)
    assert memory.get_or_load("key", never) == memory.get("key") == "small"


def test_asyncio_loads_it_without_a_turn_of_the_loop() -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        async with coffer.aio.Cache("mem://") as cache:
            await cache.set("key", "value")

            @cache.cached(key="key")
            async def remembered() -> str:
                return str(never())

            asyncio.get_running_loop().call_soon(seen.append, "turn")
            for _ in range(5):
                seen += [str(await cache.get_or_load("key", never)), await remembered()]
        return seen

    assert asyncio.run(main())[:10] == ["value"] * 10


def test_asyncio_has_what_is_near_before_it_looks_for_a_loop() -> None:
    """As long as nothing has to wait, no loop is asked which it is."""
    with Blocking("mem://") as cache:
        cache.set("key", "value")
        twin = coffer.aio.Cache.__new__(coffer.aio.Cache)
        core.Reader._handle.__set__(twin, cache._handle)  # type: ignore[attr-defined]
        twin._decode = cache._decode
        for ask in (twin.get("key"), twin.get_or_load("key", never)):
            with pytest.raises(StopIteration, match="value"):
                ask.send(None)


# ---- objects


def test_the_same_object_is_answered_again(kept: coffer.Cache) -> None:
    kept.set("key", {"list": [1]})
    first = kept.get("key")
    assert first == {"list": [1]}
    assert kept.get("key") is first
    assert kept.get("key", stale=True) is first
    assert kept.get_or_load("key", never) is cached_method(kept)() is first
    first["mine"] = True  # which is why one copies what one changes
    assert kept.get("key") == {"list": [1], "mine": True}
    entry = kept.get_entry("key")
    assert entry is not None
    assert entry.value["list"] == [1]


def test_an_object_is_counted_as_what_asked_for_it_and_given_to_what_is_on(kept: coffer.Cache) -> None:
    kept.set("key", [1])
    first = kept.get("key")
    assert [kept.get_or_load("key", never) is first for _ in range(3)] == [True] * 3
    latency = kept.stats().latency
    assert (latency["get"].count, latency["get_or_load"].count) == (1, 3)
    kept.turn_off(operation="get")
    assert kept.get_or_load("key", never) is first
    kept.turn_on(operation="get")
    kept.turn_off(operation="get_or_load")
    assert kept.get("key") is first
    assert kept.get_or_load("key", lambda _: "loaded") == "loaded"


def test_without_objects_each_read_makes_its_own(memory: coffer.Cache) -> None:
    memory.set("key", [1])
    assert memory.get("key") is not memory.get("key")


READS: dict[str, Callable[[coffer.Cache], Any]] = {
    "get": lambda cache: cache.get("key"),
    "get_or_load": lambda cache: cache.get_or_load("key", lambda _: None),
}

CHANGES: dict[str, Callable[[coffer.Cache], object]] = {
    "set": lambda cache: cache.set("key", [2]),
    "the same again": lambda cache: cache.set("key", [1]),
    "set_many": lambda cache: cache.set_many({"key": [2]}),
    "replace": lambda cache: cache.replace("key", [2]),
    "delete": lambda cache: cache.delete("key"),
    "delete_many": lambda cache: cache.delete_many(["key"]),
    "clear": lambda cache: cache.clear(),
    "an absence": lambda cache: cache.set("key", coffer.ABSENT),
    "turned off": lambda cache: cache.turn_off(),
    "turned off, each alone": lambda cache: [cache.turn_off(operation=read) for read in READS],
    "no share": lambda cache: cache.set_share(0),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("change", CHANGES)
def test_no_object_outlives_a_change(kept: coffer.Cache, change: str, read: str) -> None:
    kept.set("key", [1])
    first = READS[read](kept)
    assert READS[read](kept) is first
    other = kept.namespace("_") if change != "turned off" else kept  # by whom it is changed makes no difference
    CHANGES[change](other)
    now = READS[read](kept)
    assert now is not first
    assert now in ([1], [2], None)
    assert now != [1] or change == "the same again"


def test_no_object_outlives_its_entry(kept: coffer.Cache) -> None:
    with coffer.testing.clock() as clock:
        kept.set("key", [1], ttl=10)
        assert kept.get("key") is kept.get("key")
        clock.move(12)
        assert kept.get("key") is None


def test_as_many_are_kept_as_was_said_and_the_oldest_goes_first(kept: coffer.Cache) -> None:
    for name in "abcd":
        kept.set(name, [name])
    first = {name: kept.get(name) for name in "abcd"}
    assert {name: kept.get(name) is first[name] for name in "bcd"} == {"b": True, "c": True, "d": True}
    assert kept.get("a") is not first["a"]  # and took the place of b
    assert kept.get("b") is not first["b"]
    for _ in range(100):
        for name in "abcdcba":
            assert kept.get(name) == [name]


def test_a_namespace_has_its_own(kept: coffer.Cache) -> None:
    users, pages = kept.namespace("users"), kept.namespace("pages", near_objects=0)
    for cache in (kept, users, pages):
        cache.set("key", [1])
    assert users.get("key") is users.get("key")
    assert users.get("key") is not kept.get("key")
    assert pages.get("key") is not pages.get("key")


@pytest.mark.parametrize("wrong", [-1, 10**9, 1.5, "3", True])
def test_other_counts_are_refused(both: None, wrong: Any) -> None:
    with pytest.raises((coffer.ArgumentError, coffer.ValueTypeError), match="near_objects"):
        coffer.Cache("mem://", near_objects=wrong)


class Text(str):
    """Which a cache keeps no object by: it may compare as it likes."""

    __slots__ = ()


def test_other_keys_are_read_without_objects(kept: coffer.Cache) -> None:
    kept.set("key", [1])
    assert kept.get("key") is kept.get("key")
    assert kept.get(b"key") == kept.get(Text("key")) == [1]
    assert kept.get(b"key") is not kept.get(b"key")


def test_objects_go_with_the_cache() -> None:
    """Those of coffer.Cache: a subclass of dict that decoding makes can be watched."""

    class Watched(dict[str, Any]):
        pass

    cache = Blocking("mem://", near_objects=2)
    cache._decode = lambda text: Watched(text=text)
    cache.set("key", {"a": 1})
    watched = weakref.ref(cache.get("key"))
    gc.collect()
    assert watched() is cache.get("key")
    cache.set("key", {"a": 2})
    assert cache.get("key") == {"text": '{"a":2}'}
    gc.collect()
    assert watched() is None
    watched = weakref.ref(cache.get("key"))
    cache.close()
    gc.collect()
    assert watched() is None


def test_a_decoder_may_use_the_cache_and_close_it() -> None:
    cache = Blocking("mem://", near_objects=1)
    cache.set("a", [1])
    cache.set("b", "text")

    def decode(text: str) -> Any:
        assert cache.get("b") == "text"
        cache.close()
        return [text]

    cache._decode = decode
    assert cache.get("a") == ["[1]"]
    with pytest.raises(coffer.ClosedError):
        cache.get("a")


class Closing:
    """Closes the cache when it is let go of."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def __del__(self) -> None:
        self.cache.close()


def test_an_object_that_goes_may_close_the_cache() -> None:
    cache = Blocking("mem://", near_objects=1)
    cache.set("a", [1])
    cache.get("a").append(Closing(cache))
    cache.set("a", [2])
    assert cache.get("a") == [2]
    with pytest.raises(coffer.ClosedError):
        cache.get("a")


def test_threads_never_see_an_older_object() -> None:
    """A writer counts up; whoever reads sees it never go back, and nothing older than what was written before it asked."""
    faults: list[str] = []
    written = 0
    is_over = threading.Event()

    def read(cache: Any) -> None:
        last = 0
        while not is_over.is_set():
            least = written
            got = cache.get("key")["n"]
            if got < max(last, least):
                faults.append(f"{got} after {last}, when {least} was written")
            last = got

    with Blocking("mem://", near_objects=8) as cache:
        cache.set("key", {"n": 0})
        threads = [threading.Thread(target=read, args=(cache,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            for number in range(written + 1, written + 50):
                cache.set("key", {"n": number})
                written = number
        is_over.set()
        for thread in threads:
            thread.join(30)
    assert faults == []


# ---- with a server


@pytest.mark.parametrize("near", ["process", "shared"])
def test_objects_of_a_server_s_values_go_when_somebody_changes_them(both: None, server: RedisServer, near: str) -> None:
    name = f"coffer-test-{os.getpid()}-objects"
    try:
        with coffer.Cache(server.url, near=near, near_name=name, near_bytes="4MiB", near_objects=8) as cache, Blocking(server.url) as other:
            last = None
            for number in range(20):
                other.set("key", {"n": number})
                wait_until(lambda: cache.get("key") == {"n": number})  # noqa: B023
                wait_until(lambda: cache.get("key") is cache.get("key"))
                assert cache.get("key") is not last
                last = cache.get("key")
                assert last == {"n": number}
            hits = cache.stats().near_hits
            assert cache.get("key") is last
            assert cache.stats().near_hits == hits + 1
            cache.set("key", {"n": -1})
            assert cache.get("key") == {"n": -1}
            other.delete("key")
            wait_until(lambda: cache.get("key") is None)
    finally:
        for path in Path("/dev/shm").glob(f"{name}.*"):
            path.unlink()


def test_loads_of_a_server_s_values_take_the_copy_until_it_changes(
    both: None, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with coffer.Cache(server.url, near="process", near_bytes="4MiB") as cache, Blocking(server.url) as other:

        def is_near(key: str) -> bool:
            before = cache.stats()
            cache.get_or_load(key, never)
            stats = cache.stats()
            return stats.near_hits + stats.near_negative_hits > before.near_hits + before.near_negative_hits

        other.set("key", "first")
        other.set("gone", coffer.ABSENT)
        wait_until(lambda: is_near("key") and is_near("gone"))
        with monkeypatch.context() as patch:
            patch.setattr(core, "load_begin", never)
            before = cache.stats()
            assert [cache.get_or_load(key, never) for key in ("key", "gone", "gone")] == ["first", None, None]
            assert cached_function(cache)() == "first"
            stats = cache.stats()
            assert (stats.near_hits - before.near_hits, stats.near_negative_hits - before.near_negative_hits) == (2, 2)
        other.set("key", "second")
        other.set("gone", "there")
        wait_until(lambda: [cache.get_or_load(key, never) for key in ("key", "gone")] == ["second", "there"])
        other.delete("key")
        wait_until(lambda: cache.get_or_load("key", lambda _: "loaded") == "loaded")
        assert other.get("key") == "loaded"
