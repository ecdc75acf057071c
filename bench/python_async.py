"""GETs on asyncio, by several tasks at once: python_async.py CLIENT PORT COUNT TASKS [plain]

Prints one line of JSON: GETs a second by all tasks together, and the median time of one in nanoseconds. Every client
reads the same 100 bytes. `plain`: no clock is read, for callgrind; the client `empty` is the loop alone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

KEY = "bench:_:key:1"
VALUE_BYTES = 100
WARM_UP = 500

Get = Callable[[], Awaitable[Any]]


async def open_coffer(port: int) -> Get:
    from coffer import aio

    cache = aio.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", raw=True)
    return lambda: cache.get("key:1")


async def open_coffer_envelope(port: int) -> Get:
    from coffer import aio

    cache = aio.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", namespace="enveloped")
    await cache.set("key:1", b"x" * VALUE_BYTES)
    return lambda: cache.get("key:1")


async def open_coffer_mem(port: int) -> Get:
    from coffer import aio

    cache = aio.Cache("mem://", prefix="bench")
    await cache.set("key:1", b"x" * VALUE_BYTES)
    return lambda: cache.get("key:1")


async def open_redis_py(port: int) -> Get:
    import redis.asyncio
    from redis.asyncio.connection import DefaultParser

    if "Hiredis" not in DefaultParser.__name__:
        raise SystemExit(f"redis-py uses {DefaultParser.__name__}, not its C parser")
    client = redis.asyncio.Redis(host="127.0.0.1", port=port)
    return lambda: client.get(KEY)


async def open_glide(port: int) -> Get:
    from glide import GlideClient, GlideClientConfiguration, NodeAddress

    client = await GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", port)]))
    return lambda: client.get(KEY)


async def open_empty(port: int) -> Get:
    value = b"x" * VALUE_BYTES

    async def get() -> bytes:
        return value

    return get


CLIENTS = {
    "coffer": open_coffer,
    "coffer-envelope": open_coffer_envelope,
    "coffer-mem": open_coffer_mem,
    "redis-py": open_redis_py,
    "valkey-glide": open_glide,
    "empty": open_empty,
}


async def ask(get: Get, count: int, times: list[int]) -> None:
    clock = time.perf_counter_ns
    last = clock()
    for _ in range(count):
        await get()
        now = clock()
        times.append(now - last)
        last = now


async def ask_plainly(get: Get, count: int) -> None:
    for _ in range(count):
        await get()


async def measure(client: str, port: int, count: int, tasks: int, plain: bool) -> None:
    get = await CLIENTS[client](port)
    for _ in range(WARM_UP):
        value = await get()
        if not isinstance(value, bytes) or len(value) != VALUE_BYTES:
            raise SystemExit(f"{client} read {value!r}")
    gc.collect()
    each = max(count // tasks, 1)
    if plain:
        await asyncio.gather(*[ask_plainly(get, each) for _ in range(tasks)])
        print("{}")
        return
    times: list[int] = []
    began = time.perf_counter_ns()
    await asyncio.gather(*[ask(get, each, times) for _ in range(tasks)])
    spent_s = (time.perf_counter_ns() - began) / 1e9
    times.sort()
    print(json.dumps({"gets_per_s": each * tasks / spent_s, "p50_ns": times[len(times) // 2]}))


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), "plain" in sys.argv[5:]))
