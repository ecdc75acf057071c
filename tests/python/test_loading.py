"""get_or_load and @cached: one loader per key, whatever happens to it."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import coffer
from support import together, wait_until

pytestmark = pytest.mark.usefixtures("both")


class Loader:
    """Counts its calls; answers or raises what it is told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.keys: list[Any] = []

    def __call__(self, key: Any) -> Any:
        self.keys.append(key)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_the_loader_runs_once_and_its_value_is_stored(cache: coffer.Cache) -> None:
    loader = Loader({"id": 1})
    assert cache.get_or_load("key", loader, ttl="1h") == {"id": 1}
    assert cache.get_or_load("key", loader) == {"id": 1}
    assert cache.get("key") == {"id": 1}
    assert loader.keys == ["key"]
    assert 3500 < (cache.ttl("key") or 0) <= 3960


@pytest.mark.parametrize("absence", [None, coffer.ABSENT], ids=repr)
def test_a_loaded_absence_is_remembered(cache: coffer.Cache, absence: Any) -> None:
    loader = Loader(absence)
    assert cache.get_or_load("key", loader) is None
    assert cache.get_or_load("key", loader) is None
    assert len(loader.keys) == 1
    assert cache.get("key", "a default") == "a default"


def test_an_absence_is_not_remembered_where_not_wished(url: str) -> None:
    with coffer.Cache(url, negative_ttl=0) as cache:
        loader = Loader(None)
        assert [cache.get_or_load("key", loader) for _ in range(2)] == [None, None]
        assert len(loader.keys) == 2


class Broken(Exception):
    pass


def test_what_the_loader_raises_comes_out_unchanged(cache: coffer.Cache) -> None:
    fault = Broken("as it was")
    with pytest.raises(Broken) as caught:
        cache.get_or_load("key", Loader(fault))
    assert caught.value is fault
    assert caught.value.__cause__ is None
    assert cache.get_or_load("key", Loader("next")) == "next"
    assert cache.stats().load_failures == 1


def test_a_stale_value_is_served_when_the_loader_fails(url: str) -> None:
    with coffer.Cache(url, ttl="20ms", stale_ttl="1h", ttl_jitter=0) as cache:
        cache.set("key", "old")
        wait_until(lambda: cache.get("key") is None)
        assert cache.get_or_load("key", Loader(Broken())) == "old"
        assert cache.get_or_load("key", Loader("new"), ttl="1h") == "new"


def test_an_interrupted_loader_is_never_replaced_by_a_stale_value(url: str) -> None:
    with coffer.Cache(url, ttl="20ms", stale_ttl="1h", ttl_jitter=0) as cache:
        cache.set("key", "old")
        wait_until(lambda: cache.get("key") is None)
        with pytest.raises(KeyboardInterrupt):
            cache.get_or_load("key", Loader(KeyboardInterrupt()))
        assert cache.get_or_load("key", Loader("new"), ttl="1h") == "new"


def test_a_load_of_the_key_that_is_being_loaded_is_refused(cache: coffer.Cache) -> None:
    def outer(_: str) -> Any:
        return cache.get_or_load("other", lambda _: cache.get_or_load("key", Loader("never")))

    with pytest.raises(coffer.LoadError) as caught:
        cache.get_or_load("key", outer, timeout=5)
    assert caught.value.status == "LOAD_RECURSIVE"


def test_a_loader_may_use_the_cache(cache: coffer.Cache) -> None:
    def outer(key: str) -> Any:
        cache.set("seen", key)
        return [cache.get_or_load("inner", lambda key: key + "!"), cache.get("seen")]

    assert cache.get_or_load("key", outer) == ["inner!", "key"]
    assert cache.get("inner") == "inner!"


def test_a_write_during_the_load_wins(cache: coffer.Cache) -> None:
    def overtaken(_: str) -> str:
        cache.set("key", "newer")
        return "older"

    assert cache.get_or_load("key", overtaken) == "older"
    assert cache.get("key") == "newer"
    assert cache.stats().fills_refused == 1


def test_threads_that_ask_together_load_once(cache: coffer.Cache) -> None:
    calls: list[str] = []
    go = threading.Event()

    def loader(key: str) -> dict[str, int]:
        calls.append(key)
        go.wait(10)
        return {"value": 42}

    def ask(index: int) -> Any:
        if index == 0:
            wait_until(lambda: cache.stats().load_waits >= 7 or len(calls) > 1)
            go.set()
            return {"value": 42}
        return cache.get_or_load("key", loader, timeout=10)

    assert together(9, ask) == [{"value": 42}] * 9
    assert calls == ["key"]


