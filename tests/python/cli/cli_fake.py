"""A cache in a dictionary, so that the command is tested apart from the library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from coffer.cli._backend import Backend, StoreFigures
from coffer.cli._errors import UsageError
from coffer.cli._settings import Settings


class FakeError(Exception):
    """Stands for coffer.Error."""


class FakeConnectionError(FakeError, ConnectionError):
    """Stands for coffer.ConnectionError."""


@dataclass
class FakeCache:
    """Keeps everything for ever, and tells what was done to it."""

    settings: Settings
    world: World
    values: dict[str, bytes] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    calls: int = 0
    errors: int = 0
    is_closed: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def get_or_load(self, key: str, loader: Callable[[str], bytes]) -> Any:
        with self.lock:
            self.calls += 1
            if self.world.before_call is not None:
                self.world.before_call(self, key)
            if key not in self.values:
                self.values[key] = loader(key)
            return self.values[key]

    def delete_many(self, keys: list[str]) -> int:
        if self.world.delete_error is not None:
            raise self.world.delete_error
        self.deleted += keys
        return sum(self.values.pop(key, None) is not None for key in keys)

    def ping(self) -> None:
        if self.world.ping_error is not None:
            raise self.world.ping_error

    def close(self) -> None:
        self.is_closed = True


@dataclass
class World:
    """What goes wrong, and the cache that was opened."""

    before_call: Callable[[FakeCache, str], None] | None = None
    ping_error: Exception | None = None
    delete_error: Exception | None = None
    cache: FakeCache | None = None

    def backend(self) -> Backend:
        return Backend(self._open, FakeError, self._figures)

    def _open(self, settings: Settings) -> FakeCache:
        if settings.ttl == "0":
            raise UsageError("option ttl: 0 is not allowed")
        self.cache = FakeCache(settings, self)
        return self.cache

    def _figures(self, cache: FakeCache) -> StoreFigures:
        written = sum(map(len, cache.values.values()))
        if not cache.settings.is_local:
            return StoreFigures(written, 0, cache.errors)
        return StoreFigures(written, 0, cache.errors, 64 << 20, written, len(cache.values), 0)
