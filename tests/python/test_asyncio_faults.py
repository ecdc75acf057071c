"""What tasks may do to each other under asyncio: found by looking for faults."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

import coffer
import coffer.aio
from support import RedisServer

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


@pytest.mark.parametrize("end", ["loads", "fails", "is cancelled"])
def test_a_load_that_a_loader_began_goes_on_when_that_one_has_ended(run: Run, server: RedisServer, end: str) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(server.url, namespace=end.replace(" ", "-")) as cache:
            gate = asyncio.Event()
            begun: list[asyncio.Task[Any]] = []

            async def slow(key: str) -> str:
                await gate.wait()
                return f"the {key}"

            async def outer(key: str) -> str:
                begun.append(asyncio.create_task(cache.get_or_load("inner", slow)))
                await asyncio.sleep(0)  # what it asks for is on its way
                if end == "fails":
                    raise LookupError(key)
                if end == "is cancelled":
                    asyncio.current_task().cancel()  # type: ignore[union-attr]
                    await asyncio.sleep(0)
                return "outer"

            leader = asyncio.create_task(cache.get_or_load("inner", slow))
            while cache.stats().loads == 0:
                await asyncio.sleep(0.001)
            for number in range(20):
                await asyncio.gather(asyncio.create_task(cache.get_or_load(f"outer{number}", outer)), return_exceptions=True)
            gate.set()
            assert set(await asyncio.gather(leader, *begun)) == {"the inner"}
            assert len(begun) == 20

    run(main)


class Begun:
    """A coroutine that has run to its first wait."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self.coroutine = coroutine
        self.waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        while True:
            try:
                sent = yield self.waits_for
                step: Callable[[Any], Any] = self.coroutine.send
            except BaseException as fault:
                sent, step = fault, self.coroutine.throw
            try:
                self.waits_for = step(sent)
            except StopIteration as end:
                return end.value


class Ended(asyncio.Future[Any]):
    """What a task is that ended as it was made."""


def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **_: Any) -> asyncio.Future[Any]:
    """As asyncio.eager_task_factory, which Python 3.12 brought."""

    async def rest(begun: Begun) -> Any:
        return await begun

    if not loop.is_running():
        return asyncio.Task(coroutine, loop=loop)
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        ended = Ended(loop=loop)
        ended.set_result(end.value)
        return ended
    if waits_for is not None:
        waits_for._asyncio_future_blocking = True  # as it was when it was given out
    return asyncio.Task(rest(Begun(coroutine, waits_for)), loop=loop)


def test_connections_that_fail_at_once_leave_nothing_behind_where_tasks_are_eager(run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(eager)
        async with coffer.aio.Cache("unix:///nowhere/redis.sock", breaker=False, on_outage="error") as cache:
            for _ in range(5):
                with pytest.raises(coffer.ConnectionError):
                    await cache.get("k")
            assert [one for one in gc.get_objects() if isinstance(one, Ended)] == []

    run(main)


def test_who_asks_on_its_way_out_does_not_wait_for_a_connection_that_was_cancelled_too(run: Run, server: RedisServer) -> None:
    """asyncio.run ends all tasks as this does: those that connect, too, before their first step or amid it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for turns in range(4):
            async with coffer.aio.Cache(server.url, timeout=20, on_outage="error", breaker=False) as cache:
                asking = asyncio.ensure_future(cache.get("k"))
                for _ in range(1 + turns):
                    await asyncio.sleep(0)
                for task in asyncio.all_tasks() - {asyncio.current_task(), asking}:
                    task.cancel()
                began = loop.time()
                assert await asking is None
                assert loop.time() - began < 10

    run(main)
