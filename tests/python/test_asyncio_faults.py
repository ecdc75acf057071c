"""What tasks may do to each other under asyncio: found by looking for faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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