def test_threads_that_waited_for_a_failed_loader_are_told(memory: coffer.Cache) -> None:
    go = threading.Event()

    def loader(_: str) -> Any:
        go.wait(10)
        raise Broken

    def ask(index: int) -> Any:
        if index == 0:
            wait_until(lambda: memory.stats().load_waits >= 3)
            go.set()
            return None
        return memory.get_or_load("key", loader, timeout=10)

    kinds = sorted(type(result).__name__ for result in together(5, ask))
    assert kinds == ["Broken", "LoadError", "LoadError", "LoadError", "NoneType"]


def test_an_interrupted_loader_hands_over(memory: coffer.Cache) -> None:
    """One of those that wait runs its own loader, while the exception of the first is still held."""
    entered = threading.Event()
    go = threading.Event()

    def first(_: str) -> Any:
        entered.set()
        go.wait(10)
        raise SystemExit

    def ask(index: int) -> Any:
        if index == 0:
            return memory.get_or_load("key", first)
        entered.wait(10)
        if index == 1:
            return memory.get_or_load("key", Loader("second"), timeout=10)
        wait_until(lambda: memory.stats().load_waits >= 1)
        go.set()
        return None

    began = time.monotonic()
    results = together(3, ask)
    assert isinstance(results[0], SystemExit)
    assert results[1:] == ["second", None]
    assert time.monotonic() - began < 5


def test_loads_of_different_keys_do_not_wait_for_each_other(memory: coffer.Cache) -> None:
    meeting = threading.Barrier(8)

    def loader(key: str) -> str:
        meeting.wait(10)
        return key

    assert together(8, lambda index: memory.get_or_load(f"key:{index}", loader)) == [f"key:{index}" for index in range(8)]


def test_a_value_too_large_to_store_is_still_answered(url: str) -> None:
    with coffer.Cache(url, max_value=1024) as cache:
        assert cache.get_or_load("key", Loader(bytes(2000))) == bytes(2000)
        assert cache.get("key") is None


def test_without_a_server_the_loader_answers() -> None:
    with coffer.Cache("redis://127.0.0.1:1", timeout=0.5) as cache:
        assert cache.get_or_load("key", Loader("from the database")) == "from the database"
        assert cache.stats().outage_misses == 1
        assert cache.stats().errors == 0


def test_the_loaders_own_time_does_not_count(url: str) -> None:
    with coffer.Cache(url, timeout=0.1) as cache:

        def slow(_: str) -> str:
            time.sleep(0.3)
            return "slow"

        assert cache.get_or_load("key", slow) == "slow"
        entry = cache.get_entry("key")
        assert entry is not None
        assert 0.25 < entry.load_cost < 5


# ---- @cached ----


def test_a_function_is_remembered(cache: coffer.Cache) -> None:
    runs: list[int] = []

    @cache.cached(ttl="10m")
    def double(number: int, *, plus: int = 0) -> int:
        """Twice."""
        runs.append(number)
        return number * 2 + plus

    assert [double(2), double(2), double(number=2), double(2, plus=0), double(2, plus=1)] == [4, 4, 4, 4, 5]
    assert runs == [2, 2]
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice."
    assert list(inspect.signature(double).parameters) == ["number", "plus"]
    assert double.invalidate(2) is True
    assert double.invalidate(2) is False
    assert double(2) == 4
    assert runs == [2, 2, 2]


def test_refresh_runs_the_function_again(memory: coffer.Cache) -> None:
    answers = iter(["first", "second", None, "third"])

    @memory.cached()
    def answer() -> str | None:
        return next(answers)

    assert [answer(), answer.refresh(), answer(), answer.refresh(), answer()] == ["first", "second", "second", None, None]


def test_however_a_call_gives_its_arguments_its_key_is_the_same(memory: coffer.Cache) -> None:
    def by_place(a: int, b: int, /) -> None: ...
    def either(a: int, b: int = 2) -> None: ...
    def named(a: int, *, b: int = 2) -> None: ...
    def rest(a: int, *b: int) -> None: ...

    for function in (either, named):
        remembered: Any = memory.cached(key="{a}:{b}")(function)
        assert remembered.key(1) == remembered.key(1, b=2) == remembered.key(a=1, b=2) == "1:2"
    remembered = memory.cached()(either)
    assert remembered.key(1, 2) == remembered.key(1) == remembered.key(b=2, a=1)
    assert memory.cached(key="{a}:{b}")(by_place).key(1, 2) == memory.cached(key="{a}:{b}")(either).key(1, 2) == "1:2"
    assert memory.cached(key="{a}:{b}")(rest).key(1, 2) != "1:2"
    for wrong in ((), (1, 2, 3)):
        with pytest.raises(TypeError):
            remembered.key(*wrong)


