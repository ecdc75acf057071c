"""Runs every operation of the package while allocations fail: `starving.py LIBRARY URL WHOSE`; once and in want of nothing:
`starving.py URL`.

LIBRARY is made of tests/c/support/starve.c and starve_python.c. WHOSE allocations fail: "core" (those of the extension and the
core inside of it), "libraries" (theirs and those of hiredis, zstd and OpenSSL), or "python" (theirs and Python's own). Each
operation is run with its first allocation failed, then its second, and so on until none is left to fail: once that one alone,
once all that follow it too.

Whatever fails, the operation either does and answers what it always does, or raises MemoryError; on a server also what says that
the connection was lost. Afterwards the same cache works, and nothing that was lent or opened is still held. Says how many
allocations were failed; what is wrong ends the program, and so does a crash.
"""

from __future__ import annotations

import collections
import ctypes
import gc
import json
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coffer
from coffer import _coffer_core as core

FOR_GOOD = 20_000  # more than any operation asks for; an end, since CPython 3.11 can try for ever to enter an `except` without memory
MOST_POINTS = 5000
VALUE = {"text": "a value \N{SNOWMAN}", "list": [1, 2.5, None, True], "padding": "x" * 3000}
OTHER = b"another value" * 300


class Fault(Exception):
    """What loaders raise here."""


@dataclass(frozen=True)
class Operation:
    name: str  # of a public function, method or property, or of a way to use one
    run: Callable[[coffer.Cache], object]
    expected: object = None  # what it returns, a predicate of that, or the exception that it raises

    def is_expected(self, answer: object) -> bool:
        if isinstance(self.expected, type):
            return isinstance(answer, self.expected)
        if isinstance(answer, BaseException):
            return False
        return bool(self.expected(answer)) if callable(self.expected) else answer == self.expected


OPERATIONS: list[Operation] = []


def operation(name: str, expected: object = None) -> Callable[[Callable[[coffer.Cache], object]], Callable[[coffer.Cache], object]]:
    def add(run: Callable[[coffer.Cache], object]) -> Callable[[coffer.Cache], object]:
        OPERATIONS.append(Operation(name, run, expected))
        return run

    return add


def simple(name: str, run: Callable[[coffer.Cache], object], expected: object = None) -> None:
    OPERATIONS.append(Operation(name, run, expected))


# ---- the table: before each, "k" holds VALUE, "n" counts 5, "gone", "new" and "loaded" hold nothing ----

