"""What is asyncio's own: tasks that are cancelled, loads that tasks share, and answers that need no loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

import coffer
import coffer.aio
from support import RedisServer, ScriptedServer
from verified import SHARED, is_right, value_of, works_in_a_task

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


# ---- one surface ----


def arguments_of(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """But for `self`, which is what it may be called by alone where C has it."""
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values() if one.name != "self"]


def test_the_names_and_arguments_are_those_of_cache() -> None:
    ours = {name for name in dir(coffer.aio.Cache) if not name.startswith("_")}
    theirs = {name for name in dir(coffer.Cache) if not name.startswith("_")}
    assert ours - {"aclose"} == theirs - {"close"}
    for name in sorted(theirs - {"close", "closed"} | {"__init__"}):
        one, other = (arguments_of(getattr(kind, name)) for kind in (coffer.aio.Cache, coffer.Cache))
        assert one == other, name


def test_every_method_is_explained() -> None:
    for name in dir(coffer.aio.Cache):
        if not name.startswith("_"):
            assert getattr(coffer.aio.Cache, name).__doc__, name
    assert coffer.aio.Cache.get.__doc__ == coffer.Cache.get.__doc__
    for name in coffer.aio.__all__:
        assert getattr(coffer.aio, name).__doc__


def test_a_default_may_be_a_future(run: Run, url: str) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(url) as cache:
            default = asyncio.get_running_loop().create_future()
            assert await cache.get("nobody", default) is default

    run(main)


# ---- answers in the process ----


class Unwilling:
    """Drives a coroutine that has no reason to wait."""

    @staticmethod
    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            waits_for = coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError(f"it waits for {waits_for!r}")


def test_memory_never_suspends_a_task(run: Run) -> None:
    async def load(key: str) -> str:
        return key + "!"

    async def main() -> None:
        go = Unwilling.run
        cache = coffer.aio.Cache()
        created = 0
        loop = asyncio.get_running_loop()
        if not type(loop).__module__.startswith("uvloop"):  # which lets nobody look
            plain = loop.create_future

            def counting() -> Any:
                nonlocal created
                created += 1
                return plain()

            loop.create_future = counting  # type: ignore[method-assign]
        assert go(cache.get("key")) is None
        go(cache.set("key", {"a": 1}))
        assert go(cache.get("key")) == {"a": 1}
        assert go(cache.get_entry("key")).source == "near"
        assert go(cache.add("key", 1)) is False
        assert go(cache.replace("key", 2)) is True
        assert go(cache.compare_and_set("key", go(cache.get_entry("key")).entry_id, 3)) is True
        assert (go(cache.exists("key")), go(cache.touch("key")), go(cache.expire("key", 60))) == (True, True, True)
        assert 0 < go(cache.ttl("key")) <= 60
        assert (go(cache.increment("n", 2)), go(cache.counter("n")), go(cache.reset_counter("n"))) == (2, 2, True)
        go(cache.set_many({"a": 1, "b": 2}))
        assert go(cache.get_many(["a", "b", "c"])) == {"a": 1, "b": 2}
        assert go(cache.delete_many(["a", "b", "c"])) == 2
        assert go(cache.get_or_load("loaded", load)) == "loaded!"
        assert go(cache.get_or_load("plain", str.upper)) == "PLAIN"
        assert go(cache.delete("loaded")) is True
        assert go(cache.clear()) == 2
        go(cache.ping())
        assert go(cache.health(active=True)).state == "healthy"
        assert created == 0
        await cache.aclose()

    run(main)


# ---- many tasks ----


def test_many_tasks_get_their_own_values(run: Run, url: str) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(url, timeout=30) as cache:
            await asyncio.gather(*(works_in_a_task(cache, writer, 10) for writer in range(60)))
            assert await cache.counter("rounds") == 600
            assert cache.stats().pool.made <= 1

    run(main)


def test_tasks_that_are_cancelled_at_random_moments(run: Run, url: str) -> None:
    """Nobody gets another's value, no load is left without somebody to run it, and nothing stays behind."""
    source = random.Random(11)
    counts = {"cancelled": 0, "done": 0}

    async def load(key: str) -> str:
        await asyncio.sleep(source.uniform(0, 0.002))
        return value_of(key, 0, 0)

    async def one(cache: coffer.aio.Cache, writer: int) -> None:
        key = source.choice(SHARED)
        loaded = f"loaded{source.randrange(30)}"
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: cache.get(key),
            lambda: cache.set(key, value_of(key, writer, 1)),
            lambda: cache.get_many([*SHARED, loaded]),
            lambda: cache.get_or_load(loaded, load),
            lambda: cache.delete(loaded),
            lambda: cache.get_entry(key),
        ]
        for _ in range(8):
            place = source.randrange(len(calls))
            answer = await calls[place]()
            if place == 0:
                assert answer is None or is_right(key, answer)
            elif place == 2:
                assert all(is_right(name, value) for name, value in answer.items())
            elif place == 3:
                assert is_right(loaded, answer)

    async def cancelled(cache: coffer.aio.Cache, writer: int) -> None:
        task = asyncio.create_task(one(cache, writer))
        await asyncio.sleep(source.uniform(0, 0.004))
        task.cancel()
        try:
            await task
            counts["done"] += 1
        except asyncio.CancelledError:
            counts["cancelled"] += 1

    async def main() -> None:
        async with coffer.aio.Cache(url, timeout=20) as cache:
            for _ in range(8):
                await asyncio.gather(*(cancelled(cache, writer) for writer in range(50)))
            for number in range(30):
                assert is_right(f"loaded{number}", await cache.get_or_load(f"loaded{number}", load))
            await works_in_a_task(cache, 1000, 5)

    run(main)
    assert counts["cancelled"] > 50


