"""What coffer.Cache and coffer.aio.Cache have in common: opening, namespaces, and all that asks no server."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, Self, TypeVar

from coffer import _coffer_core as core
from coffer._errors import ArgumentError, OptionError, ValueTypeError
from coffer._values import ABSENT, Duration, Key, Stats, decode_json, encode, join_key, option_text, stats_of, timeout_ms, ttl_ms

CAPSULE: Any = type(core.coffer_options_new())  # of the core's handles, which no value is: a load whose loader has to run

NOTHING: Any = object()  # which no value or default is: nothing near, or found

C = TypeVar("C")
K = TypeVar("K", bound=Key)

Plain = str | bytes | bytearray | memoryview


class Base(core.Reader):
    """A handle of the core's, and what can be told or changed without a server."""

    __slots__ = ("__weakref__", "_ask", "_children", "_finalizer", "_kept_count")

    _kept_count: int  # near_objects
    _ask: Callable[[], Any] | None  # for user name and password, where there is a function for them
    _children: weakref.WeakSet[Self]
    _finalizer: weakref.finalize[..., Any]

    def _open(
        self,
        url: str,
        named: Mapping[str, Duration | None],
        options: Mapping[str, Any],
        from_environment: bool,
        ask: Callable[[], Any] | None,
        near_objects: int,
    ) -> None:
        count = kept_count(near_objects)
        wanted = core.coffer_options_new()
        if from_environment:
            core.coffer_options_from_environment(wanted)
        if url != "mem://" or not from_environment:
            core.coffer_options_set_url(wanted, url)
        _apply(wanted, named, options)
        self._own(core.coffer_open(wanted), ask, count)

    def _own(self, handle: core._Handle, ask: Callable[[], Any] | None, count: int) -> None:
        self._handle = handle
        self._decode = decode_json
        self._kept_count = count
        if count > 0:
            core.keep_objects(handle, count)
        self._ask = ask
        self._children = weakref.WeakSet()
        self._finalizer = weakref.finalize(self, core.close, handle)  # also at exit, while Python is still whole

    def namespace(self, name: str, *, ttl: Duration | None = None, near_objects: int | None = None, **options: Any) -> Self:
        """Another namespace of the same server or memory: shares connections, store and keys; other options are as here
        unless given.

        Only options that the table marks as the namespace's may be given, and `near_objects`. Closing this cache closes it
        too. Raises OptionError."""
        count = self._kept_count if near_objects is None else kept_count(near_objects)
        wanted = core.coffer_cache_options(self._handle)
        _apply(wanted, {"namespace": name, "ttl": ttl}, options)
        child = self.__new__(type(self))
        child._own(core.coffer_open_namespace(self._handle, wanted), self._ask, count)
        self._children.add(child)
        return child

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not self._finalizer.alive

    def __repr__(self) -> str:
        name = f"{type(self).__module__.removesuffix('._cache')}.{type(self).__qualname__}"
        if self.closed:
            return f"<{name} closed>"
        return f"<{name} prefix={self.option('prefix')} namespace={self.option('namespace')}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a cache cannot be pickled or copied: it holds connections; open one in each process")

    def option(self, name: str) -> str:
        """What an option is, as text; secrets are "***". Raises OptionError where there is no such option."""
        if all(name != row[0] for row in core.option_table()):
            raise OptionError(f"there is no option {name!r}", "OPTION")
        return core.coffer_options_get(core.coffer_cache_options(self._handle), name)

    @staticmethod
    def key(*parts: str | int) -> str:
        """Joins parts with colons so that different parts never give the same key: `key("a", "b:c")` is "a:b%3Ac"."""
        return join_key(*parts)

    def stats(self) -> Stats:
        """What this namespace has done since it was opened: a snapshot."""
        return stats_of(core.stats(self._handle))

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
        core.coffer_turn_share(self._handle, integer(percent, "a share in percent", 0, 100))

    def _turn(self, is_on: bool, everything: bool, operation: str | None) -> None:
        if operation is None:
            core.coffer_turn(self._handle, core.COFFER_SCOPE_ALL if everything else core.COFFER_SCOPE_NAMESPACE, is_on)
        elif everything:
            raise ArgumentError("an operation is turned off and on in one namespace, not everywhere", "ARG")
        elif core.coffer_turn_operation(self._handle, core.coffer_operation_of(operation), is_on) != core.COFFER_OK:
            raise ArgumentError(f"there is no operation {operation!r}", "ARG")