def test_a_template_makes_the_key(memory: coffer.Cache) -> None:
    @memory.cached(key="user:{id}:{kind}")
    def user(id: str, kind: str = "plain") -> str:
        return id + kind

    assert user.key("42") == "user:42:plain"
    assert user.key("a:b", kind="%") == "user:a%3Ab:%25"
    shown: Any = memory.cached(key="{{{id}}}:{kind!r:>8}")(lambda id, kind: None)
    assert (shown.key("a:b", "c"), shown.key(1, "%")) == ("{a%3Ab}:     'c'", "{1}:     '%25'")
    braces: Any = memory.cached(key="{{{id}}}:{id}")(lambda id: None)
    assert braces.key("a:b") == "{a%3Ab}:a%3Ab"
    assert user("42") == "42plain"
    assert memory.get("user:42:plain") == "42plain"


def test_a_function_makes_the_key(memory: coffer.Cache) -> None:
    @memory.cached(key=lambda id: coffer.key("user", id))
    def user(id: int) -> int:
        return id

    assert user(7) == 7
    assert memory.get("user:7") == 7


@pytest.mark.parametrize("template", ["user:{nobody}", "user:{", "user:{}", "user:{0}", "user:{id.x", "{self}"])
def test_a_template_that_names_no_parameter_is_refused(memory: coffer.Cache, template: str) -> None:
    with pytest.raises(coffer.ArgumentError):

        @memory.cached(key=template)
        def user(id: int) -> int:
            return id


def test_different_arguments_never_share_a_key(memory: coffer.Cache) -> None:
    @memory.cached()
    def anything(*args: object, **kwargs: object) -> None:
        return None

    atoms: list[Any] = [
        None,
        True,
        False,
        0,
        1,
        -1,
        1.0,
        0.0,
        "",
        "1",
        "'1",
        "null",
        "true",
        "a",
        "a:b",
        "a%3Ab",
        ":",
        b"",
        b"1",
        b"a",
        "x61",
    ]
    nested: list[Any] = [
        (),
        [],
        {},
        (1,),
        [1],
        (1, 2),
        ((1,), 2),
        (1, (2,)),
        ("1:2",),
        ("1", "2"),
        {"a": 1},
        {"a:1": 1},
        {"a": "1"},
        ((),),
        ([],),
    ]
    longer: list[Any] = ["x" * 300, "x" * 301, "line\n", "line\r", "\ud800", "\ud801", ("x" * 300,), ["x" * 300]]
    calls = [((one,), {}) for one in atoms + nested + longer] + [((one, two), {}) for one in atoms for two in atoms]
    calls += [((), {"a": one}) for one in atoms] + [((), {}), (("a",), {"a": "a"})]
    keys = [anything.key(*args, **kwargs) for args, kwargs in calls]
    assert len(set(keys)) == len(calls)
    for key in keys:
        memory.exists(key)  # each is one that the cache accepts


def test_arguments_that_have_no_exact_form_need_a_key(memory: coffer.Cache) -> None:
    @memory.cached()
    def anything(value: object) -> int:
        return 1

    with pytest.raises(coffer.ValueTypeError, match="key="):
        anything(object())


def test_methods_leave_self_out(memory: coffer.Cache) -> None:
    class Users:
        def __init__(self, name: str) -> None:
            self.name = name

        @memory.cached()
        def load(this, id: int) -> str:
            return f"{this.name}:{id}"

        @memory.cached(key="named:{id}")
        def named(self, id: int) -> str:
            return self.name

        @memory.cached(key=lambda id: f"made:{id}")
        def made(self, id: int) -> str:
            return self.name

        @staticmethod
        @memory.cached()
        def fixed(id: int) -> int:
            return id

    first, second = Users("first"), Users("second")
    assert [first.load(1), second.load(1), first.load(2)] == ["first:1", "first:1", "first:2"]
    assert first.load.key(1) == second.load.key(1) == Users.load.key(first, 1)
    assert second.load.invalidate(1)
    assert second.load(1) == "second:1"
    assert first.load.refresh(1) == "first:1"
    assert (first.named(1), first.named.key(1), second.named(1)) == ("first", "named:1", "first")
    assert (first.made(1), second.made(1), first.made.key(1)) == ("first", "first", "made:1")
    assert (first.fixed(3), Users.fixed(3)) == (3, 3)


def test_generators_are_refused(memory: coffer.Cache) -> None:
    async def async_generator() -> Any:
        yield 1

    def generator() -> Any:
        yield 1

    for function in (async_generator, generator):
        with pytest.raises(TypeError, match="generator"):
            memory.cached()(function)
    with pytest.raises(TypeError, match="parentheses"):
        memory.cached(generator)  # type: ignore[arg-type]


def test_a_cached_function_calls_itself(memory: coffer.Cache) -> None:
    @memory.cached()
    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    assert fibonacci(40) == 102334155


def test_a_wrong_call_is_the_functions_own_error(memory: coffer.Cache) -> None:
    @memory.cached()
    def one(number: int) -> int:
        return number

    bad: Callable[..., Any] = one
    with pytest.raises(TypeError):
        bad()
    with pytest.raises(TypeError):
        bad(1, 2)
