"""The cache: coffer.Cache."""

from __future__ import annotations

import contextlib
import math
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NoReturn, ParamSpec, TypeVar

from coffer import _coffer_core as core
from coffer._decorators import CachedFunction, KeySpec, decorator
from coffer._errors import ArgumentError, Error, OptionError, ValueTypeError
from coffer._values import (
    ABSENT,
    Absent,
    Duration,
    Entry,
    Health,
    Key,
    Stats,
    decode_json,
    encode,
    encode_json,
    entry_of,
    health_of,
    join_key,
    option_text,
    stats_of,
    timeout_ms,
    ttl_ms,
)

_CAPSULE: Any = type(core.coffer_options_new())  # of the core's handles, which no value is: a load whose loader has to run

P = ParamSpec("P")
K = TypeVar("K", bound=Key)
T = TypeVar("T")


class _Loading(threading.local):
    """The load whose loader is running on this thread, the innermost one. Each loader puts back what was there before: an
    assignment to a name that is there needs no memory, which may be what the loader lacked."""

    innermost: core._Op | None = None


_LOADING = _Loading()


def _asking(credentials: Callable[[], str | tuple[str, str]]) -> Callable[[], tuple[str, str]]:
    """The user's function, whose answer is looked at here; what is wrong with it is told without showing it."""
    if not callable(credentials):
        raise ValueTypeError("`credentials` is a function that gives a password, or (user name, password)", "ARG")

    def ask() -> tuple[str, str]:
        answer = credentials()
        pair = ("", answer) if isinstance(answer, str) else answer
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise ValueTypeError("the function `credentials` gives a str, or a tuple of two: (user name, password)", "ARG")
        return pair

    return ask


