"""What is asyncio's own: the connections of each event loop, loops that end or are many, children, and caches that nobody closes."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import coffer
import coffer.aio
from support import RedisServer, Resp, ScriptedServer, connected, together, wait_until
from verified import works_in_a_task

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def test_one_connection_serves_all_and_is_closed(run: Run, server: RedisServer, raw: Resp) -> None:
    async def main() -> None:
        async with coffer.aio.Cache(server.url) as cache:
            assert connected(raw) == 0
            users = cache.namespace("users")
            await asyncio.gather(*(one.set(f"key{i}", i) for i in range(50) for one in (cache, users)))
            assert connected(raw) == 1
            await users.aclose()
            assert not cache.closed
            assert await cache.get("key1") == 1
            with pytest.raises(coffer.ClosedError):
                await users.get("key1")
        assert cache.closed
        with pytest.raises(coffer.ClosedError):
            await cache.get("key1")
        await cache.aclose()

    run(main)
    wait_until(lambda: connected(raw) == 0)


def test_a_cache_is_used_on_one_loop_after_another(run: Run, url: str, server: RedisServer, raw: Resp) -> None:
    cache = coffer.aio.Cache(url)  # at import, as it were
    users = cache.namespace("users")

    async def main() -> int:
        await cache.set("key", {"a": 1})
        assert await cache.get("key") == {"a": 1}
        return await users.increment("runs")

    for expected in range(1, 6):
        assert run(main) == expected
        wait_until(lambda: connected(raw) == 0)  # the loop's end closed it
    assert cache.stats().sets == 5
    asyncio.run(cache.aclose())
    assert users.closed


def test_a_cache_is_used_on_several_loops_at_once(url: str) -> None:
    cache = coffer.aio.Cache(url, timeout=20)

    async def main(writer: int) -> None:
        await asyncio.gather(*(works_in_a_task(cache, writer * 10 + i, 5) for i in range(10)))

    assert together(4, lambda index: asyncio.run(main(index))) == [None] * 4

    async def count() -> None:
        assert await cache.counter("rounds") == 200
        await cache.aclose()

    asyncio.run(count())


def test_loops_that_wait_for_each_others_loader(url: str) -> None:
    cache = coffer.aio.Cache(url, timeout=20)
    runs: list[int] = []

    async def main(index: int) -> Any:
        async def load(_: str) -> str:
            runs.append(index)
            await asyncio.sleep(0.1)
            return "loaded"

        return await asyncio.gather(*(cache.get_or_load("key", load) for _ in range(5)))

    assert together(4, lambda index: asyncio.run(main(index))) == [["loaded"] * 5] * 4
    assert len(runs) == 1
    asyncio.run(cache.aclose())


def test_what_is_under_way_ends_when_the_cache_is_closed(run: Run) -> None:
    async def main() -> None:
        cache = coffer.aio.Cache(silent.url, raw=True, timeout=30)
        users = cache.namespace("users", raw=True)
        calls = [asyncio.create_task(one.get(f"key{i}")) for i in range(10) for one in (cache, users)]
        calls.append(asyncio.create_task(cache.get_or_load("loaded", lambda _: 1)))
        await asyncio.sleep(0.05)
        await cache.aclose()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(answer) for answer in answers} == {coffer.ClosedError}

    with ScriptedServer(lambda _: None) as silent:
        run(main)


def test_closing_closes_the_connections_of_other_loops(server: RedisServer, raw: Resp) -> None:
    cache = coffer.aio.Cache(server.url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(cache.set("key", 1), loop).result(10)

    async def main() -> None:
        assert await cache.get("key") == 1
        await cache.aclose()

    asyncio.run(main())
    wait_until(lambda: connected(raw) == 0)
    with pytest.raises(coffer.ClosedError):
        asyncio.run_coroutine_threadsafe(cache.get("key"), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_forgotten_cache_is_closed_by_its_loop(run: Run, server: RedisServer, raw: Resp) -> None:
    async def main() -> None:
        cache = coffer.aio.Cache(server.url)
        users = cache.namespace("users")
        await cache.set("key", 1)
        del cache
        await users.set("key", 1)
        assert connected(raw) == 1
        del users
        gc.collect()
        async with asyncio.timeout(10):
            while connected(raw) > 0:
                await asyncio.sleep(0.01)

    run(main)


FORGOTTEN = """
import asyncio, gc, sys
import coffer.aio

cache = coffer.aio.Cache(sys.argv[1])

async def main():
    await cache.set("key", 1)
    assert await cache.get_or_load("other", str.upper) == "OTHER"
    for i in range(5):
        asyncio.ensure_future(cache.get_or_load("hanging", lambda _: asyncio.sleep(30)))
        await asyncio.sleep(0)

asyncio.run(main(), debug=True)
if sys.argv[2] == "twice":
    asyncio.run(main(), debug=True)
if sys.argv[2] == "deleted":
    del cache
    gc.collect()
"""


@pytest.mark.parametrize("how", ["once", "twice", "deleted"])
def test_a_cache_that_nobody_closes_makes_no_noise(url: str, how: str) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", FORGOTTEN, url, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_loop_that_is_closed_without_ceremony(url: str, server: RedisServer, raw: Resp) -> None:
    """Nobody ended its generators: Python tells of the sockets that it finds open, and that is all."""
    cache = coffer.aio.Cache(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for number in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(cache.set("key", number))
            assert loop.run_until_complete(cache.get("key")) == number
            loop.close()
        del loop
        asyncio.run(cache.aclose())
        gc.collect()
    wait_until(lambda: connected(raw) == 0)


def test_a_forked_child_goes_on_with_a_loop_of_its_own(run: Run, url: str) -> None:
    cache = coffer.aio.Cache(url, timeout=10)

    async def in_child() -> bool:
        await cache.set("child", os.getpid())
        good = await cache.get("key") == "parent" and await cache.get("child") == os.getpid()
        good = good and await cache.get_or_load(f"loaded{os.getpid()}", str.upper) == f"LOADED{os.getpid()}"
        await cache.aclose()
        return good

    async def main() -> None:
        await cache.set("key", "parent")
        under_way = [asyncio.create_task(works_in_a_task(cache, writer, 10)) for writer in range(5)]
        await asyncio.sleep(0.01)
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    asyncio.events._set_running_loop(None)
                    with asyncio.Runner() as runner:
                        status = 0 if runner.run(in_child()) else 2
                finally:
                    os._exit(status)
            children.append(child)
        await asyncio.gather(*under_way)
        assert await cache.get("key") == "parent"
        for child in children:
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                await asyncio.sleep(0.01)
                assert await cache.get("key") == "parent"
        await cache.aclose()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with a thread
        run(main)


# ---- credentials ----


def test_credentials_are_asked_of_a_coroutine_function(run: Run, server: RedisServer, raw: Resp) -> None:
    asked: list[int] = []

    async def credentials() -> tuple[str, str]:
        asked.append(1)
        await asyncio.sleep(0.01)
        return "ada", "open sesame"

    async def main() -> None:
        async with coffer.aio.Cache(server.url, credentials=credentials) as cache:
            assert asked == []
            await asyncio.gather(*(cache.set(f"key{i}", i) for i in range(20)))
            assert asked == [1]

    raw.call("ACL", "SETUSER", "ada", "on", ">open sesame", "+@all", "~*")
    try:
        run(main)
    finally:
        raw.call("ACL", "DELUSER", "ada")
