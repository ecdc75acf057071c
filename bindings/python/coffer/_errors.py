"""The exceptions. Which status raises which class is told by the status table of the C core (core/include/coffer/status.h)."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from typing import Any

from coffer import _coffer_core as core


class FailedKeys(Mapping[Any, str]):
    """Which keys failed, and how: status names by key. Printed, logged and pickled it tells how many alone: a key may be a secret."""

    __slots__ = ("_statuses",)

    def __init__(self, statuses: Mapping[Any, str] | None = None) -> None:
        self._statuses: dict[Any, str] = dict(statuses or {})

    def __getitem__(self, key: Any) -> str:
        return self._statuses[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._statuses)

    def __len__(self) -> int:
        return len(self._statuses)

    def __repr__(self) -> str:
        return f"<{len(self)} keys>"

    def __reduce__(self) -> tuple[type[FailedKeys], tuple[()]]:
        return FailedKeys, ()


class Error(Exception):
    """Everything that coffer raises. `status` is the name in coffer's status table, such as "TIMEOUT".

    Where get_many, set_many or delete_many raised it, `failed` says which keys failed and how, by the same names: the others were
    stored or deleted. Else it is empty."""

    status: str = ""
    failed: Mapping[Any, str] = FailedKeys()

    def __init__(self, message: str = "", status: str = "") -> None:
        super().__init__(message)
        self.status = status


class ArgumentError(Error, ValueError):
    """An argument cannot be accepted: a TTL of 0, a str that is not text."""


class ValueTypeError(ArgumentError, TypeError):
    """An argument is of a type that cannot be accepted, or would not come back as what it was: a tuple, a set, an int as a
    key."""


class KeyInvalidError(ArgumentError):
    """The key breaks the rules for keys (option `key_rules`)."""


class TooLargeError(ArgumentError):
    """The value is larger than the option `max_value` allows."""


class OptionError(ArgumentError):
    """An option or URL cannot be accepted. The text names it and what is allowed; never a secret."""


class UnsupportedError(Error, NotImplementedError):
    """This version cannot do that."""


class ClosedError(Error, RuntimeError):
    """The cache was closed."""


class OutOfMemoryError(Error, MemoryError):
    """There was not enough memory."""


class InternalError(Error, RuntimeError):
    """A fault inside coffer: please report it."""


class TimeoutError(Error, builtins.TimeoutError):
    """The deadline of the call passed."""


class PoolTimeoutError(TimeoutError):
    """No connection became free in time."""


class ConnectionError(Error, builtins.ConnectionError):
    """The server cannot be reached, or the connection to it failed. What was asked for was not done, or only read."""


class MaybeAppliedError(ConnectionError):
    """The connection failed after a write was sent. It may have been carried out or not: nobody can know."""


class ProtocolError(ConnectionError):
    """What answered does not speak the Redis protocol, or answered more than is allowed (option `max_reply`)."""


class TlsError(ConnectionError):
    """No TLS connection could be made with the server, or it broke: the text says why."""


class CertificateError(TlsError):
    """The server's certificate cannot be trusted: it expired, is for another name, or nobody known vouches for it."""


class CredentialsError(ConnectionError):
    """No user name and password could be had to log in with: their file cannot be read, or their function failed."""


class InterruptedError(Error, builtins.InterruptedError):
    """The call was interrupted."""


class ServerError(Error):
    """The server refused the command; the text holds its own words."""


class AuthenticationError(ServerError):
    """The server refused the user name or password."""


class PermissionDeniedError(ServerError, PermissionError):
    """The user may not run this command on the server."""


class ServerBusyError(ServerError):
    """The server cannot serve now: it loads its data, runs a script, or has lost its primary."""


class CounterError(Error, ArithmeticError):
    """The counter would leave 64 bits, or is not an integer."""


class FormatError(Error, ValueError):
    """What is stored cannot be read as what it says it is."""


class SealError(FormatError):
    """What is stored is not sealed as it has to be, or sealed with an unknown key; or sealing is impossible here."""


class LoadError(Error, RuntimeError):
    """The loader of another thread, which this one waited for, failed (LOAD_FAILED); or a loader asked for its own key
    (LOAD_RECURSIVE)."""


def error_of(status: int, message: str) -> Error:
    """The exception for a status of the C core, ready to be raised."""
    kind = globals().get(core.coffer_status_exception(status)) or InternalError
    error: Error = kind(message, core.coffer_status_name(status))
    return error


def error_of_many(status: int, message: str, failed: dict[Any, str]) -> Error:
    """The same for an operation on many keys."""
    error = error_of(status, message)
    error.failed = FailedKeys(failed)
    return error


def type_error(message: str) -> ValueTypeError:
    """An argument of a wrong type, ready to be raised."""
    return ValueTypeError(message, "ARG")
