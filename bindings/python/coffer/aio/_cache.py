"""coffer.aio.Cache."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import coffer
from coffer import _coffer_core as core
from coffer._base import (
    CAPSULE,
    NOTHING,
    Base,
    check_function,
    counted,
    documented_by,
    identity_of,
    key_list,
    loaded,
    login_of,
    required_ttl,
    seconds_left,
    step_of,
    written,
)
from coffer._decorators import KeySpec
from coffer._errors import ClosedError, CredentialsError, Error
from coffer._values import (
    ABSENT,
    Absent,
    Duration,
    Entry,
    Health,
    Key,
    Stats,
    decode_json,
    encode_json,
    entry_or_none,
    health_of,
    stats_of,
    timeout_ms,
    ttl_ms,
)
from coffer.aio._decorators import Decorator
from coffer.aio._loops import Ask, Drivers, Seat

K = TypeVar("K", bound=Key)
T = TypeVar("T")

Login = str | tuple[str, str]

_USERNAME_BYTES, _PASSWORD_BYTES = 512, 64 << 10  # coffer_credentials_set's limits (cache.h)


class _Running:
    """A load whose loader is running, and around which one. Tasks that a loader starts inherit it, and may outlive the load."""

    __slots__ = ("load", "outer")

    def __init__(self, load: core._Op, outer: _Running | None) -> None:
        self.load: core._Op | None = load
        self.outer = outer


_INNERMOST: contextvars.ContextVar[_Running | None] = contextvars.ContextVar("coffer_innermost_load", default=None)


def _innermost() -> _Running | None:
    running = _INNERMOST.get()
    while running is not None and running.load is None:
        running = running.outer
    return running


def _asking(credentials: Callable[[], Login | Awaitable[Login]]) -> Ask:
    check_function(credentials)

    async def ask() -> tuple[str, str]:
        answer = credentials()
        username, password = login_of(await answer if inspect.isawaitable(answer) else answer)
        if len(username.encode()) > _USERNAME_BYTES or len(password.encode()) > _PASSWORD_BYTES:
            raise CredentialsError("what the function `credentials` gave is too long", "CREDENTIALS")
        return username, password

    return ask


@documented_by(coffer.Cache)
class Cache(Base):
    """coffer.Cache for asyncio: the same names and arguments, values, errors and behaviour; what may ask a server is awaited.

        async with coffer.aio.Cache("redis://localhost/0", namespace="users", ttl="30m") as cache:
            await cache.set("42", {"name": "Ada"})
            await cache.get("42")                           # {'name': 'Ada'}
            await cache.get_or_load("43", database.user)    # a function or a coroutine function: once

    A task that is cancelled, by `asyncio.timeout` for one, leaves nothing behind: its operation is given up, its reply goes to
    nobody, and a load that it led is led by another of those that wait for it.

    A cache may be opened at import, and used on any number of event loops, one after another or at the same time in several
    threads: each has connections of its own, made by the first call that needs one and closed when the loop ends. A child
    process uses it on a loop of its own. All that is asked in one turn of a loop is written to a server at once.
    """

    __slots__ = ("_drivers", "_is_opener", "_seat", "_seats")

    _drivers: Drivers

    def __init__(
        self,
        url: str = "mem://",
        *,
        prefix: str | None = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        credentials: Callable[[], Login | Awaitable[Login]] | None = None,
        from_environment: bool = False,
        near_objects: int = 0,
        **options: Any,
    ) -> None:
        """Opens a cache; neither connects nor needs a running event loop. The arguments are those of coffer.Cache; `credentials`
        may be a coroutine function too."""
        ask = None if credentials is None else _asking(credentials)
        self._drivers = Drivers(ask)
        self._is_opener = True
        self._open(url, {"prefix": prefix, "namespace": namespace, "ttl": ttl}, options, from_environment, ask, near_objects)

    def _own(self, handle: core._Handle, ask: Ask | None, count: int) -> None:
        super()._own(handle, ask, count)
        self._seats: dict[AbstractEventLoop, Seat] = {}
        self._seat: Seat | None = None  # the last that was used

    def namespace(self, name: str, *, ttl: Duration | None = None, near_objects: int | None = None, **options: Any) -> Self:
        child = super().namespace(name, ttl=ttl, near_objects=near_objects, **options)
        child._drivers = self._drivers
        child._is_opener = False
        return child

    # ---- loops ----

    def _here(self) -> Seat:
        loop = get_running_loop()
        seat = self._seat
        if seat is None or seat.loop is not loop:
            seat = self._seat = self._seats.get(loop) or self._sit(loop)
        return seat

    def _sit(self, loop: AbstractEventLoop) -> Seat:
        for gone in [seat for seat in list(self._seats.values()) if seat.loop.is_closed()]:
            core.close(gone.handle)
            self._seats.pop(gone.loop, None)
        seat = self._seats[loop] = self._drivers.seat(loop, self._handle)
        return seat

    # ---- life ----

    async def aclose(self) -> None:
        """Closes the cache and the namespaces made from it. Twice is harmless; any other use afterwards raises ClosedError, and
        so do the calls that are under way. (Of a namespace that is closed alone these come to their end.)"""
        for child in list(self._children):
            await child.aclose()
        self._finalizer()
        for seat in list(self._seats.values()):
            core.close(seat.handle)
        if self._is_opener:
            await self._drivers.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    # ---- one key ----

    async def get(self, key: Key, default: Any = None, *, stale: bool = False, timeout: Duration | None = None) -> Any:
        if timeout is None:
            found = self._peek(key, default, NOTHING)
            if found is not NOTHING:
                return found
        seat = self._here()
        found = core.get(seat.handle, key, NOTHING, decode_json, stale, 0 if timeout is None else timeout_ms(timeout))
        if isinstance(found, Future):
            found = await seat.answer(found)
        return default if found is NOTHING else found

    async def get_entry(self, key: Key, *, stale: bool = False, misses: bool = False, timeout: Duration | None = None) -> Entry | None:
        seat = self._here()
        found = core.entry(seat.handle, key, ABSENT, decode_json, stale, timeout_ms(timeout))
        return entry_or_none(await seat.answer(found), misses)

    async def set(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> None:
        seat = self._here()
        limit_ms = 0 if timeout is None else timeout_ms(timeout)
        done: Any = core.set(seat.handle, key, value, encode_json, ttl_ms(ttl), value is ABSENT, limit_ms)  # type: ignore[func-returns-value]
        if done is not None:
            await seat.answer(done)

    async def add(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        seat = self._here()
        data, options = written(value, ttl, timeout)
        return await _is_ok(seat, core.coffer_op_add(seat.handle, key, data, options))

    async def replace(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        seat = self._here()
        data, options = written(value, ttl, timeout)
        return await _is_ok(seat, core.coffer_op_replace(seat.handle, key, data, options))

    async def compare_and_set(
        self, key: Key, entry_id: int, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None
    ) -> bool:
        seat = self._here()
        data, options = written(value, ttl, timeout)
        return await _is_ok(seat, core.coffer_op_compare_and_set(seat.handle, key, identity_of(entry_id), data, options))

    async def delete(self, key: Key, *, timeout: Duration | None = None) -> bool:
        seat = self._here()
        was_there: bool = await seat.answer(core.delete(seat.handle, key, timeout_ms(timeout)))
        return was_there

    async def exists(self, key: Key, *, timeout: Duration | None = None) -> bool:
        seat = self._here()
        return await _is_ok(seat, core.coffer_op_exists(seat.handle, key, timeout_ms(timeout)))

    async def ttl(self, key: Key, *, timeout: Duration | None = None) -> float | None:
        seat = self._here()
        left_ms = await _integer_of(seat, core.coffer_op_ttl(seat.handle, key, timeout_ms(timeout)))
        return None if left_ms is None else seconds_left(left_ms)

    async def expire(self, key: Key, ttl: Duration, *, timeout: Duration | None = None) -> bool:
        seat = self._here()
        return await _is_ok(seat, core.coffer_op_expire(seat.handle, key, required_ttl(ttl), timeout_ms(timeout)))

    async def touch(self, key: Key, *, timeout: Duration | None = None) -> bool:
        seat = self._here()
        return await _is_ok(seat, core.coffer_op_touch(seat.handle, key, timeout_ms(timeout)))

    # ---- counters: apart from values; `get` of the same key does not see them ----

    async def increment(self, key: Key, delta: int = 1, ttl: Duration | None = None, *, timeout: Duration | None = None) -> int:
        seat = self._here()
        op = core.coffer_op_increment(seat.handle, key, step_of(delta), counted(ttl, timeout))
        await seat.answer(core.op_run(op))
        return core.coffer_op_integer(op)

    async def counter(self, key: Key, *, timeout: Duration | None = None) -> int | None:
        seat = self._here()
        return await _integer_of(seat, core.coffer_op_counter(seat.handle, key, timeout_ms(timeout)))

    async def reset_counter(self, key: Key, *, timeout: Duration | None = None) -> bool:
        seat = self._here()
        return await _is_ok(seat, core.coffer_op_reset_counter(seat.handle, key, timeout_ms(timeout)))

    # ---- many keys, in as few round trips as can be ----

    async def get_many(self, keys: Iterable[K], *, stale: bool = False, timeout: Duration | None = None) -> dict[K, Any]:
        seat = self._here()
        found: dict[K, Any] = await seat.answer(core.get_many(seat.handle, key_list(keys), decode_json, stale, timeout_ms(timeout)))
        return found

    async def set_many(
        self, mapping: Mapping[Key, Any] | Mapping[str, Any], ttl: Duration | None = None, *, timeout: Duration | None = None
    ) -> None:
        seat = self._here()
        pairs: list[tuple[Any, Any]] = list(mapping.items())
        await seat.answer(core.set_many(seat.handle, pairs, encode_json, ttl_ms(ttl), timeout_ms(timeout)))  # type: ignore[func-returns-value]

    async def delete_many(self, keys: Iterable[Key], *, timeout: Duration | None = None) -> int:
        seat = self._here()
        count: int = await seat.answer(core.delete_many(seat.handle, key_list(keys), timeout_ms(timeout)))
        return count

    async def clear(self, *, timeout: Duration | None = None) -> int:
        seat = self._here()
        op = core.coffer_op_clear(seat.handle, timeout_ms(timeout))
        await seat.answer(core.op_run(op))
        return core.coffer_op_integer(op)

    # ---- loading ----

    @overload
    async def get_or_load(
        self, key: K, loader: Callable[[K], Awaitable[T | Absent]], ttl: Duration | None = None, *, timeout: Duration | None = None
    ) -> T | None: ...
    @overload
    async def get_or_load(
        self, key: K, loader: Callable[[K], T | Absent], ttl: Duration | None = None, *, timeout: Duration | None = None
    ) -> T | None: ...
    async def get_or_load(self, key: K, loader: Callable[[K], Any], ttl: Duration | None = None, *, timeout: Duration | None = None) -> Any:
        """The value, or what `loader(key)` returns, stored for the next. The loader is a coroutine function, or a function, which
        holds the loop up while it runs. However many tasks and threads ask at once, one loader runs; where its task is cancelled
        another of them runs its own. All else is as in coffer.Cache."""
        limit_ms = 0 if timeout is None else timeout_ms(timeout)
        lifetime_ms = 0 if ttl is None else ttl_ms(ttl)
        answer: Any = self._peek_load(key, None, NOTHING)
        if answer is not NOTHING:
            return answer
        seat = self._here()
        around = _innermost()
        outer = None if around is None else around.load
        answer = await _load_of(seat, core.load_begin(seat.handle, key, decode_json, outer, limit_ms))
        while type(answer) is CAPSULE:
            answer = await _load(seat, _Running(answer, around), key, loader, lifetime_ms)
        return answer

    def cached(self, ttl: Duration | None = None, key: KeySpec | None = None, *, timeout: Duration | None = None) -> Decorator:
        """A decorator that remembers what a coroutine function, a function or a method of either kind returns, through
        `get_or_load`. What it makes is awaited.

            @cache.cached(ttl="10m", key="user:{id}")
            async def user(id: int) -> dict: ...

            await user(42)                # loads, then hits
            user.key(42)                  # 'user:42'
            await user.invalidate(42)     # deletes it
            await user.refresh(42)        # runs the function and stores

        The arguments are those of coffer.Cache.cached."""
        return Decorator(self, ttl, key, timeout)

    # ---- the rest ----

    async def ping(self, *, timeout: Duration | None = None) -> None:
        seat = self._here()
        await seat.answer(core.op_run(core.coffer_op_ping(seat.handle, timeout_ms(timeout))))

    def stats(self) -> Stats:
        raw = core.stats(self._handle)
        for pool in self._drivers.pools():
            raw["pool"] = {name: count + raw["pool"][name] for name, count in pool.items()}
        return stats_of(raw)

    async def health(self, *, active: bool = False, timeout: Duration | None = None) -> Health:
        if active:
            with contextlib.suppress(Error):
                await self.ping(timeout=timeout)
        return health_of(core.health(self._handle))


async def _is_ok(seat: Seat, op: core._Op) -> bool:
    return bool(await seat.answer(core.op_run(op)) == core.COFFER_OK)


async def _integer_of(seat: Seat, op: core._Op) -> int | None:
    return core.coffer_op_integer(op) if await _is_ok(seat, op) else None


async def _load_of(seat: Seat, pending: Any) -> Any:
    """The value, or a load whose loader has to run. Who is cancelled as a load comes hands it on."""
    try:
        return await seat.answer(pending)
    except (asyncio.CancelledError, GeneratorExit):
        if pending.done() and not pending.cancelled() and pending.exception() is None and type(pending.result()) is CAPSULE:
            core.load_abort(pending.result(), False, decode_json)
        raise


async def _load(seat: Seat, running: _Running, key: K, loader: Callable[[K], Any], lifetime_ms: int) -> Any:
    """Runs the loader and tells the core. The value; or the load again, where its loader has to run once more."""
    load: Any = running.load
    try:
        _INNERMOST.set(running)
        value = loader(key)
        if inspect.isawaitable(value):
            value = await value
        data, form, is_absent = loaded(value)
    except BaseException as fault:
        stale = await seat.answer(core.load_abort(load, isinstance(fault, Exception), decode_json))
        if stale is load:
            raise
        return stale
    finally:
        running.load = None
    try:
        return await _load_of(seat, core.load_supply(load, data, form, lifetime_ms, is_absent, value, decode_json))
    except ClosedError:  # meanwhile, perhaps by the loader: its work is not lost
        return None if is_absent else value
