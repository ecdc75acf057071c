"""The cache from Python: values, namespaces, loading, functions, statistics.

python examples/python/quickstart.py [URL]     mem:// unless a server is named: redis://localhost
"""

from __future__ import annotations

import sys

import coffer


def main(url: str) -> None:
    with coffer.Cache(url, prefix="example", ttl="10m") as cache:
        # Values come back as what they were: bytes, str, or anything JSON can say.
        cache.set("greeting", "hello")
        cache.set("config", {"retries": 3, "hosts": ["a", "b"]}, ttl="1h")
        print(cache.get("greeting"), cache.get("config"), cache.get("nothing", default="a default"))

        # A namespace has keys and options of its own and shares the connections.
        users = cache.namespace("users", ttl="30m")
        queries = 0

        def load_user(key: str) -> dict[str, str]:
            nonlocal queries
            queries += 1
            return {"id": key, "name": "Ada Lovelace"}

        # However many threads ask for 42 at once, the loader runs once.
        for _ in range(3):
            user = users.get_or_load("42", load_user)
        print(user, f"after {queries} query")

        # The same around a function.
        @cache.cached(ttl="5m")
        def square(number: int) -> int:
            print(f"computing {number} * {number}")
            return number * number

        print(square(12), square(12))

        for key in ("greeting", "config"):
            cache.delete(key)
        users.delete("42")
        square.invalidate(12)
        stats = users.stats()
        print(f"users: {stats.hits} hits, {stats.misses} misses, {stats.loads} load")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "mem://")