simple("get", lambda cache: cache.get("k"), VALUE)
simple("get of bytes", lambda cache: cache.get(b"bytes", timeout=1.5), OTHER)
simple("get of a miss", lambda cache: cache.get("gone", default=7), 7)
simple("get of a bad key", lambda cache: cache.get("a\nkey"), coffer.KeyInvalidError)
simple("get of a key that is no text", lambda cache: cache.get("\ud800"), coffer.KeyInvalidError)
simple("get of no key", lambda cache: cache.get(7), coffer.ValueTypeError)  # type: ignore[arg-type]
simple("get of text beyond ASCII", lambda cache: cache.get("".join(["k", "\N{SNOWMAN}"]), default=7), 7)
simple("get_entry", lambda cache: cache.get_entry("k", stale=True), lambda entry: entry.value == VALUE)
simple("get_entry of an absence", lambda cache: cache.get_entry("absent"), lambda entry: entry.value is coffer.ABSENT)
simple("set", lambda cache: cache.set("k", dict(VALUE), "10m"))
simple("set of bytes", lambda cache: cache.set("bytes", bytearray(OTHER), timeout="5s"))
simple("set of text", lambda cache: cache.set("text", "".join(["\N{SNOWMAN}"] * 99)))
simple("set of an absence", lambda cache: cache.set("absent", coffer.ABSENT))
simple("set of what cannot be stored", lambda cache: cache.set("k", {1, 2}), coffer.ValueTypeError)
simple("set of a NaN", lambda cache: cache.set("k", [float("nan")]), coffer.ArgumentError)
simple("set with a bad TTL", lambda cache: cache.set("k", VALUE, ttl=-1), coffer.ArgumentError)
simple("add", lambda cache: cache.add("new", VALUE, 60), True)
simple("add where there is one", lambda cache: cache.add("k", OTHER), False)
simple("replace", lambda cache: cache.replace("k", VALUE), True)
simple("replace where there is none", lambda cache: cache.replace("gone", coffer.ABSENT), False)
simple("compare_and_set of an old entry", lambda cache: cache.compare_and_set("k", 1, VALUE), False)
simple("delete", lambda cache: cache.delete("k"), lambda answer: answer in (True, False))
simple("exists", lambda cache: cache.exists("k"), True)
simple("ttl", lambda cache: cache.ttl("k"), lambda seconds: 0 < seconds <= 600)
simple("expire", lambda cache: cache.expire("k", "9m"), True)
simple("touch", lambda cache: cache.touch("k"), True)
simple("increment", lambda cache: cache.increment("n", 3), 8)
simple("increment beyond 64 bits", lambda cache: cache.increment("n", 2**63 - 1), coffer.CounterError)
simple("counter", lambda cache: cache.counter("n"), 5)
simple("reset_counter", lambda cache: cache.reset_counter("n"), True)
simple("get_many", lambda cache: cache.get_many(["k", "gone", b"bytes"]), {"k": VALUE, b"bytes": OTHER})
simple("set_many", lambda cache: cache.set_many({"k": VALUE, "bytes": OTHER, "text": "\N{SNOWMAN}" * 99}, "10m"))
simple("set_many of what cannot be stored", lambda cache: cache.set_many({"k": VALUE, "bytes": object()}), coffer.ValueTypeError)
simple("delete_many", lambda cache: cache.delete_many(["k", "gone"]), lambda count: count in (0, 1))
simple("clear", lambda cache: cache.namespace("others").clear(timeout=5), 0)
simple("get_or_load", lambda cache: cache.get_or_load("loaded", lambda _: dict(VALUE), "10m"), VALUE)
simple("get_or_load of what is there", lambda cache: cache.get_or_load("k", lambda _: None), VALUE)
simple("get_or_load of nothing", lambda cache: cache.get_or_load("loaded", lambda _: None))
simple("get_or_load of what cannot be stored", lambda cache: cache.get_or_load("loaded", lambda _: {1}), coffer.ValueTypeError)
simple("ping", lambda cache: cache.ping())
simple("stats", lambda cache: cache.stats(), lambda stats: stats.sets > 0 and stats.hit_ratio >= 0)
simple("health", lambda cache: cache.health(active=True), lambda health: health.owed_keys >= 0)
simple("turn_off", lambda cache: cache.turn_off(operation="touch"))
simple("turn_on", lambda cache: cache.turn_on(operation="touch"))
simple("turn_off of what there is not", lambda cache: cache.turn_off(operation="nothing"), coffer.ArgumentError)
simple("set_share", lambda cache: cache.set_share(100))
simple("option", lambda cache: cache.option("namespace"), lambda text: text in ("things", "child"))
simple("option that there is not", lambda cache: cache.option("nothing"), coffer.OptionError)
simple("key", lambda cache: cache.key("a", "b:c", 7), "a:b%3Ac:7")
simple("coffer.key", lambda _: coffer.key("a", "b:c", 7), "a:b%3Ac:7")
simple("coffer.options", lambda _: coffer.options(), lambda rows: len(rows) > 20 and all(row.help for row in rows))
simple("closed", lambda cache: cache.closed, False)
simple("repr", repr, lambda text: "namespace=things" in text)


@operation("get_or_load with a loader that raises", Fault)
def raising_loader(cache: coffer.Cache) -> object:
    def loader(key: str) -> object:
        raise Fault(key)

    return cache.get_or_load("loaded", loader)


