"""The cache that a command works on, as little of it as commands need.

Commands are given a Backend, so that tests can give them another; `real_backend` is Coffer's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ._errors import UnreachableError, UsageError
from ._input import printable
from ._settings import Settings

_DEFAULT_POOL = 16


class CacheLike(Protocol):
    """What a replay asks of a cache."""

    def get_or_load(self, key: str, loader: Callable[[str], bytes]) -> Any:
        """The value, or the loader's, stored."""

    def delete_many(self, keys: list[str]) -> object:
        """Deletes all of them."""

    def ping(self) -> object:
        """Raises where the cache cannot be used."""

    def close(self) -> None:
        """Gives back what it holds."""


@dataclass(frozen=True)
class StoreFigures:
    """What the cache stored. The last four are None where the cache is not in this process."""

    bytes_written: int
    values_not_stored: int  # too large, or the cache was full
    errors: int  # by the cache's own count: also those that it went on without raising
    memory_bytes: int | None = None
    used_bytes: int | None = None
    entries: int | None = None
    evictions: int | None = None


@dataclass(frozen=True)
class Backend:
    """How to open a cache, what it raises, and how to read its figures."""

    open: Callable[[Settings], CacheLike]
    error: type[Exception]
    figures: Callable[[Any], StoreFigures]


def real_backend() -> Backend:
    """Coffer."""
    try:
        import coffer
    except ImportError as error:
        raise UnreachableError(
            f"coffer's compiled part cannot be loaded ({error}); build it with ./dev build, or install the package"
        ) from error

    def open_cache(settings: Settings) -> CacheLike:
        try:
            cache: CacheLike = coffer.Cache(settings.url, **_options(settings))
            return cache
        except (coffer.Error, ValueError, TypeError) as error:
            raise UsageError(printable(str(error))) from error

    return Backend(open_cache, coffer.Error, _figures)


def _options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {"ttl": settings.ttl, "on_outage": "error"}  # figures of a cache that was not there are none
    for name in ("prefix", "namespace", "memory"):
        value = getattr(settings, name)
        if value is not None:
            options[name] = value
    if settings.threads > _DEFAULT_POOL and "pool_max=" not in settings.url:
        options["pool_max"] = settings.threads
    return options


def _figures(cache: Any) -> StoreFigures:
    stats = cache.stats()
    store = stats.store
    written = (stats.stored_bytes, stats.oversized_fills, stats.errors + stats.outage_misses)
    if not store.memory_bytes:
        return StoreFigures(*written)
    return StoreFigures(*written, store.memory_bytes, store.used_bytes, store.entries, store.evictions)
