"""Values that say whose they are: of which key, by which process, its how manyth, under a hash. A torn or foreign one is seen at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import coffer

if TYPE_CHECKING:
    import coffer.aio

SHARED = [f"shared{number}" for number in range(4)]


def value_of(key: str, writer: int, number: int) -> str:
    text = f"{key} {writer} {number} {'x' * (number * 997 % 9000)} "
    return text + hashlib.sha256(text.encode()).hexdigest()


def is_right(key: str, value: object) -> bool:
    if not isinstance(value, str):
        return False
    its_key, writer, number, _ = value.split(" ", 3)
    return its_key == key and value == value_of(key, int(writer), int(number))


def works(cache: coffer.Cache, writer: int, first: int, rounds: int) -> None:
    """Reads back what it writes under a key of its own, and finds right values under those that everybody writes."""
    own = f"own{writer}"
    for number in range(first, first + rounds):
        cache.set(own, value_of(own, writer, number))
        assert cache.get(own) == value_of(own, writer, number)
        key = SHARED[number % len(SHARED)]
        cache.set(key, value_of(key, writer, number))
        found = cache.get_many(SHARED)
        assert key in found
        assert all(is_right(name, value) for name, value in found.items())
        loaded, value = f"loaded{writer}:{number}", value_of(own, writer, number)
        assert cache.get_or_load(loaded, lambda _, value=value: value) == value
        cache.increment("rounds")


async def works_in_a_task(cache: coffer.aio.Cache, writer: int, rounds: int) -> None:
    """Reads back what it writes under a key of its own, and finds right values under those that everybody writes."""
    own = f"own{writer}"
    for number in range(rounds):
        await cache.set(own, value_of(own, writer, number))
        assert await cache.get(own) == value_of(own, writer, number)
        key = SHARED[number % len(SHARED)]
        await cache.set(key, value_of(key, writer, number))
        found = await cache.get_many(SHARED)
        assert key in found
        assert all(is_right(name, value) for name, value in found.items())
        loaded, value = f"loaded{writer}:{number}", value_of(own, writer, number)
        assert await cache.get_or_load(loaded, lambda _, value=value: value) == value
        await cache.increment("rounds")
