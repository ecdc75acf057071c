"""Coffer: a cache for Python, C and Lua, on Redis and Valkey or with no server at all.

import coffer

cache = coffer.Cache("redis://localhost/0", prefix="prod")     # or coffer.Cache(): in this process
users = cache.namespace("users", ttl="30m")
users.set("42", {"name": "Ada"})
users.get("42")

@users.cached(key="user:{id}")
def user(id: int) -> dict: ...
"""

import logging as _logging

from coffer import _coffer_core
from coffer._cache import Cache
from coffer._decorators import CachedFunction, CachedMethod
from coffer._errors import (
    ArgumentError,
    AuthenticationError,
    CertificateError,
    ClosedError,
    ConnectionError,
    CounterError,
    CredentialsError,
    Error,
    FormatError,
    InternalError,
    InterruptedError,
    KeyInvalidError,
    LoadError,
    MaybeAppliedError,
    OptionError,
    OutOfMemoryError,
    PermissionDeniedError,
    PoolTimeoutError,
    ProtocolError,
    SealError,
    ServerBusyError,
    ServerError,
    TimeoutError,
    TlsError,
    TooLargeError,
    UnsupportedError,
    ValueTypeError,
)
from coffer._values import (
    ABSENT,
    BreakerStats,
    Duration,
    EndpointHealth,
    Entry,
    Health,
    Key,
    Latency,
    Option,
    PoolStats,
    Stats,
    StoreStats,
    TopologyStats,
    options,
)
from coffer._values import join_key as key

__version__: str = _coffer_core.coffer_version()

__all__ = [
    "ABSENT",
    "ArgumentError",
    "AuthenticationError",
    "BreakerStats",
    "Cache",
    "CachedFunction",
    "CachedMethod",
    "CertificateError",
    "ClosedError",
    "ConnectionError",
    "CounterError",
    "CredentialsError",
    "Duration",
    "EndpointHealth",
    "Entry",
    "Error",
    "FormatError",
    "Health",
    "InternalError",
    "InterruptedError",
    "Key",
    "KeyInvalidError",
    "Latency",
    "LoadError",
    "MaybeAppliedError",
    "Option",
    "OptionError",
    "OutOfMemoryError",
    "PermissionDeniedError",
    "PoolStats",
    "PoolTimeoutError",
    "ProtocolError",
    "SealError",
    "ServerBusyError",
    "ServerError",
    "Stats",
    "StoreStats",
    "TimeoutError",
    "TlsError",
    "TooLargeError",
    "TopologyStats",
    "UnsupportedError",
    "ValueTypeError",
    "key",
    "options",
]

_logging.getLogger("coffer").addHandler(_logging.NullHandler())
