"""A GET at a time from Python, or 100 keys at once: `python_get.py MODE PORT COUNT [plain]`, MODE being one of WAYS.

Prints one line of JSON with percentiles of a GET in nanoseconds. Every client reads the same 100 bytes.
`plain`: no clock is read, for callgrind; the way `empty` is the loop alone.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

KEY = "bench:_:key:1"
VALUE_BYTES = 100
WARM_UP = 500
MANY = 100
LOCAL_BATCH = 64  # GETs between two looks at the clock, which would cost a part of a hit in the process


def open_coffer(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", raw=True)
    return lambda: cache.get("key:1")


def open_coffer_envelope(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", namespace="enveloped")
    cache.set("key:1", b"x" * VALUE_BYTES)
    return lambda: cache.get("key:1")


def open_coffer_mem(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache("mem://", prefix="bench")
    cache.set("key:1", b"x" * VALUE_BYTES)
    return lambda: cache.get("key:1")


def near_cache(port: int, near: str = "process", **options: object) -> Any:
    """Copies of the server's values: read until one is had without a round trip."""
    import coffer

    url = f"redis://127.0.0.1:{port}/0"
    cache = coffer.Cache(url, prefix="bench", raw=True, near=near, near_bytes="16MiB", near_ttl="1h", **options)
    until = time.monotonic() + 5
    while cache.get_entry("key:1").source != "near":
        if time.monotonic() > until:
            raise SystemExit("no copy of the value was kept: is the channel of invalidations live?")
        time.sleep(0.001)
    return cache


def open_coffer_near(port: int) -> Callable[[], object]:
    cache = near_cache(port)
    return lambda: cache.get("key:1")


def open_coffer_near_shared(port: int) -> Callable[[], object]:
    cache = near_cache(port, "shared", near_name=f"coffer-bench-{port}")
    return lambda: cache.get("key:1")


def open_coffer_near_load(port: int) -> Callable[[], object]:
    cache = near_cache(port)
    return lambda: cache.get_or_load("key:1", lambda _: b"")


def open_coffer_near_cached(port: int) -> Callable[[], object]:
    @near_cache(port).cached(key="key:{number}")
    def load(number: int) -> bytes:
        return b""

    return lambda: load(1)


def open_lru_cache(port: int) -> Callable[[], object]:
    @functools.lru_cache(maxsize=1000)
    def load(key: str) -> bytes:
        return b"x" * VALUE_BYTES

    return lambda: load("key:1")


def open_cachetools(port: int) -> Callable[[], object]:
    """With a lock, as more than one thread needs it."""
    from cachetools import TTLCache, cached

    @cached(TTLCache(maxsize=1000, ttl=3600), lock=threading.Lock())
    def load(key: str) -> bytes:
        return b"x" * VALUE_BYTES

    return lambda: load("key:1")


def open_diskcache(port: int) -> Callable[[], object]:
    """What processes of a host share; its folder goes with the process."""
    import diskcache

    folder = tempfile.mkdtemp(prefix="coffer-bench-")
    atexit.register(shutil.rmtree, folder, True)
    cache = diskcache.Cache(folder)
    cache.set("key:1", b"x" * VALUE_BYTES, expire=3600)
    return lambda: cache.get("key:1")


def open_coffer_off(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache("mem://", prefix="bench", enabled=False)
    value = b"x" * VALUE_BYTES
    return lambda: cache.get("key:1", value)


def open_empty(port: int) -> Callable[[], object]:
    value = b"x" * VALUE_BYTES
    return lambda: value


def open_redis_py(port: int) -> Callable[[], object]:
    import redis

    client = redis.Redis(host="127.0.0.1", port=port)
    parser = type(client.connection_pool.get_connection()._parser).__name__
    if "Hiredis" not in parser:
        raise SystemExit(f"redis-py uses {parser}, not its C parser")
    return lambda: client.get(KEY)


def open_glide(port: int) -> Callable[[], object]:
    from glide_sync import GlideClient, GlideClientConfiguration, NodeAddress

    client = GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", port)]))
    return lambda: client.get(KEY)


def many_keys(start: str) -> list[str]:
    return [f"{start}{number}" for number in range(MANY)]


def checked(found: int) -> bytes:
    """What the measuring loop wants to see of a way that takes 100 keys."""
    return b"x" * VALUE_BYTES if found == MANY else b""


def open_coffer_get_many(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", raw=True)
    keys = many_keys("key:")
    return lambda: checked(len(cache.get_many(keys)))


def open_redis_mget(port: int) -> Callable[[], object]:
    import redis

    client = redis.Redis(host="127.0.0.1", port=port)
    keys = many_keys("bench:_:key:")
    return lambda: checked(len([value for value in client.mget(keys) if value is not None]))


def open_coffer_set_many(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", raw=True)
    values = dict.fromkeys(many_keys("key:"), b"x" * VALUE_BYTES)

    def set_all() -> bytes:
        cache.set_many(values)
        return checked(MANY)

    return set_all


def open_redis_pipeline_set(port: int) -> Callable[[], object]:
    import redis

    client = redis.Redis(host="127.0.0.1", port=port)
    keys, value = many_keys("bench:_:key:"), b"x" * VALUE_BYTES

    def set_all() -> bytes:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.set(key, value, px=300000)
        return checked(len(pipeline.execute()))

    return set_all


WAYS = {
    "coffer-get-many": open_coffer_get_many,
    "redis-py-mget": open_redis_mget,
    "coffer-set-many": open_coffer_set_many,
    "redis-py-pipeline-set": open_redis_pipeline_set,
    "coffer": open_coffer,
    "coffer-envelope": open_coffer_envelope,
    "coffer-mem": open_coffer_mem,
    "coffer-near": open_coffer_near,
    "coffer-near-shared": open_coffer_near_shared,
    "coffer-near-load": open_coffer_near_load,
    "coffer-near-cached": open_coffer_near_cached,
    "lru-cache": open_lru_cache,
    "cachetools": open_cachetools,
    "diskcache": open_diskcache,
    "coffer-off": open_coffer_off,
    "empty": open_empty,
    "redis-py": open_redis_py,
    "valkey-glide": open_glide,
}


LOCAL = {"coffer-mem", "coffer-near", "coffer-near-shared", "coffer-near-load", "coffer-near-cached"}
LOCAL |= {"coffer-off", "empty", "lru-cache", "cachetools", "diskcache"}


def times_one_by_one(get: Callable[[], object], count: int) -> list[float]:
    clock = time.perf_counter_ns
    times = [0.0] * count
    last = clock()
    for i in range(count):
        get()
        now = clock()
        times[i] = now - last
        last = now
    return times


def times_in_batches(get: Callable[[], object], count: int) -> list[float]:
    clock = time.perf_counter_ns
    times = []
    for _ in range(-(-count // LOCAL_BATCH)):
        began = clock()
        for _ in range(LOCAL_BATCH):
            get()
        times.append((clock() - began) / LOCAL_BATCH)
    return times


def main() -> None:
    mode, port, count, plain = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "plain" in sys.argv[4:]
    get = WAYS[mode](port)
    for _ in range(WARM_UP):
        value = get()
        if not isinstance(value, bytes) or len(value) != VALUE_BYTES:
            raise SystemExit(f"{mode} read {value!r}")
    gc.collect()
    if plain:
        for _ in range(count):
            get()
        print("{}")
        return
    times = sorted((times_in_batches if mode in LOCAL else times_one_by_one)(get, count))
    print(json.dumps({"p50_ns": times[len(times) // 2], "p99_ns": times[len(times) - 1 - len(times) // 100]}))


if __name__ == "__main__":
    main()
