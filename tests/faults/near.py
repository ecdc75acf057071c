"""A program over a shared near cache: near.py URL NUMBER, until it is killed. It prints what is wrong, and nothing else."""

from __future__ import annotations

import random
import sys

import coffer

KEYS = 200


def is_of(key: int, value: str) -> bool:
    part = value[: value.find(";") + 1]
    return part.startswith(f"{key}:") and value == part * (len(value) // len(part))


def main(url: str, number: int) -> None:
    drawn = random.Random()
    cache = coffer.Cache(url)
    for sequence in range(sys.maxsize):
        key = drawn.randrange(KEYS)
        try:
            if drawn.randrange(20) == 0:
                value = f"{key}:{number}-{sequence};" * drawn.randrange(1, 60)
                cache.set(f"mixed:{key}", value, ttl=60)
            seen = cache.get(f"mixed:{key}")
        except coffer.TimeoutError:
            continue  # it was stopped for as long
        if seen is not None and not is_of(key, seen):
            print(f"wrong: {key}: {seen[:100]}", flush=True)


main(sys.argv[1], int(sys.argv[2]))