def _apply(wanted: core._Options, named: Mapping[str, Duration | None], options: Mapping[str, Any]) -> None:
    for name, value in (*named.items(), *options.items()):
        if value is not None:
            core.coffer_options_set(wanted, name, option_text(name, value))


# ---- arguments and answers ----


def login_of(answer: Any) -> tuple[str, str]:
    """What the function `credentials` gave, looked at; what is wrong with it is told without showing it."""
    pair = ("", answer) if isinstance(answer, str) else answer
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
        raise ValueTypeError("the function `credentials` gives a str, or a tuple of two: (user name, password)", "ARG")
    return pair


def check_function(credentials: object) -> None:
    """Refuses what cannot be asked for user name and password."""
    if not callable(credentials):
        raise ValueTypeError("`credentials` is a function that gives a password, or (user name, password)", "ARG")


def written(value: Any, ttl: Duration | None, timeout: Duration | None) -> tuple[Plain, tuple[int, int, bool, int]]:
    """What is stored of a value, and how: for the writes that the core makes an op of."""
    data, form, is_absent = stored(value)
    return data, (ttl_ms(ttl), form, is_absent, timeout_ms(timeout))


def stored(value: Any) -> tuple[Plain, int, bool]:
    """What is stored of a value, its format, and whether it is ABSENT."""
    if value is ABSENT:
        return b"", core.COFFER_FORMAT_BYTES, True
    data, form = encode(value)
    return data, form, False


def loaded(value: Any) -> tuple[Plain, int, bool]:
    """The same for what a loader gave, whose None is an absence."""
    return stored(ABSENT if value is None else value)


def required_ttl(ttl: Duration) -> int:
    """The TTL that `expire` sets, in milliseconds."""
    if ttl is None:
        raise ValueTypeError("expire needs a TTL; touch uses the namespace's", "ARG")
    return ttl_ms(ttl)


def key_list(keys: Iterable[K]) -> list[K]:
    """The keys of a call on many; one key is none of these."""
    if isinstance(keys, (str, bytes)):
        raise ValueTypeError(f"expected several keys, not one {type(keys).__name__}", "ARG")
    return list(keys)


def integer(number: int, what: str, least: int, most: int) -> int:
    """A number that fits."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueTypeError(f"{what} is an int, not {type(number).__name__}", "ARG")
    if not least <= number <= most:
        raise ArgumentError(f"{what} is from {least} to {most}", "ARG")
    return int(number)


def kept_count(near_objects: int) -> int:
    """How many objects are kept."""
    return integer(near_objects, "near_objects", 0, 10_000_000)


def step_of(delta: int) -> int:
    """What a counter moves by."""
    return integer(delta, "a delta", -(2**63), 2**63 - 1)


def identity_of(entry_id: int) -> int:
    """An entry id, of `get_entry`."""
    return integer(entry_id, "an entry id", 0, 2**64 - 1)


def counted(ttl: Duration | None, timeout: Duration | None) -> tuple[int, int, bool, int]:
    """How a counter is written."""
    return ttl_ms(ttl), core.COFFER_FORMAT_BYTES, False, timeout_ms(timeout)


def seconds_left(left_ms: int) -> float:
    """A TTL that the core told."""
    return float("inf") if left_ms < 0 else left_ms / 1000


def documented_by(other: type) -> Callable[[type[C]], type[C]]:
    """A class decorator: methods without words of their own have those of the same name in `other`."""

    def document(kind: type[C]) -> type[C]:
        for name, member in vars(kind).items():
            if inspect.isfunction(member) and member.__doc__ is None and hasattr(other, name):
                member.__doc__ = getattr(other, name).__doc__
        return kind

    return document
