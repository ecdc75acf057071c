"""The cache for asyncio: coffer.aio.Cache has the names and arguments of coffer.Cache; what may ask a server is awaited."""

from coffer.aio._cache import Cache
from coffer.aio._decorators import CachedFunction, CachedMethod

__all__ = ["Cache", "CachedFunction", "CachedMethod"]