@operation("get_or_load inside of a loader", VALUE)
def nested_loader(cache: coffer.Cache) -> object:
    return cache.get_or_load("loaded", lambda _: cache.get_or_load("inner", lambda _: VALUE))


@operation("get_or_load of its own key", coffer.LoadError)
def recursive_loader(cache: coffer.Cache) -> object:
    return cache.get_or_load("loaded", lambda key: cache.get_or_load(key, lambda _: VALUE))


@operation("compare_and_set", True)
def compare_and_set(cache: coffer.Cache) -> object:
    entry = cache.get_entry("k")
    assert entry is not None
    return cache.compare_and_set("k", entry.entry_id, VALUE, "10m")


@operation("cached", {"id": 7})
def cached(cache: coffer.Cache) -> object:
    @cache.cached(ttl="10m", key="loaded:{number}")
    def user(number: int) -> dict[str, int]:
        return {"id": number}

    return user(7)


@operation("CachedFunction.key", lambda key: key.endswith(":7:'x"))
def cached_key(cache: coffer.Cache) -> object:
    return METHODS.function.key(7, "x")


@operation("CachedFunction.invalidate", False)
def cached_invalidate(cache: coffer.Cache) -> object:
    return METHODS.function.invalidate(8)


@operation("CachedFunction.refresh", [7, "y"])
def cached_refresh(cache: coffer.Cache) -> object:
    return METHODS.function.refresh(7, "y")


@operation("CachedMethod", [9, ""])
def cached_method(cache: coffer.Cache) -> object:
    return METHODS.method(9)


@operation("CachedMethod.key", lambda key: key.endswith(":7:'x"))
def method_key(cache: coffer.Cache) -> object:
    return METHODS.method.key(7, "x")


@operation("CachedMethod.invalidate", False)
def method_invalidate(cache: coffer.Cache) -> object:
    return METHODS.method.invalidate(8)


@operation("CachedMethod.refresh", [7, "y"])
def method_refresh(cache: coffer.Cache) -> object:
    return METHODS.method.refresh(7, "y")


@operation("namespace", VALUE)
def namespace(cache: coffer.Cache) -> object:
    child = cache.namespace("child", ttl="5m", compress="never")
    child.set("k", VALUE)
    return child.get("k")


@operation("objects that are kept", VALUE)
def kept_objects(cache: coffer.Cache) -> object:
    child = cache.namespace("kept", near_objects=2)
    child.set("k", VALUE)
    return child.get("k") and child.get_or_load("k", lambda _: VALUE)


@operation("namespace with an option that is not its own", coffer.OptionError)
def bad_namespace(cache: coffer.Cache) -> object:
    return cache.namespace("child", pool_size=3)


@operation("close", coffer.ClosedError)
def close(cache: coffer.Cache) -> object:
    child = cache.namespace("child")
    child.close()
    assert child.closed
    return child.get("k")


@operation("Cache", OTHER)
def opened(cache: coffer.Cache) -> object:
    with coffer.Cache(URL, prefix="p", namespace="opened", ttl="10m", **SEALED) as other:
        other.set("k", OTHER)
        return other.get("k")


@operation("inspect", "OK")
def inspect(cache: coffer.Cache) -> object:
    with coffer.Cache("mem://?memory=1MiB", **GOLDEN["options"]) as other:
        return core.inspect(other._handle, GOLDEN["key"], bytes.fromhex(GOLDEN["envelope"]))["verdict"]


@operation("Cache from the environment", "environment")
def opened_from_environment(cache: coffer.Cache) -> object:
    with coffer.Cache(from_environment=True, prefix="p") as other:
        return other.option("namespace")


@operation("Cache with a bad option", coffer.OptionError)
def opened_badly(cache: coffer.Cache) -> object:
    return coffer.Cache(URL, pool_size="many")


@operation("Cache with a bad URL", coffer.OptionError)
def opened_nowhere(cache: coffer.Cache) -> object:
    return coffer.Cache("http://localhost")