class Cache:
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

    __slots__ = ("__weakref__", "_ask", "_children", "_finalizer", "_handle")

    def __init__(
        self,
        url: str = "mem://",
        *,
        prefix: str | None = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        credentials: Callable[[], str | tuple[str, str]] | None = None,
        from_environment: bool = False,
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
        options: every other option by its name, as `coffer.options()` lists them.

        Raises OptionError with the option's name, its value (unless secret) and what is allowed.
        """
        wanted = core.coffer_options_new()
        if from_environment:
            core.coffer_options_from_environment(wanted)
        if url != "mem://" or not from_environment:
            core.coffer_options_set_url(wanted, url)
        _apply(wanted, {"prefix": prefix, "namespace": namespace, "ttl": ttl}, options)
        self._own(core.coffer_open(wanted), None if credentials is None else _asking(credentials))

    def _own(self, handle: core._Handle, ask: Callable[[], tuple[str, str]] | None) -> None:
        self._handle = handle
        self._ask = ask
        if ask is not None:
            core.ask(handle, ask)
        self._children: weakref.WeakSet[Cache] = weakref.WeakSet()
        self._finalizer = weakref.finalize(self, core.close, handle)  # also at exit, while Python is still whole

    def namespace(self, name: str, *, ttl: Duration | None = None, **options: Any) -> Cache:
        """Another namespace of the same server or memory: shares connections, store and keys; other options are as here
        unless given.

        Only options that the table marks as the namespace's may be given. Closing this cache closes it too. Raises
        OptionError."""
        wanted = core.coffer_cache_options(self._handle)
        _apply(wanted, {"namespace": name, "ttl": ttl}, options)
        child = Cache.__new__(type(self))
        child._own(core.coffer_open_namespace(self._handle, wanted), self._ask)
        self._children.add(child)
        return child

    # ---- life ----

    def close(self) -> None:
        """Closes the cache and the namespaces made from it. Twice is harmless; any other use afterwards raises ClosedError.
        Calls of other threads that are under way come to their end."""
        for child in list(self._children):
            child.close()
        self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not self._finalizer.alive

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<coffer.Cache closed>"
        return f"<coffer.Cache prefix={self.option('prefix')} namespace={self.option('namespace')}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a coffer.Cache cannot be pickled or copied: it holds connections; open one in each process")

    def option(self, name: str) -> str:
        """What an option is, as text; secrets are "***". Raises OptionError where there is no such option."""
        if all(name != row[0] for row in core.option_table()):
            raise OptionError(f"there is no option {name!r}", "OPTION")
        return core.coffer_options_get(core.coffer_cache_options(self._handle), name)

    # ---- one key ----

    def get(self, key: Key, default: Any = None, *, stale: bool = False, timeout: Duration | None = None) -> Any:
        """The value, or `default` where there is none. With `stale` a value past its freshness is answered too.

        An entry that cannot be trusted (damaged, sealed with an unknown key, too old) is a miss, and counted in `stats()`.
        FormatError is raised where an entry is whole but its text or JSON is not."""
        return core.get(self._handle, key, default, decode_json, stale, 0 if timeout is None else timeout_ms(timeout))

    def get_entry(self, key: Key, *, stale: bool = False, misses: bool = False, timeout: Duration | None = None) -> Entry | None:
        """The value with all that is known about it, or None for a miss. A remembered absence is an entry whose value is
        ABSENT. With `misses` a miss is such an entry too, and its source says which: "outage" where the server could not be
        asked, else "none"."""
        raw = core.entry(self._handle, key, ABSENT, decode_json, stale, timeout_ms(timeout))
        if raw is None or raw[1] == "outage":
            return Entry(ABSENT, "none" if raw is None else raw[1], 0, None, None, None, 0.0, 0) if misses else None
        return entry_of(raw)

    def set(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> None:
        """Stores a value, or with ABSENT that there is none. `ttl` is how long it is fresh. Raises ValueTypeError,
        ArgumentError, TooLargeError."""
        core.set(self._handle, key, value, encode_json, ttl_ms(ttl), value is ABSENT, 0 if timeout is None else timeout_ms(timeout))

    def add(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        """Stores a value where the key has none. Whether it was stored."""
        data, options = _written(value, ttl, timeout)
        return _is_ok(core.coffer_op_add(self._handle, key, data, options))

    def replace(self, key: Key, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        """Stores a value where the key has one. Whether it was stored."""
        data, options = _written(value, ttl, timeout)
        return _is_ok(core.coffer_op_replace(self._handle, key, data, options))

    def compare_and_set(self, key: Key, entry_id: int, value: Any, ttl: Duration | None = None, *, timeout: Duration | None = None) -> bool:
        """Stores a value where the key still holds the entry that `get_entry` gave this id for. Whether it was stored."""
        data, options = _written(value, ttl, timeout)
        identity = _integer(entry_id, "an entry id", 0, 2**64 - 1)
        return _is_ok(core.coffer_op_compare_and_set(self._handle, key, identity, data, options))

    def delete(self, key: Key, *, timeout: Duration | None = None) -> bool:
        """Deletes the key. Whether it was there."""
        return core.delete(self._handle, key, timeout_ms(timeout))

    def exists(self, key: Key, *, timeout: Duration | None = None) -> bool:
        """Whether `get` would find a value."""
        return _is_ok(core.coffer_op_exists(self._handle, key, timeout_ms(timeout)))

    def ttl(self, key: Key, *, timeout: Duration | None = None) -> float | None:
        """Seconds that the value is still fresh; `math.inf` for ever; None where there is none."""
        left_ms = _integer_of(core.coffer_op_ttl(self._handle, key, timeout_ms(timeout)))
        if left_ms is None:
            return None
        return math.inf if left_ms < 0 else left_ms / 1000

    def expire(self, key: Key, ttl: Duration, *, timeout: Duration | None = None) -> bool:
        """Makes the value fresh for `ttl` from now. Whether it was there."""
        return _is_ok(core.coffer_op_expire(self._handle, key, _required_ttl(ttl), timeout_ms(timeout)))

    def touch(self, key: Key, *, timeout: Duration | None = None) -> bool:
        """Makes the value fresh for the namespace's TTL from now. Whether it was there."""
        return _is_ok(core.coffer_op_touch(self._handle, key, timeout_ms(timeout)))

    # ---- counters: apart from values; `get` of the same key does not see them ----

    def increment(self, key: Key, delta: int = 1, ttl: Duration | None = None, *, timeout: Duration | None = None) -> int:
        """Adds to a counter, which is made with 0 where there is none, and returns it. Its TTL starts when it is made.

        Raises CounterError where it would leave 64 bits. Never sent twice: MaybeAppliedError where the answer was lost."""
        step = _integer(delta, "a delta", -(2**63), 2**63 - 1)
        options = (ttl_ms(ttl), core.COFFER_FORMAT_BYTES, False, timeout_ms(timeout))
        op = core.coffer_op_increment(self._handle, key, step, options)
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
        return core.get_many(self._handle, _keys(keys), decode_json, stale, timeout_ms(timeout))

    def set_many(
        self, mapping: Mapping[Key, Any] | Mapping[str, Any], ttl: Duration | None = None, *, timeout: Duration | None = None
    ) -> None:
        """Stores all pairs. Where it raises, `Error.failed` names the keys that were not stored, or may not have been."""
        core.set_many(self._handle, list(mapping.items()), encode_json, ttl_ms(ttl), timeout_ms(timeout))

    def delete_many(self, keys: Iterable[Key], *, timeout: Duration | None = None) -> int:
        """Deletes all keys. How many were there. Where it raises, `Error.failed` names the keys that may still be there."""
        return core.delete_many(self._handle, _keys(keys), timeout_ms(timeout))

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
        limit_ms = timeout_ms(timeout)
        lifetime_ms = ttl_ms(ttl)
        answer: Any = core.load_begin(self._handle, key, decode_json, _LOADING.innermost, limit_ms)
        while type(answer) is _CAPSULE:
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
        with TypeError: asyncio comes with a later version.
        """
        return decorator(self, ttl, key, timeout)

    # ---- the rest ----

    @staticmethod
    def key(*parts: str | int) -> str:
        """Joins parts with colons so that different parts never give the same key: `key("a", "b:c")` is "a:b%3Ac"."""
        return join_key(*parts)

    def ping(self, *, timeout: Duration | None = None) -> None:
        """Returns where the server answers, else raises, whatever `on_outage` says. Always returns with mem://."""
        core.op_run(core.coffer_op_ping(self._handle, timeout_ms(timeout)))

    def stats(self) -> Stats:
        """What this namespace has done since it was opened: a snapshot."""
        return stats_of(core.stats(self._handle))

    def health(self, *, active: bool = False, timeout: Duration | None = None) -> Health:
        """How the cache is, and why. It tells what the last operations met; with `active` the server is asked first, within
        the deadline."""
        if active:
            with contextlib.suppress(Error):
                self.ping(timeout=timeout)
        return health_of(core.health(self._handle))

    # ---- off and on, while the program runs ----

    def turn_off(self, *, everything: bool = False, operation: str | None = None) -> None:
        """Turns caching off in this namespace, for all its handles in this process: reads are misses, loaders run, nothing is
        written. With `everything` in all namespaces of this connection; with `operation` ("get") only that operation here.
        Keys written meanwhile are deleted on the server when it is on again."""
        self._turn(False, everything, operation)

    def turn_on(self, *, everything: bool = False, operation: str | None = None) -> None:
        """Ends a `turn_off` with the same arguments."""
        self._turn(True, everything, operation)

    def set_share(self, percent: int) -> None:
        """Only this share of the keys, 0 to 100 percent, is cached in this namespace: always the same keys, in every process
        and language, and those of a smaller share are among those of a larger one."""
        core.coffer_turn_share(self._handle, _integer(percent, "a share in percent", 0, 100))

    def _turn(self, is_on: bool, everything: bool, operation: str | None) -> None:
        if operation is None:
            core.coffer_turn(self._handle, core.COFFER_SCOPE_ALL if everything else core.COFFER_SCOPE_NAMESPACE, is_on)
        elif everything:
            raise ArgumentError("an operation is turned off and on in one namespace, not everywhere", "ARG")
        elif core.coffer_turn_operation(self._handle, core.coffer_operation_of(operation), is_on) != core.COFFER_OK:
            raise ArgumentError(f"there is no operation {operation!r}", "ARG")


def _load(load: core._Op, key: K, loader: Callable[[K], Any], lifetime_ms: int) -> Any:
    """Runs the loader and tells the core. The value; or the load again, where its loader has to run once more."""
    outer = _LOADING.innermost
    try:
        _LOADING.innermost = load
        value = loader(key)
        is_absent = value is None or value is ABSENT
        data, form = ("", core.COFFER_FORMAT_BYTES) if is_absent else encode(value)
    except BaseException as fault:
        stale = core.load_abort(load, isinstance(fault, Exception), decode_json)
        if stale is load:
            raise
        return stale
    finally:
        _LOADING.innermost = outer
    return core.load_supply(load, data, form, lifetime_ms, is_absent, value, decode_json)


def _apply(wanted: core._Options, named: Mapping[str, Duration | None], options: Mapping[str, Any]) -> None:
    for name, value in (*named.items(), *options.items()):
        if value is not None:
            core.coffer_options_set(wanted, name, option_text(name, value))


def _written(
    value: Any, ttl: Duration | None, timeout: Duration | None
) -> tuple[str | bytes | bytearray | memoryview, tuple[int, int, bool, int]]:
    if value is ABSENT:
        return b"", (ttl_ms(ttl), core.COFFER_FORMAT_BYTES, True, timeout_ms(timeout))
    data, form = encode(value)
    return data, (ttl_ms(ttl), form, False, timeout_ms(timeout))


def _is_ok(op: core._Op) -> bool:
    return core.op_run(op) == core.COFFER_OK


def _integer_of(op: core._Op) -> int | None:
    return core.coffer_op_integer(op) if core.op_run(op) == core.COFFER_OK else None


def _required_ttl(ttl: Duration) -> int:
    if ttl is None:
        raise ValueTypeError("expire needs a TTL; touch uses the namespace's", "ARG")
    return ttl_ms(ttl)


def _keys(keys: Iterable[K]) -> list[K]:
    if isinstance(keys, (str, bytes)):
        raise ValueTypeError(f"expected several keys, not one {type(keys).__name__}", "ARG")
    return list(keys)


def _integer(number: int, what: str, least: int, most: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueTypeError(f"{what} is an int, not {type(number).__name__}", "ARG")
    if not least <= number <= most:
        raise ArgumentError(f"{what} is from {least} to {most}", "ARG")
    return int(number)
