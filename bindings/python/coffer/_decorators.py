"""@cache.cached: functions and methods that remember what they returned."""

from __future__ import annotations

import functools
import inspect
import string
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, overload

from coffer._errors import ArgumentError, ValueTypeError
from coffer._values import ABSENT, Duration, Key, escape

if TYPE_CHECKING:
    from coffer._cache import Cache

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
T = TypeVar("T")

KeySpec: TypeAlias = str | Callable[..., Key]

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_LONGEST_KEY_BYTES = 250  # semantics.md, Names: the default rules of a key


def decorator(
    cache: Cache, ttl: Duration | None, key: KeySpec | None, timeout: Duration | None
) -> Callable[[Callable[P, T]], CachedFunction[P, T]]:
    """What Cache.cached returns."""
    check_parentheses(ttl)

    def decorate(function: Callable[P, T]) -> CachedFunction[P, T]:
        return CachedFunction(cache, function, ttl, key, timeout)

    return decorate


class Remembered(Generic[P, T]):
    """What the wrappers of coffer.Cache and coffer.aio.Cache have in common: a function, and the keys of its calls."""

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[P, T], ttl: Duration | None, key: KeySpec | None, timeout: Duration | None) -> None:
        wrapper: Any = self
        functools.update_wrapper(wrapper, function)
        self.__wrapped__ = function
        self._ttl = ttl
        self._timeout = timeout
        self._keys = _KeyMaker(function, key)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Key:
        """The key under which the result for these arguments is remembered."""
        return self._keys.key(args, kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        self._keys.leave_out_first()


class CachedFunction(Remembered[P, T]):
    """A function behind a cache. Call it as the function; `key`, `invalidate` and `refresh` take the same arguments."""

    def __init__(self, cache: Cache, function: Callable[P, T], ttl: Duration | None, key: KeySpec | None, timeout: Duration | None) -> None:
        check_remembered(function)
        if inspect.iscoroutinefunction(function):
            raise ValueTypeError("a coroutine function cannot be cached by a coffer.Cache: use a coffer.aio.Cache", "ARG")
        super().__init__(function, ttl, key, timeout)
        self._cache = cache

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        def load(_: Key) -> T:
            return self.__wrapped__(*args, **kwargs)

        return self._cache.get_or_load(self._keys.key(args, kwargs), load, self._ttl, timeout=self._timeout)  # type: ignore[return-value]

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forgets the result for these arguments. Whether one was remembered."""
        return self._cache.delete(self._keys.key(args, kwargs), timeout=self._timeout)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function now, stores what it returns and returns it."""
        value = self.__wrapped__(*args, **kwargs)
        stored = ABSENT if value is None else value
        self._cache.set(self._keys.key(args, kwargs), stored, self._ttl, timeout=self._timeout)
        return value

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

    def __call__(self, *args: Q.args, **kwargs: Q.kwargs) -> T:
        return self._function(self._instance, *args, **kwargs)

    def key(self, *args: Q.args, **kwargs: Q.kwargs) -> Key:
        """The key under which the result for these arguments is remembered."""
        return self._function.key(self._instance, *args, **kwargs)

    def invalidate(self, *args: Q.args, **kwargs: Q.kwargs) -> bool:
        """Forgets the result for these arguments. Whether one was remembered."""
        return self._function.invalidate(self._instance, *args, **kwargs)

    def refresh(self, *args: Q.args, **kwargs: Q.kwargs) -> T:
        """Runs the method now, stores what it returns and returns it."""
        return self._function.refresh(self._instance, *args, **kwargs)


def check_parentheses(ttl: object) -> None:
    """The function itself was given: the decorator was not called."""
    if callable(ttl):
        raise ValueTypeError("write @cache.cached(), with the parentheses", "ARG")


def check_remembered(function: object) -> None:
    """Refuses what gives no value to remember."""
    if not callable(function):
        raise ValueTypeError("only functions and methods can be cached", "ARG")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ValueTypeError("a generator function cannot be cached: it returns a generator, not a value", "ARG")


class _KeyMaker:
    """From a call's arguments to its key."""

    def __init__(self, function: Callable[..., Any], key: KeySpec | None) -> None:
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        names = list(parameters)
        self._names = names
        self._is_plain = all(parameter.kind in _BY_PLACE for parameter in parameters.values())
        self._first = names[0] if names else None
        self._is_first_left_out = self._first in ("self", "cls")
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._given = key
        self._template = _Template(key, names) if isinstance(key, str) else None

    def leave_out_first(self) -> None:
        """It turned out to be a method."""
        self._is_first_left_out = True

    def key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Key:
        if self._given is not None and not isinstance(self._given, str):
            return self._given(*(args[1:] if self._is_first_left_out else args), **kwargs)
        arguments = self._arguments(args, kwargs)
        if self._template is not None:
            return self._template.fill(arguments)
        values = [value for name, value in arguments.items() if not (self._is_first_left_out and name == self._first)]
        return _fitting(self._name, ":".join([escape(self._name), *(_exact(value) for value in values)]))

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """By name. Most calls give every parameter by its place, and are not worth the two microseconds of `bind`."""
        if self._is_plain and not kwargs and len(args) == len(self._names):
            return dict(zip(self._names, args, strict=True))
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


class _Template(string.Formatter):
    """A key such as "user:{id}": the fields are parameters of the function, and what stands for them is escaped."""

    def __init__(self, text: str, names: Iterable[str]) -> None:
        self._text = text
        try:
            parsed = list(self.parse(text))
        except ValueError as fault:
            raise ArgumentError(f"the key {text!r} is not a template: {fault}", "ARG") from None
        fields = [field for _, field, _, _ in parsed if field is not None]
        unknown = [field for field in fields if field.replace("[", ".").split(".")[0] not in names]
        if unknown:
            raise ArgumentError(f"the key {text!r} names {unknown[0]!r}, which is no parameter of the function", "ARG")
        is_plain = all(field is None or (field in names and not spec and conversion is None) for _, field, spec, conversion in parsed)
        self._parts = [(literal, field) for literal, field, _, _ in parsed] if is_plain else None

    def fill(self, arguments: Mapping[str, Any]) -> str:
        if self._parts is None:
            return self.vformat(self._text, (), arguments)
        return "".join(text if field is None else text + escape(format(arguments[field])) for text, field in self._parts)

    def format_field(self, value: Any, format_spec: str) -> str:
        return escape(format(value, format_spec))


def _exact(value: object) -> str:
    """An argument as a part of a key. Different values give different parts: the first sign tells the type."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kind = type(value)
    if kind is int or kind is float:
        return repr(value)
    if kind is str:
        return "'" + escape(str(value))
    if isinstance(value, bytes) and kind is bytes:
        return "x" + value.hex()
    if isinstance(value, (tuple, list)) and kind in (tuple, list):
        return ("(" if kind is tuple else "[") + escape(":".join(_exact(item) for item in value))
    if isinstance(value, dict) and kind is dict:
        pairs = (_exact(name) + ":" + _exact(item) for name, item in value.items())
        return "{" + escape(":".join(sorted(pairs)))
    raise ValueTypeError(f"an argument of type {kind.__name__} cannot be part of a key: give key= to @cache.cached", "ARG")


def _fitting(name: str, key: str) -> str:
    """The key, or where it is too long or holds control characters the function's name and a hash of the key."""
    raw = key.encode("utf-8", "surrogatepass")
    if len(raw) <= _LONGEST_KEY_BYTES and key.isprintable():
        return key
    import hashlib  # rarely needed, and OpenSSL takes its time to load

    digest = hashlib.blake2b(raw, digest_size=24).hexdigest()
    return f"{name[-180:]}:#{digest}" if name.isascii() else f"#{digest}"
