"""coffer.aio.Cache as if it were coffer.Cache, so that one body of tests is for both: what it awaits runs on the event loop of a thread.

Loaders and cached functions are given to it as coroutine functions, which run them in threads: so they may wait for other threads of the
test, and use the cache as they do where they block. An exception that was nobody's is a failure of the test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import coffer
import coffer.aio

PATIENCE_S = 120


class Loop:
    """An event loop that runs in a thread."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(64))
        self._loop.set_exception_handler(lambda _, context: self.faults.append(repr(context)))
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._loop.run_forever()
                return
            except (KeyboardInterrupt, SystemExit):  # a task's, which has it too
                continue

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def stop(self) -> None:
        """As asyncio.run ends."""
        if self._pid != os.getpid():
            return
        self.wait(self._loop.shutdown_asyncgens())
        self.wait(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def is_inherited(self) -> bool:
        return self._pid != os.getpid()


class Cache:
    """One for each test: `loop` is set by the fixture, and made anew in a forked child."""

    loop: ClassVar[Loop | None] = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._cache = coffer.aio.Cache(*arguments, **options)

    @classmethod
    def _of(cls, cache: coffer.aio.Cache) -> Cache:
        made = cls.__new__(cls)
        made._cache = cache
        return made

    @property
    def _handle(self) -> Any:
        return self._cache._handle

    @property
    def closed(self) -> bool:
        return self._cache.closed

    def close(self) -> None:
        wait(self._cache.aclose())

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._cache)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._cache.__reduce_ex__(protocol)

    def namespace(self, *arguments: Any, **options: Any) -> Cache:
        return self._of(self._cache.namespace(*arguments, **options))

    def get_or_load(self, key: Any, loader: Callable[[Any], Any], *arguments: Any, **options: Any) -> Any:
        return wait(self._cache.get_or_load(key, in_thread(loader), *arguments, **options))

    def cached(self, *arguments: Any, **options: Any) -> Callable[[Any], Cached]:
        decorator = self._cache.cached(*arguments, **options)
        return lambda function: Cached(decorator(in_thread(function)))


def _forward(name: str) -> Any:
    @functools.wraps(getattr(coffer.aio.Cache, name))
    def call(self: Cache, *arguments: Any, **options: Any) -> Any:
        answer = getattr(self._cache, name)(*arguments, **options)
        return wait(answer) if inspect.iscoroutine(answer) else answer

    return call


for _name in [name for name in dir(coffer.aio.Cache) if not name.startswith("_") and name not in vars(Cache)]:
    _static = isinstance(inspect.getattr_static(coffer.aio.Cache, _name), staticmethod)
    setattr(Cache, _name, staticmethod(getattr(coffer.aio.Cache, _name)) if _static else _forward(_name))


class Cached:
    """A cached function, or one that is bound to its object."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return wait(self._function(*arguments, **named))

    def key(self, *arguments: Any, **named: Any) -> Any:
        return self._function.key(*arguments, **named)

    def invalidate(self, *arguments: Any, **named: Any) -> Any:
        return wait(self._function.invalidate(*arguments, **named))

    def refresh(self, *arguments: Any, **named: Any) -> Any:
        return wait(self._function.refresh(*arguments, **named))

    def __set_name__(self, owner: type, name: str) -> None:
        self._function.__set_name__(owner, name)

    def __get__(self, instance: Any, owner: type | None = None) -> Cached:
        return self if instance is None else Cached(self._function.__get__(instance, owner))


def wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
    if Cache.loop is None or Cache.loop.is_inherited:
        Cache.loop = Loop()
    return Cache.loop.wait(coroutine)


def in_thread(function: Any) -> Any:
    """A coroutine function that runs it, where it is one that the package takes."""
    refused = (inspect.isgeneratorfunction, inspect.isasyncgenfunction, inspect.iscoroutinefunction)
    if not callable(function) or any(is_one(function) for is_one in refused):
        return function

    @functools.wraps(function) if inspect.isfunction(function) else lambda made: made
    async def threaded(*arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(function, *arguments, **named)

    return threaded


@contextlib.contextmanager
def on_a_loop() -> Any:
    """Cache.loop, for the time of a test."""
    Cache.loop = loop = Loop()
    try:
        yield
    finally:
        Cache.loop = None
        loop.stop()
    assert loop.faults == []
