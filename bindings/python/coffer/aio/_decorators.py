"""@cache.cached of coffer.aio.Cache: what it makes is awaited, whether the function is a coroutine function or a plain one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from coffer._decorators import KeySpec, Remembered, check_parentheses, check_remembered
from coffer._values import ABSENT, Duration, Key

if TYPE_CHECKING:
    from coffer.aio._cache import Cache

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
T = TypeVar("T")


class Decorator:
    """What Cache.cached returns."""

    def __init__(self, cache: Cache, ttl: Duration | None, key: KeySpec | None, timeout: Duration | None) -> None:
        check_parentheses(ttl)
        self._cache = cache
        self._arguments = (ttl, key, timeout)

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]]) -> CachedFunction[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> CachedFunction[P, T]: ...
    def __call__(self, function: Callable[..., Any]) -> CachedFunction[..., Any]:
        return CachedFunction(self._cache, function, *self._arguments)


class CachedFunction(Remembered[P, T]):
    """A function behind a cache. Await a call of it; `key`, `invalidate` and `refresh` take the same arguments, and the last two are
    awaited."""

    def __init__(
        self, cache: Cache, function: Callable[P, Any], ttl: Duration | None, key: KeySpec | None, timeout: Duration | None
    ) -> None:
        check_remembered(function)
        super().__init__(function, ttl, key, timeout)
        self._cache = cache

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        def load(_: Key) -> Any:
            return self.__wrapped__(*args, **kwargs)

        return await self._cache.get_or_load(self._keys.key(args, kwargs), load, self._ttl, timeout=self._timeout)  # type: ignore[return-value]

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forgets the result for these arguments. Whether one was remembered."""
        return await self._cache.delete(self._keys.key(args, kwargs), timeout=self._timeout)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function now, stores what it returns and returns it."""
        value: Any = self.__wrapped__(*args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        stored = ABSENT if value is None else value
        await self._cache.set(self._keys.key(args, kwargs), stored, self._ttl, timeout=self._timeout)
        return value  # type: ignore[no-any-return]

    @overload
    def __get__(self, instance: None, owner: type) -> CachedFunction[P, T]: ...
    @overload
    def __get__(self: CachedFunction[Concatenate[S, Q], T], instance: S, owner: type | None = None) -> CachedMethod[Q, T]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else CachedMethod(self, instance)


class CachedMethod(Generic[Q, T]):
    """A cached function bound to its object, which is not part of the key."""

    def __init__(self, function: CachedFunction[Any, T], instance: object) -> None:
        functools.update_wrapper(self, function.__wrapped__)
        self._function = function
        self._instance = instance

    async def __call__(self, *args: Q.args, **kwargs: Q.kwargs) -> T:
        return await self._function(self._instance, *args, **kwargs)

    def key(self, *args: Q.args, **kwargs: Q.kwargs) -> Key:
        """The key under which the result for these arguments is remembered."""
        return self._function.key(self._instance, *args, **kwargs)

    async def invalidate(self, *args: Q.args, **kwargs: Q.kwargs) -> bool:
        """Forgets the result for these arguments. Whether one was remembered."""
        return await self._function.invalidate(self._instance, *args, **kwargs)

    async def refresh(self, *args: Q.args, **kwargs: Q.kwargs) -> T:
        """Runs the method now, stores what it returns and returns it."""
        return await self._function.refresh(self._instance, *args, **kwargs)