def test_a_call_that_is_cancelled_at_once_disturbs_nobody(run: Run, server: RedisServer) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(server.url) as cache:
            await cache.set_many({f"key{i}": i for i in range(100)})
            tasks = [asyncio.create_task(cache.get(f"key{i}")) for i in range(100)]
            await asyncio.sleep(0)  # each has asked
            for task in tasks[::3]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for i, answer in enumerate(answers):
                assert isinstance(answer, asyncio.CancelledError) if i % 3 == 0 else answer == i
            assert cache.stats().pool.made == 1

    run(main)


def test_the_time_of_a_caller_ends_its_wait(run: Run) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(silent.url, raw=True, timeout=30) as cache:
            began = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(0.1):
                    await cache.get("key")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(cache.get_or_load("key", lambda _: 1), 0.1)
            assert time.monotonic() - began < 1

    with ScriptedServer(lambda _: None) as silent:
        run(main)


def test_a_cancelled_call_lets_go_of_its_value_at_once(run: Run) -> None:
    value = bytearray(b"x" * 100)

    async def main() -> None:
        async with coffer.aio.Cache(silent.url, raw=True, timeout=30) as cache:
            task = asyncio.create_task(cache.set("key", value))
            await asyncio.sleep(0.05)
            with pytest.raises(BufferError):
                value.append(1)
            task.cancel()
            await asyncio.wait([task])
            value.append(1)

    with ScriptedServer(lambda _: None) as silent:
        run(main)


# ---- loading ----


def test_tasks_that_ask_together_load_once(run: Run, url: str) -> None:
    runs: list[str] = []

    async def load(key: str) -> dict[str, int]:
        runs.append(key)
        await asyncio.sleep(0.05)
        return {"value": 42}

    async def main() -> None:
        async with coffer.aio.Cache(url) as cache:
            assert await asyncio.gather(*(cache.get_or_load("key", load) for _ in range(50))) == [{"value": 42}] * 50
            assert cache.stats().load_waits == 49

    run(main)
    assert runs == ["key"]


@pytest.mark.parametrize("moment", ["in the loader", "as the load comes", "before it began"])
def test_a_load_whose_task_is_cancelled_is_handed_on(run: Run, url: str, moment: str) -> None:
    async def main() -> None:
        entered = asyncio.Event()

        async def first(_: str) -> str:
            entered.set()
            await asyncio.sleep(30)
            return "first"

        async with coffer.aio.Cache(url, timeout=10) as cache:
            await cache.ping()
            leader = asyncio.create_task(cache.get_or_load("key", first))
            if moment == "in the loader":
                await entered.wait()
            elif moment == "as the load comes":
                await asyncio.sleep(0)
            others = [asyncio.create_task(cache.get_or_load("key", lambda _, i=i: f"other {i}")) for i in range(5)]
            if moment == "in the loader":
                while cache.stats().load_waits < 5:
                    await asyncio.sleep(0.001)
            leader.cancel()
            async with asyncio.timeout(5):
                answers = await asyncio.gather(*others)
            assert len(set(answers)) == 1
            assert answers[0].startswith("other")
            with pytest.raises(asyncio.CancelledError):
                await leader

    run(main)


def test_a_task_that_is_closed_hands_its_load_on(run: Run) -> None:
    """Not cancelled: the coroutine itself is closed, as it is when its loop ends."""

    async def hold(_: str) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        cache = coffer.aio.Cache()
        leader = cache.get_or_load("key", hold)
        leader.send(None)
        leader.close()
        assert await asyncio.wait_for(cache.get_or_load("key", str.upper), 5) == "KEY"
        await cache.aclose()

    run(main)


def test_recursion_is_refused_and_tasks_beside_each_other_are_not(run: Run, url: str) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(url, timeout=10) as cache:

            async def direct(_: str) -> Any:
                return await cache.get_or_load("other", lambda _: cache.get_or_load("key", lambda _: "never"))

            async def through_tasks(_: str) -> Any:
                return await asyncio.gather(*(cache.get_or_load("key", lambda _: "never") for _ in range(2)))

            for loader in (direct, through_tasks):
                with pytest.raises(coffer.LoadError) as caught:
                    await cache.get_or_load("key", loader)
                assert caught.value.status == "LOAD_RECURSIVE"

            async def beside(key: str) -> str:
                await asyncio.sleep(0.01)
                return await cache.get_or_load("common", lambda _: key)

            answers = await asyncio.gather(*(cache.get_or_load(f"key{i}", beside) for i in range(10)))
            assert len(set(answers)) == 1

    run(main)


