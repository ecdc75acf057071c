"""`coffer inspect`: what stored bytes say of themselves, by the core's own reader.

With --url the argument is a key, whose bytes are read as they are; without, it is a file of them. Which namespace they belong to
(and which key of the caller's) matters where they are sealed: the seal is bound to it.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import re
import stat
import sys
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

from ._backend import Backend
from ._errors import UnreachableError, UsageError
from ._input import printable, shown_name
from ._inspect_report import Inspection, publish
from ._settings import Settings

_LARGEST_VALUE = "512MiB"  # what the option max_value allows
_LARGEST_BYTES = 512 * 1024 * 1024 + 1024 * 1024  # with all that an envelope adds to it
_HEX = re.compile(rb"[0-9A-Fa-f\s]+")
_NAMESPACE = re.compile(r"([A-Za-z0-9._-]+)(?:@([0-9]+))?")
_KEY_SAFE = ":_.@/+=,-"
_NO_SECRET = ""
_NOWHERE = "mem://?memory=1MiB"


@dataclass(frozen=True)
class _Place:
    """Where the bytes are stored, or are said to have been."""

    prefix: str
    namespace: str
    version: str  # "0": none
    key: bytes

    @property
    def wire_key(self) -> str:
        version = "" if self.version == "0" else f"@{self.version}"
        key = urllib.parse.quote(self.key, safe=_KEY_SAFE).replace("~", "%7E")
        return f"{self.prefix}:{self.namespace}{version}:{key}"

    @property
    def options(self) -> dict[str, Any]:
        names = {"prefix": self.prefix, "namespace": self.namespace, "version": self.version}
        return {**names, "key_rules": "bytes", "max_value": _LARGEST_VALUE}


def run_inspect(arguments: argparse.Namespace, _: Backend) -> int:
    """`coffer inspect`."""
    _check_url(arguments)
    place = _place(arguments)
    seal = _seal_options(arguments)
    _opened(arguments.url or _NOWHERE, **place.options, **seal).close()  # what is wrong with them is told before a server is asked
    server_ttl_ms = None
    if arguments.url is None:
        name, data = shown_name(arguments.what), _read_file(arguments.what)
    else:
        shown = Settings(url=arguments.url).place
        name = f"{printable(place.wire_key)} on {shown}"
        data, server_ttl_ms = _fetch(arguments.url, place, shown)
    raw = _look(arguments.url, place, seal, data)
    return publish(
        Inspection(
            name=name,
            wire_key=place.wire_key if arguments.url is not None else None,
            size=len(data),
            raw=raw,
            server_ttl_ms=server_ttl_ms,
            now_unix_ms=time.time_ns() // 1_000_000,
            has_key=bool(seal) or "seal_key=" in (arguments.url or ""),
            has_place=arguments.url is not None or arguments.key is not None,
        ),
        arguments.json,
        with_value=arguments.value,
    )


# ---- where ----


def _place(arguments: argparse.Namespace) -> _Place:
    if arguments.url is None:
        if arguments.full_key:
            raise UsageError("--full-key is for keys on a server: give --url too")
        return _named_place(arguments, arguments.key or "")
    if arguments.key is not None:
        raise UsageError("--key says which key a file belongs to; with --url the argument is the key")
    return _full_place(arguments) if arguments.full_key else _named_place(arguments, arguments.what)


def _named_place(arguments: argparse.Namespace, key: str) -> _Place:
    """Of the options, or else of the URL's parameters."""
    prefix, namespace, version = _names_of(arguments.url)
    if arguments.namespace is not None:
        namespace, version = _namespace_of(arguments.namespace)
    return _Place(prefix if arguments.prefix is None else arguments.prefix, namespace, version, os.fsencode(key))


def _names_of(url: str | None) -> tuple[str, str, str]:
    with _opened(url or _NOWHERE, seal_key=_NO_SECRET) as cache:
        return cache.option("prefix"), cache.option("namespace"), cache.option("version")


def _full_place(arguments: argparse.Namespace) -> _Place:
    shown = printable(arguments.what)
    prefix, _, rest = arguments.what.partition(":")
    name, has_key, key = rest.partition(":")
    if not has_key or arguments.prefix is not None or arguments.namespace is not None:
        raise UsageError(f"a full key is prefix:namespace:key, such as prod:users:42, without --prefix and --namespace, not {shown}")
    if key.startswith("#"):
        raise UsageError(f"{shown} is a counter's key: a counter has no envelope")
    place = _Place(prefix, *_namespace_of(name), urllib.parse.unquote_to_bytes(key))
    if place.wire_key != arguments.what:
        raise UsageError(f"{shown} is not how coffer writes a key; this one would be {printable(place.wire_key)}")
    return place


