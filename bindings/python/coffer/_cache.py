"""The cache: coffer.Cache."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from coffer import _coffer_core as core
from coffer._base import (
    CAPSULE,
    NOTHING,
    Base,
    check_function,
    counted,
    identity_of,
    key_list,
    loaded,
    login_of,
    required_ttl,
    seconds_left,
    step_of,
    written,
)
from coffer._decorators import CachedFunction, KeySpec, decorator
from coffer._errors import Error
from coffer._values import (
    ABSENT,
    Absent,
    Duration,
    Entry,
    Health,
    Key,
    decode_json,
    encode_json,
    entry_or_none,
    health_of,
    timeout_ms,
    ttl_ms,
)

P = ParamSpec("P")
K = TypeVar("K", bound=Key)
T = TypeVar("T")


class _Loading(threading.local):
    """The load whose loader is running on this thread, the innermost one. Each loader puts back what was there before: an
    assignment to a name that is there needs no memory, which may be what the loader lacked."""

    innermost: core._Op | None = None


_LOADING = _Loading()


def _asking(credentials: Callable[[], str | tuple[str, str]]) -> Callable[[], tuple[str, str]]:
    check_function(credentials)
    return lambda: login_of(credentials())


class Cache(Base):
    """A cache: in this process (`mem://`), or on a Redis or Valkey server.

        with coffer.Cache("redis://localhost/0", namespace="users", ttl="30m") as cache:
            cache.set("42", {"name": "Ada"})
            cache.get("42")                                 # {'name': 'Ada'}
            cache.get_or_load("43", database.user)          # database.user("43"), once

    Values are bytes (also bytearray and contiguous memoryview, which come back as bytes), str, or what JSON holds as it is:
    None, bool, int, float, str, list and dict with str keys. They come back as what they were; what would not is refused
    with ValueTypeError. None is a value like any other to `set` and `get`: use `get(key, default=...)`, `get_entry` or
    `exists` to tell it from a miss.

    Keys are str or bytes. Times are seconds, timedelta, or text such as "250ms", "30m" and, for TTLs, "short" or "forever";
    0, negative numbers, NaN and infinity are refused with ArgumentError. `timeout` is the deadline of one call: waiting for
    a connection, connecting, writing and reading together; without it the option `timeout` counts.

    While the server is away the application goes on: `get` gives the default, `get_or_load` runs its loader, `add` says False, `set`
    and `delete` do nothing, and the keys of writes are deleted when the server is back. `health()` says "down" and why, and
    `stats().outage_misses` counts. Counters and `ping` raise all the same; so does everything where the option `on_outage` is "error".
    What only a person can mend is never taken for an outage: a wrong password, missing rights, a certificate, another protocol.

    Every call may raise, besides what it says itself: ServerError and its kin, ProtocolError, TlsError, CertificateError,
    KeyInvalidError, ClosedError; and, where an outage is an error, TimeoutError, PoolTimeoutError, ConnectionError, ServerBusyError.
    A write that raises MaybeAppliedError may have been carried out. A cache may be used by
    any number of threads, and by a child process after fork; it cannot be pickled or copied. Connections are made by the
    first call that needs one: `ping()` after opening tells of a wrong address at once.
    """

    __slots__ = ()

    def __init__(
        self,
        url: str = "mem://",
        *,
        prefix: str | None = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        credentials: Callable[[], str | tuple[str, str]] | None = None,
        from_environment: bool = False,
        near_objects: int = 0,
        **options: Any,
    ) -> None:
        """Opens a cache.

        url: mem://, redis://user:password@host:port/db, valkey://..., rediss:// (TLS), unix:///path?db=0; its parameters are
            options too.
        prefix: the first field of every key on the server, such as "prod".
        namespace: the second field, such as "users".
        ttl: how long values are fresh where a call does not say.
        credentials: called at each connect, by the thread that needs it, for a password that changes: gives it, or (user name,
            password). Goes before `username`, `password` and `password_file`. It may not use this cache. What it raises is
            raised by the call that needed the connection.
        from_environment: read COFFER_<OPTION> and the usual names (REDIS_URL, ...) first; a `url` other than "mem://" and all other
            arguments go before what they say.
        near_objects: so many decoded objects are kept for as long as the near cache (option `near`, or mem://) holds what they
            were made of, and `get`, `get_or_load` and what `cached` makes answer the same object again: copy what you change. A
            namespace has so many of its own.
        options: every other option by its name, as `coffer.options()` lists them.

        Raises OptionError with the option's name, its value (unless secret) and what is allowed.
        """
        ask = None if credentials is None else _asking(credentials)
        self._open(url, {"prefix": prefix, "namespace": namespace, "ttl": ttl}, options, from_environment, ask, near_objects)

    def _own(self, handle: core._Handle, ask: Callable[[], tuple[str, str]] | None, count: int) -> None:
        super()._own(handle, ask, count)
        if ask is not None:
            core.ask(handle, ask)

    # ---- life ----

    def close(self) -> None:
        """Closes the cache and the namespaces made from it. Twice is harmless; any other use afterwards raises ClosedError.
        Calls of other threads that are under way come to their end."""
        for child in list(self._children):
            child.close()
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ---- one key ----

    if TYPE_CHECKING:  # written in C, native_near.c, where these words are too: a near hit costs no frame of Python

        def get(self, key: Key, default: Any = None, *, stale: bool = False, timeout: Duration | None = None) -> Any:
            """The value, or `default` where there is none. With `stale` a value past its freshness is answered too.

            An entry that cannot be trusted (damaged, sealed with an unknown key, too old) is a miss, and counted in `stats()`.
            FormatError is raised where an entry is whole but its text or JSON is not. Where `near_objects` keeps objects, the
            same one may be answered again: copy what you change."""

    def get_entry(self, key: Key, *, stale: bool = False, misses: bool = False, timeout: Duration | None = None) -> Entry | None:
        """The value with all that is known about it, or None for a miss. A remembered absence is an entry whose value is
        ABSENT. With `misses` a miss is such an entry too, and its source says which: "outage" where the server could not be
        asked, else "none"."""
        return entry_or_none(core.entry(self._handle, key, ABSENT, decode_json, stale, timeout_ms(timeout)), misses)

    def set(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> None:
        """Stores a value, or with ABSENT that there is none. `ttl` is how long it is fresh. Raises ValueTypeError,
        ArgumentError, TooLargeError."""
        core.set(self._handle, key, value, encode_json, ttl_ms(ttl), value is ABSENT, 0 if timeout is None else timeout_ms(timeout))

    def add(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        """Stores a value where the key has none. Whether it was stored."""
        data, options = written(value, ttl, timeout)
        return _is_ok(core.coffer_op_add(self._handle, key, data, options))

    def replace(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        """Stores a value where the key has one. Whether it was stored."""
        data, options = written(value, ttl, timeout)
        return _is_ok(core.coffer_op_replace(self._handle, key, data, options))

    def compare_and_set(self, key: Key, entry_id: int, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        """Stores a value where the key still holds the entry that `get_entry` gave this id for. Whether it was stored."""
        data, options = written(value, ttl, timeout)
        return _is_ok(core.coffer_op_compare_and_set(self._handle, key, identity_of(entry_id), data, options))

    def delete(self, key: Key, *, timeout: Duration | None = None) -> bool:
        """Deletes the key. Whether it was there."""
        return core.delete(self._handle, key, timeout_ms(timeout))

    def exists(self, key: Key, *, timeout: Duration | None = None) -> bool:
        """Whether `get` would find a value."""
        return _is_ok(core.coffer_op_exists(self._handle, key, timeout_ms(timeout)))

    def ttl(self, key: Key, *, timeout: Duration | None = None) -> float | None:
        """Seconds that the value is still fresh; `math.inf` for ever; None where there is none."""
        left_ms = _integer_of(core.coffer_op_ttl(self._handle, key, timeout_ms(timeout)))
        return None if left_ms is None else seconds_left(left_ms)

    def expire(self, key: Key, ttl: Duration, *, timeout: Duration | None = None) -> bool:
        """Makes the value fresh for `ttl` from now. Whether it was there."""
        return _is_ok(core.coffer_op_expire(self._handle, key, required_ttl(ttl), timeout_ms(timeout)))

    def touch(self, key: Key, *, timeout: Duration | None = None) -> bool:
        """Makes the value fresh for the namespace's TTL from now. Whether it was there."""
        return _is_ok(core.coffer_op_touch(self._handle, key, timeout_ms(timeout)))

    # ---- counters: apart from values; `get` of the same key does not see them ----

    def increment(self, key: Key, delta: int = 1, ttl: Duration | None = None, *, timeout: Duration | None = None) -> int:
        """Adds to a counter, which is made with 0 where there is none, and returns it. Its TTL starts when it is made.

        Raises CounterError where it would leave 64 bits. Never sent twice: MaybeAppliedError where the answer was lost."""
        op = core.coffer_op_increment(self._handle, key, step_of(delta), counted(ttl, timeout))
        core.op_run(op)
        return core.coffer_op_integer(op)

    def counter(self, key: Key, *, timeout: Duration | None = None) -> int | None:
        """The counter, or None where there is none."""
        return _integer_of(core.coffer_op_counter(self._handle, key, timeout_ms(timeout)))

    def reset_counter(self, key: Key, *, timeout: Duration | None = None) -> bool:
        """Deletes the counter. Whether it was there."""
        return _is_ok(core.coffer_op_reset_counter(self._handle, key, timeout_ms(timeout)))

    # ---- many keys, in as few round trips as can be ----

    def get_many(self, keys: Iterable[K], *, stale: bool = False, timeout: Duration | None = None) -> dict[K, Any]:
        """The values that were found, by key. Where a server is away it raises, whatever the others answered (`Error.failed` names
        the keys); with `on_outage="miss"` the keys of that server are missing alone."""
        return core.get_many(self._handle, key_list(keys), decode_json, stale, timeout_ms(timeout))

    def set_many(
        self, mapping: Mapping[Key, Any] | Mapping[str, Any], ttl: Duration | None = None, *, timeout: Duration | None = None
    ) -> None:
        """Stores all pairs. Where it raises, `Error.failed` names the keys that were not stored, or may not have been."""
        core.set_many(self._handle, list(mapping.items()), encode_json, ttl_ms(ttl), timeout_ms(timeout))

    def delete_many(self, keys: Iterable[Key], *, timeout: Duration | None = None) -> int:
        """Deletes all keys. How many were there. Where it raises, `Error.failed` names the keys that may still be there."""
        return core.delete_many(self._handle, key_list(keys), timeout_ms(timeout))

    def clear(self, *, timeout: Duration | None = None) -> int:
        """Deletes everything in this namespace: values, remembered absences and counters. How many keys were deleted.

        It goes through all keys of the server, or of each primary of a cluster, in pages: what was there before is gone
        afterwards, what is written meanwhile may be, and loads that are under way in this process store nothing. `timeout`
        is for the whole; without it each page may take the option `timeout`, and the whole ten minutes. Raises where the
        server is away, whatever `on_outage` says, and while caching is turned off; what was deleted by then stays deleted."""
        op = core.coffer_op_clear(self._handle, timeout_ms(timeout))
        core.op_run(op, True)
        return core.coffer_op_integer(op)

    # ---- loading ----

    def get_or_load(
        self, key: K, loader: Callable[[K], T | Absent], ttl: Duration | None = None, *, timeout: Duration | None = None
    ) -> T | None:
        """The value, or what `loader(key)` returns, stored for the next. However many threads ask at once, one loader runs.

        A loader that returns None or ABSENT has found that there is no value: that is remembered for the option
        `negative_ttl`, and answered as None. What it raises comes out unchanged, unless a stale value may be served (option
        `stale_ttl`); threads that waited for it get LoadError. A loaded value is not stored where the key was written or
        deleted meanwhile. The loader may use the cache, but not load its own key (LoadError). The deadline does not count
        the loader's own time.
        """
        limit_ms = 0 if timeout is None else timeout_ms(timeout)
        lifetime_ms = 0 if ttl is None else ttl_ms(ttl)
        answer: Any = self._peek_load(key, None, NOTHING)
        if answer is NOTHING:
            answer = core.load_begin(self._handle, key, decode_json, _LOADING.innermost, limit_ms)
        while type(answer) is CAPSULE:
            answer = _load(answer, key, loader, lifetime_ms)
        return answer  # type: ignore[no-any-return]

    def cached(
        self, ttl: Duration | None = None, key: KeySpec | None = None, *, timeout: Duration | None = None
    ) -> Callable[[Callable[P, T]], CachedFunction[P, T]]:
        """A decorator that remembers what a function or method returns, through `get_or_load`.

            @cache.cached(ttl="10m", key="user:{id}")
            def user(id: int) -> dict: ...

            user(42)                # loads, then hits
            user.key(42)            # 'user:42'
            user.invalidate(42)     # deletes it
            user.refresh(42)        # runs the function and stores

        key: a template of parameter names, whose values are escaped so that no colon of theirs joins fields; or a function of
            the same arguments that returns the key; by default the function's name and all its arguments, joined so that
            different arguments never give the same key. `self` and `cls` are left out.

        A function that returns None has found that there is no value (see `get_or_load`). Coroutine functions are refused
        with TypeError: they are for coffer.aio.Cache.
        """
        return decorator(self, ttl, key, timeout)

    # ---- the rest ----

    def ping(self, *, timeout: Duration | None = None) -> None:
        """Returns where the server answers, else raises, whatever `on_outage` says. Always returns with mem://."""
        core.op_run(core.coffer_op_ping(self._handle, timeout_ms(timeout)))

    def health(self, *, active: bool = False, timeout: Duration | None = None) -> Health:
        """How the cache is, and why. It tells what the last operations met; with `active` the server is asked first, within
        the deadline."""
        if active:
            with contextlib.suppress(Error):
                self.ping(timeout=timeout)
        return health_of(core.health(self._handle))


def _load(load: core._Op, key: K, loader: Callable[[K], Any], lifetime_ms: int) -> Any:
    """Runs the loader and tells the core. The value; or the load again, where its loader has to run once more."""
    outer = _LOADING.innermost
    try:
        _LOADING.innermost = load
        value = loader(key)
        data, form, is_absent = loaded(value)
    except BaseException as fault:
        stale = core.load_abort(load, isinstance(fault, Exception), decode_json)
        if stale is load:
            raise
        return stale
    finally:
        _LOADING.innermost = outer
    return core.load_supply(load, data, form, lifetime_ms, is_absent, value, decode_json)


def _is_ok(op: core._Op) -> bool:
    return core.op_run(op) == core.COFFER_OK


def _integer_of(op: core._Op) -> int | None:
    return core.coffer_op_integer(op) if core.op_run(op) == core.COFFER_OK else None