# ---- the rest: what each operation stands on ----

SEALED = {"seal_key": "KXK7BE2W3yhxugNMld4ncLkCS5TdJm+4AUqT3CVutwA=", "compress": "trusted"}
GOLDENS = Path(__file__).resolve().parents[1] / "interop/golden/written/python.json"
GOLDEN = next(one for one in json.loads(GOLDENS.read_text(encoding="utf-8")) if one["name"] == "sealed-zstd-json-pad-64")
PREPARED_SECONDS = 600
URL = ""


class Methods:
    """A function and a method that are cached; made anew for each cache."""

    function: Any
    method: Any

    def remember(self, cache: coffer.Cache) -> None:
        def answer(number: int, text: str = "") -> list[object]:
            return [number, text]

        class Owner:
            @cache.cached()
            def method(self, number: int, text: str = "") -> list[object]:
                return [number, text]

        self.function = cache.cached()(answer)
        self.method = Owner().method

    def forget(self) -> None:
        self.function = self.method = None


METHODS = Methods()


def public_names() -> set[str]:
    """All that a program may call and that may need memory. Exceptions and dataclasses are made by the above."""
    names = {name for name in vars(coffer.Cache) if not name.startswith("_")} | {"Cache", "coffer.key", "coffer.options"}
    for kind in (coffer.CachedFunction, coffer.CachedMethod):
        names |= {f"{kind.__name__}.{name}" for name, call in vars(kind).items() if callable(call) and not name.startswith("_")}
    return names


def missing() -> set[str]:
    return public_names() - {one.name for one in OPERATIONS}


def prepare(cache: coffer.Cache) -> None:
    cache.set_many({"k": VALUE, "bytes": OTHER, "text": "\N{SNOWMAN}" * 99}, PREPARED_SECONDS)
    cache.set("absent", coffer.ABSENT)
    cache.delete_many(["gone", "new", "loaded", "inner", "loaded:7", METHODS.function.key(8), METHODS.method.key(8)])
    cache.reset_counter("n")
    cache.increment("n", 5)


def check(cache: coffer.Cache) -> None:
    """The same cache works, and nothing of what failed is seen: values are whole or are not there, loads are not under way any more."""
    assert cache.get("k", VALUE) == VALUE
    assert cache.get("bytes", OTHER) == OTHER
    assert cache.get("text", "\N{SNOWMAN}" * 99) == "\N{SNOWMAN}" * 99
    assert cache.get("new", VALUE) == VALUE
    assert cache.counter("n") in (None, 5, 8)
    for key in ("loaded", "inner"):
        assert cache.get_or_load(key, lambda _: VALUE, timeout="5s") in (VALUE, None), key
    assert cache.stats().pool.in_use == 0


class Hunger:
    def __init__(self, path: str, whose: str) -> None:
        self.whose = whose
        self.library = ctypes.CDLL(path)
        self.library.starve_live.restype = ctypes.c_long
        self.library.starve_end.restype = ctypes.c_bool
        parts = ["/_coffer_core", *(["libhiredis", "libzstd", "libcrypto"] if whose == "libraries" else [])]
        for part in parts:
            assert self.library.starve_hook(part.encode()) > 0, f"{part} is not loaded"
        if whose == "python":
            self.library.starve_python_hook()
        self.call = getattr(ctypes.PyDLL(path), "starve_python_call" if whose == "python" else "starve_module_call")
        self.call.restype = ctypes.py_object
        self.call.argtypes = [ctypes.py_object, ctypes.c_long, ctypes.c_long]

    def live(self) -> int:
        """Blocks of the core that are held, when no cache is open.

        CPython itself may lose a reference to a Cache, or the call of its finaliser, where it has no memory for a frame: such a cache
        is closed here, as it would be when the program ends. Nothing of it may stay then either."""
        gc.collect()
        lost = list(weakref.finalize._registry)  # type: ignore[attr-defined]
        assert self.whose == "python" or not lost
        for late in lost:
            late()
        return int(self.library.starve_live())