def _namespace_of(text: str) -> tuple[str, str]:
    match = _NAMESPACE.fullmatch(text)
    if match is None:
        raise UsageError(f"a namespace is a name such as users, or users@3 with the version of its shape, not {printable(text)}")
    return match[1], match[2] or "0"


def _check_url(arguments: argparse.Namespace) -> None:
    if arguments.url is not None and Settings(url=arguments.url).is_local:
        raise UsageError("what is in mem:// lives in the process that stored it: nothing of it can be seen from here")


# ---- keys: never from the command line itself, which others can see ----


def _seal_options(arguments: argparse.Namespace) -> dict[str, Any]:
    key = os.environ.get("COFFER_SEAL_KEY", "") if "seal_key=" not in (arguments.url or "") else ""
    key_id = os.environ.get("COFFER_SEAL_KEY_ID", "")
    if arguments.seal_key_file is not None:
        key = _read_key(arguments.seal_key_file)
    if arguments.seal_key_id is not None:
        key_id = arguments.seal_key_id
    if not key:
        return {}
    return {"seal_key": key, "seal_key_id": key_id} if key_id else {"seal_key": key}


def _read_key(name: str) -> str:
    try:
        with pathlib.Path(name).open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UsageError(f"the key file {shown_name(name)} can be used by others than its owner: chmod 600 it")
            text = file.read(1024).decode("ascii", "replace").strip()
    except OSError as error:
        raise UsageError(f"cannot read the key file {shown_name(name)}: {error.strerror}") from error
    if not text:
        raise UsageError(f"the key file {shown_name(name)} is empty")
    return text


# ---- bytes ----


def _read_file(name: str) -> bytes:
    """The envelope in a file, as it is or in hex."""
    shown = shown_name(name)
    try:
        if name == "-":
            data = sys.stdin.buffer.read(2 * _LARGEST_BYTES + 1)
        else:
            with pathlib.Path(name).open("rb") as file:
                is_huge = os.fstat(file.fileno()).st_size > 2 * _LARGEST_BYTES
                data = b"" if is_huge else file.read(2 * _LARGEST_BYTES + 1)
                if is_huge:
                    raise UsageError(f"{shown} is larger than any envelope: values have {_LARGEST_VALUE} at most")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {shown}: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise UsageError(f"{shown} is empty")
    if _HEX.fullmatch(data):  # no envelope is: its first byte is no digit
        data = _unhex(shown, b"".join(data.split()))
    if len(data) > _LARGEST_BYTES:
        raise UsageError(f"{shown} is larger than any envelope: values have {_LARGEST_VALUE} at most")
    return data


def _unhex(shown: str, digits: bytes) -> bytes:
    if len(digits) % 2 or not digits:
        raise UsageError(f"{shown} holds an odd number of hex digits: it is cut" if digits else f"{shown} is empty")
    return bytes.fromhex(digits.decode())


def _fetch(url: str, place: _Place, shown: str) -> tuple[bytes, int | None]:
    """The bytes under the key, and the milliseconds that the server will keep them (None: for ever)."""
    import coffer

    # raw: the same keys, and values as they are
    with _opened(url, raw=True, seal_key=_NO_SECRET, **place.options) as cache:
        try:
            data = cache.get(place.key)
            left = cache.ttl(place.key)
        except coffer.ArgumentError as error:
            raise UsageError(printable(str(error))) from error
        except coffer.Error as error:
            raise UnreachableError(f"{printable(place.wire_key)} on {shown} cannot be read: {printable(str(error))}") from error
    if data is None or left is None:
        raise UnreachableError(f"there is nothing under {printable(place.wire_key)} on {shown}")
    return data, None if math.isinf(left) else round(left * 1000)


def _look(url: str | None, place: _Place, seal: dict[str, Any], data: bytes) -> Any:
    """What the core's reader makes of them. No server is asked: only the options of the URL count."""
    import coffer
    from coffer import _coffer_core as core

    with _opened(url or _NOWHERE, **place.options, **seal) as cache:
        try:
            return core.inspect(cache._handle, place.key, data)
        except coffer.Error as error:
            raise UnreachableError(f"the envelope cannot be looked into: {printable(str(error))}") from error


def _opened(url: str, **options: Any) -> Any:
    """A cache, for which no connection is made before it is asked for something."""
    import coffer

    try:
        return coffer.Cache(url, **options, on_outage="error")
    except (coffer.Error, ValueError, TypeError) as error:
        raise UsageError(printable(str(error))) from error
