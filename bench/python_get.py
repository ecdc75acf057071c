"""One GET at a time from Python: `python_get.py MODE PORT COUNT`, MODE being coffer, redis-py or valkey-glide.

Prints one line of JSON with percentiles of a GET in nanoseconds. Every client reads the same 100 bytes.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable

KEY = "bench:_:key:1"
VALUE_BYTES = 100
WARM_UP = 500


def open_coffer(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", raw=True)
    return lambda: cache.get("key:1")


def open_coffer_envelope(port: int) -> Callable[[], object]:
    import coffer

    cache = coffer.Cache(f"redis://127.0.0.1:{port}/0", prefix="bench", namespace="enveloped")
    cache.set("key:1", b"x" * VALUE_BYTES)
    return lambda: cache.get("key:1")


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


WAYS = {
    "coffer": open_coffer,
    "coffer-envelope": open_coffer_envelope,
    "redis-py": open_redis_py,
    "valkey-glide": open_glide,
}


def main() -> None:
    mode, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    get = WAYS[mode](port)
    for _ in range(WARM_UP):
        value = get()
        if not isinstance(value, bytes) or len(value) != VALUE_BYTES:
            raise SystemExit(f"{mode} read {value!r}")
    clock = time.perf_counter_ns
    times = [0] * count
    gc.collect()
    last = clock()
    for i in range(count):
        get()
        now = clock()
        times[i] = now - last
        last = now
    times.sort()
    print(json.dumps({"p50_ns": times[count // 2], "p99_ns": times[count - 1 - count // 100]}))


if __name__ == "__main__":
    main()