def is_allowed(answer: object, whose: str) -> bool:
    """What an operation may raise where memory is short.

    SystemError is CPython's own fault where it is told of a function in Python, or of nothing in particular (3.11 forgets its
    exception where it has no memory to note what it passed): what a function of the extension did wrong names that,
    "<built-in function get> returned NULL without setting an exception"."""
    if isinstance(answer, SystemError):
        return whose == "python" and "built-in" not in str(answer)
    if isinstance(answer, coffer.InternalError):
        return whose == "libraries"  # OpenSSL does not always say what it lacked
    is_remote = not URL.startswith("mem:")
    return isinstance(answer, MemoryError) or (is_remote and isinstance(answer, (coffer.ConnectionError, coffer.TimeoutError)))


def run_once(hunger: Hunger, one: Operation, cache: coffer.Cache, skip: int, refuse: int) -> bool:
    """Whether an allocation was failed."""
    prepare(cache)
    try:
        answer = hunger.call(lambda: one.run(cache), skip, refuse)
    except BaseException as fault:
        answer = fault
    did_starve = bool(hunger.library.starve_end())
    where = f"{one.name}: allocation {skip} {'and all after it' if refuse > 1 else 'alone'} failed"
    is_right = one.is_expected(answer) or (did_starve and is_allowed(answer, hunger.whose))
    if not is_right:
        if isinstance(answer, BaseException):
            raise AssertionError(where) from answer
        raise AssertionError(f"{where}: {answer!r}")
    del answer
    try:
        check(cache)
    except BaseException as fault:
        raise AssertionError(f"{where}: afterwards") from fault
    return did_starve


def points_of(hunger: Hunger, one: Operation, refuse: int) -> int:
    """Fails each allocation of an operation in turn; how many there were."""
    with open_cache() as cache:
        METHODS.remember(cache)
        for skip in range(MOST_POINTS):
            if not run_once(hunger, one, cache, skip, refuse):
                METHODS.forget()
                return skip
    raise AssertionError(f"{one.name} never ends")


def references() -> Iterator[int]:
    for lent in (VALUE, OTHER, coffer.ABSENT):
        yield sys.getrefcount(lent)


def use(url: str) -> None:
    global URL
    URL = url
    os.environ["COFFER_NAMESPACE"] = "environment"


def open_cache() -> coffer.Cache:
    return coffer.Cache(URL, prefix="starved", namespace="things", ttl="10m", timeout="5s", ttl_jitter=0, breaker=False, **SEALED)


def run_all(url: str) -> None:
    """Each operation once, in want of nothing."""
    use(url)
    with open_cache() as cache:
        METHODS.remember(cache)
        for one in OPERATIONS:
            prepare(cache)
            try:
                answer = one.run(cache)
            except Exception as fault:
                answer = fault
            assert one.is_expected(answer), f"{one.name}: {answer!r}"
            check(cache)
        METHODS.forget()


def main(path: str, url: str, whose: str) -> None:
    use(url)
    assert not missing(), f"these are not tried: {missing()}"
    hunger = Hunger(path, whose)
    counts: collections.Counter[str] = collections.Counter()
    for one in OPERATIONS:
        for refuse in (1, FOR_GOOD):
            points_of(hunger, one, 0)  # nothing fails: what stays for the thread's life is there afterwards
            before, lent = hunger.live(), list(references())
            counts["once" if refuse == 1 else "for good"] += points_of(hunger, one, refuse)
            if whose != "libraries":  # OpenSSL keeps what it wants to say of its own faults
                assert hunger.live() <= before, f"{one.name}: {hunger.live() - before} blocks of the core are lost"
            assert list(references()) == lent, f"{one.name}: references are lost: {lent}, {list(references())}"
    print(", ".join(f"{count} allocations failed {how}" for how, count in counts.items()))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        run_all(sys.argv[1])
    else:
        main(*sys.argv[1:])