def test_a_task_may_outlive_the_load_that_started_it(run: Run, url: str) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(url) as cache:
            later: list[asyncio.Task[Any]] = []
            go = asyncio.Event()

            async def follow() -> Any:
                await go.wait()
                return await cache.get_or_load("next", str.upper)

            async def load(key: str) -> str:
                later.append(asyncio.create_task(follow()))
                return key

            assert await cache.get_or_load("key", load) == "key"
            go.set()
            assert await later[0] == "NEXT"
            assert await cache.get_or_load("third", str.upper) == "THIRD"

    run(main)


def test_a_task_of_a_load_that_ended_is_one_of_the_load_around_it(run: Run) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(timeout=5) as cache:
            go = asyncio.Event()

            async def follow() -> Any:
                await go.wait()
                return await cache.get_or_load("outer", str.upper)

            async def inner(_: str) -> asyncio.Task[Any]:
                later.append(asyncio.create_task(follow()))
                return "inner"  # type: ignore[return-value]

            async def outer(_: str) -> Any:
                await cache.get_or_load("inner", inner)
                go.set()
                return await later[0]

            later: list[asyncio.Task[Any]] = []
            with pytest.raises(coffer.LoadError) as caught:
                await cache.get_or_load("outer", outer)
            assert caught.value.status == "LOAD_RECURSIVE"

    run(main)


def test_a_load_that_comes_to_a_cancelled_task_goes_on_to_the_next(run: Run) -> None:
    """Whenever the second is cancelled after the first; both are kept, and what they held with them."""

    async def main() -> None:
        async with coffer.aio.Cache() as cache:
            for turns in range(8):
                key = f"key{turns}"
                first = asyncio.create_task(cache.get_or_load(key, lambda _: asyncio.sleep(30)))
                await asyncio.sleep(0)
                second = asyncio.create_task(cache.get_or_load(key, lambda _: asyncio.sleep(30)))
                await asyncio.sleep(0)
                third = asyncio.create_task(cache.get_or_load(key, str.upper))
                await asyncio.sleep(0)
                first.cancel()
                for _ in range(turns):
                    await asyncio.sleep(0)
                second.cancel()
                answers = await asyncio.wait_for(asyncio.gather(first, second, third, return_exceptions=True), 5)
                assert [type(answer) for answer in answers] == [asyncio.CancelledError, asyncio.CancelledError, str]

    run(main)


def test_a_loader_sees_the_context_of_its_task(run: Run) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

    async def load(_: str) -> str:
        return name.get()

    async def ask(cache: coffer.aio.Cache, i: int) -> str | None:
        name.set(f"task {i}")
        return await cache.get_or_load(f"key{i}", load)

    async def main() -> None:
        async with coffer.aio.Cache() as cache:
            assert await asyncio.gather(*(ask(cache, i) for i in range(5))) == [f"task {i}" for i in range(5)]

    run(main)


def test_coroutine_functions_and_methods_are_remembered(run: Run, url: str) -> None:
    runs: list[Any] = []
    cache = coffer.aio.Cache(url)

    @cache.cached(ttl="10m", key="double:{number}")
    async def double(number: int) -> int:
        """Twice."""
        runs.append(number)
        await asyncio.sleep(0)
        return number * 2

    @cache.cached()
    def plain(number: int) -> int:
        runs.append(number)
        return -number

    class Store:
        @cache.cached()
        async def price(self, item: str) -> str | None:
            runs.append(item)
            return f"{item}: 1"

    async def main() -> None:
        assert await asyncio.gather(*(double(2) for _ in range(10))) == [4] * 10
        assert runs == [2]
        assert (double.__name__, double.__doc__, double.key(2)) == ("double", "Twice.", "double:2")
        assert await double.invalidate(2) is True
        assert (await double(2), await double.refresh(3), await double(3), runs) == (4, 6, 6, [2, 2, 3])
        runs.clear()
        assert (await plain(1), await plain(1), await plain.refresh(1), runs) == (-1, -1, -1, [1, 1])
        runs.clear()
        assert (await Store().price("a"), await Store().price("a"), runs) == ("a: 1", "a: 1", ["a"])
        assert await Store().price.invalidate("a") is True
        await cache.aclose()

    run(main)


def test_a_blocking_cache_refuses_coroutine_functions() -> None:
    async def coroutine() -> None: ...

    with coffer.Cache() as cache, pytest.raises(TypeError, match=r"coffer\.aio\.Cache"):
        cache.cached()(coroutine)
