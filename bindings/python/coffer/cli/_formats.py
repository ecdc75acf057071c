"""The formats of traces: how a line becomes a key, a time and a size.

    keys  one key a line
    clf   Common or Combined Log Format: the key is the request's path with its query
    tsv   tab-separated with a header; the columns url (or key), time, bytes and method are found
          by name, whatever their order; url is the key, the others may be missing

A parser's `parse(line)` answers (key, unix seconds, bytes), with 0 for what the line does not
tell, or raises Malformed with the reason in words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Protocol

from ._errors import TraceError

DETECT_LINES = 32
FORMATS = ("auto", "keys", "clf", "tsv")
Request = tuple[bytes, float, int]
_READS = frozenset((b"GET", b"HEAD", b"", b"-"))


class Malformed(Exception):
    """A line that is no request; the text says why."""


class Parser(Protocol):
    """One format."""

    name: str
    has_times: bool
    writes: int

    def parse(self, line: bytes) -> Request:
        """The request of a line; raises Malformed."""


def choose_parser(shown: str, format_name: str, head: Sequence[bytes]) -> tuple[Parser, int]:
    """The parser for a trace that begins with `head`, and how many lines its header takes."""
    if format_name == "auto":
        format_name = _detect(head)
    if format_name == "tsv":
        return TsvParser(shown, head[0] if head else b""), 1
    return (ClfParser() if format_name == "clf" else KeysParser()), 0


def _detect(head: Sequence[bytes]) -> str:
    first = head[0] if head else b""
    if b"\t" in first and _column_names(first) & {"url", "time", "host"}:
        return "tsv"
    lines = [line for line in head if line.strip()]
    logged = sum(_LOG_LINE.match(line) is not None for line in lines)
    return "clf" if logged and 2 * logged >= len(lines) else "keys"


class KeysParser:
    """One key a line."""

    name = "keys"
    has_times = False
    writes = 0

    def parse(self, line: bytes) -> Request:
        key = line.removesuffix(b"\r")
        if not key:
            raise Malformed("an empty line")
        return key, 0.0, 0


# host ident user [time] "request" status bytes; the rest (referrer, agent) is not looked at.
# Anchored, and no two parts can match the same bytes: linear whatever the line.
_LOG_LINE = re.compile(
    rb"\S+ [^\[]*"
    rb"\[(\d\d/[A-Za-z]{3}/\d{4}):(\d\d):(\d\d):(\d\d)(?: ([+-]\d{4}))?\] "
    rb'"([^"\\]*(?:\\.[^"\\]*)*)" (?:\d{3}|-) (\d+|-)(?=[\s]|$)'
)
_MONTHS = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)}


class ClfParser:
    """Common or Combined Log Format, of Apache, nginx and many others."""

    name = "clf"
    has_times = True

    def __init__(self) -> None:
        self.writes = 0
        self._midnights: dict[tuple[bytes, bytes], float] = {}

    def parse(self, line: bytes) -> Request:
        match = _LOG_LINE.match(line)
        if match is None:
            raise Malformed("not a log line" if line.strip() else "an empty line")
        date, hour, minute, second, zone, request, size = match.groups()
        time = self._midnight(date, zone or b"+0000")
        time += int(hour) * 3600 + int(minute) * 60 + int(second)
        return self._path(request), time, 0 if size == b"-" else _size(size)

    def _path(self, request: bytes) -> bytes:
        method, _, rest = request.strip().partition(b" ")
        path, _, protocol = rest.rpartition(b" ")
        if not protocol.startswith(b"HTTP/"):
            path = rest
        path = path.strip()
        if not path:
            raise Malformed("no path in the request")
        self.writes += method.upper() not in _READS
        return path

    def _midnight(self, date: bytes, zone: bytes) -> float:
        known = self._midnights.get((date, zone))
        if known is None:
            known = _unix_midnight(date, zone)
            if len(self._midnights) < 10_000:
                self._midnights[date, zone] = known
        return known


def _unix_midnight(date: bytes, zone: bytes) -> float:
    day, month, year = date.lower().split(b"/")
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
    try:
        where = timezone(-offset if zone.startswith(b"-") else offset)
        return datetime(int(year), _MONTHS[month], int(day), tzinfo=where).timestamp()
    except (ValueError, KeyError, OverflowError):
        raise Malformed("a date that does not exist") from None


class TsvParser:
    """Tab-separated values with a header."""

    name = "tsv"

    def __init__(self, shown: str, header: bytes) -> None:
        names = [_column_name(name) for name in header.rstrip(b"\r").split(b"\t")]
        columns = {name: number for number, name in reversed(list(enumerate(names)))}
        url = columns.get("url", columns.get("key"))
        if url is None:
            raise TraceError(
                f"{shown} has no column named url in its first line; the columns are: {ascii(', '.join(names)[:200])[1:-1] or 'none'}"
            )
        self._url = url
        self._time = columns.get("time")
        self._bytes = columns.get("bytes")
        self._method = columns.get("method")
        self.has_times = self._time is not None
        self.writes = 0

    def parse(self, line: bytes) -> Request:
        fields = line.rstrip(b"\r").split(b"\t")
        try:
            key = fields[self._url]
            time = 0.0 if self._time is None else _unix_time(fields[self._time])
        except IndexError:
            raise Malformed("too few columns" if line.strip() else "an empty line") from None
        if not key:
            raise Malformed("an empty url")
        if self._method is not None and self._method < len(fields):
            self.writes += fields[self._method].upper() not in _READS
        size = fields[self._bytes] if self._bytes is not None and self._bytes < len(fields) else b""
        return key, time, _size(size)


def _column_name(name: bytes) -> str:
    return name.strip().strip(b'"').lower().decode("utf-8", "backslashreplace")


def _column_names(header: bytes) -> set[str]:
    return {_column_name(name) for name in header.rstrip(b"\r").split(b"\t")}


def _size(text: bytes) -> int:
    """A number of bytes; 0 where it is none, for the size is a hint and not the request."""
    return int(text) if text.isdigit() and len(text) <= 18 else 0


def _unix_time(text: bytes) -> float:
    try:
        time = float(text)
    except ValueError:
        time = _iso_time(text)
    if not math.isfinite(time):
        raise Malformed("a time that is no time")
    return time


def _iso_time(text: bytes) -> float:
    try:
        moment = datetime.fromisoformat(text.decode("ascii").strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Malformed("a time that is no time") from None
