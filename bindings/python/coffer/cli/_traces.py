"""A trace in memory: each key once, and the requests as numbers of keys.

    keys     ["/", "/login", "/img/a.gif", ...]       each distinct key, as the cache is given it
    indices  [0, 2, 1, 0, 0, ...]                     4 bytes a request
    times    [807256800.0, ...] or None               8 bytes a request, where the format has them

Five million requests for 76,000 keys take about 30 MB this way.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ._errors import TraceError
from ._formats import DETECT_LINES, Malformed, Parser, choose_parser
from ._input import MAX_LINE_BYTES, open_blocks, printable, shown_name, split_lines

MAX_KEY_BYTES = 250
MAX_VALUE_BYTES = 1024 * 1024
_SHOWN_MALFORMED = 3
_SHOWN_CHARACTERS = 60
_KEPT_CHARACTERS = 60
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_REPORT_EVERY = 1 << 16


@dataclass(frozen=True)
class MalformedLine:
    """One of the first lines that were no requests."""

    line: int
    reason: str
    text: str


@dataclass
class Trace:
    """The requests of a trace, in order."""

    name: str
    format: str
    keys: list[str] = field(default_factory=list)
    indices: array[int] = field(default_factory=lambda: array("I"))
    times: array[float] | None = None
    sizes: array[int] = field(default_factory=lambda: array("I"))  # bytes by key; 0: not told
    lines: int = 0
    malformed: int = 0
    malformed_samples: list[MalformedLine] = field(default_factory=list)
    rewritten_keys: int = 0
    trimmed_sizes: int = 0
    writes: int = 0
    synthetic: str = ""  # how it was made, where nobody recorded it

    @property
    def span_seconds(self) -> float | None:
        """From the earliest request to the latest, by the trace's own clock."""
        return max(self.times) - min(self.times) if self.times else None


def cache_key(raw: bytes) -> tuple[str, bool]:
    """The key that stands for `raw` in the cache, and whether it had to be rewritten.

    Coffer's keys are 1 to 250 bytes of UTF-8 without control characters. Any other key becomes
    its readable beginning, a `~` and a hash of all of it: always the same one for the same bytes.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and len(raw) <= MAX_KEY_BYTES and not _CONTROL.search(text):
        return text, False
    begin = raw[: 4 * _KEPT_CHARACTERS].decode("utf-8", "backslashreplace")
    readable = _CONTROL.sub("?", begin)[:_KEPT_CHARACTERS]
    kept = readable.encode("utf-8")[:150].decode("utf-8", "ignore")
    return f"{kept}~{hashlib.sha256(raw).hexdigest()[:32]}", True


def read_trace(
    name: str,
    format_name: str = "auto",
    limit: int | None = None,
    progress: Callable[[int], None] = lambda lines: None,
) -> Trace:
    """Reads the trace `name`, at most `limit` requests of it. TraceError where there are none."""
    with open_blocks(name) as blocks:
        lines = _without_mark(split_lines(blocks))
        head = list(itertools.islice(lines, DETECT_LINES))
        parser, header_lines = choose_parser(shown_name(name), format_name, head)
        trace = Trace(name, parser.name, times=array("d") if parser.has_times else None)
        body = itertools.chain(head[header_lines:], lines)
        _Collector(trace, parser, header_lines).collect(body, limit, progress)
    if not trace.indices:
        raise TraceError(_nothing_in(trace))
    return trace


def _without_mark(lines: Iterator[bytes]) -> Iterator[bytes]:
    for first in lines:
        yield first.removeprefix(b"\xef\xbb\xbf")
        break
    yield from lines


def _nothing_in(trace: Trace) -> str:
    name = shown_name(trace.name)
    if not trace.malformed:
        return f"{name} is empty: there are no requests to replay"
    first = trace.malformed_samples[0]
    return f"{name} has no request in {trace.lines} lines read as {trace.format}; line {first.line}: {first.reason}: {first.text}"


class _Collector:
    """Turns lines into the arrays of a trace."""

    def __init__(self, trace: Trace, parser: Parser, lines_before: int) -> None:
        self._trace = trace
        self._parser = parser
        self._index_of: dict[bytes, int] = {}
        self._cache_keys: dict[str, int] = {}
        trace.lines = lines_before

    def collect(self, lines: Iterable[bytes], limit: int | None, progress: Callable[[int], None]) -> None:
        trace, parse, add = self._trace, self._parser.parse, self._add
        if limit is not None and limit <= 0:
            return
        for number, line in enumerate(lines, trace.lines + 1):
            trace.lines = number
            try:
                if len(line) > MAX_LINE_BYTES:
                    raise Malformed(f"longer than {MAX_LINE_BYTES // 1024} KiB")
                add(*parse(line))
            except Malformed as malformed:
                self._refuse(number, str(malformed), line)
            if not number % _REPORT_EVERY:
                progress(number)
            if limit is not None and len(trace.indices) >= limit:
                break
        trace.writes = self._parser.writes

    def _add(self, key: bytes, time: float, size_bytes: int) -> None:
        trace = self._trace
        index = self._index_of.get(key)
        if index is None:
            index = self._new_key(key)
        trace.indices.append(index)
        if trace.times is not None:
            trace.times.append(time)
        if size_bytes and not trace.sizes[index]:
            trace.sizes[index] = min(size_bytes, MAX_VALUE_BYTES)
            trace.trimmed_sizes += size_bytes > MAX_VALUE_BYTES

    def _new_key(self, raw: bytes) -> int:
        text, rewritten = cache_key(raw)
        index = self._cache_keys.setdefault(text, len(self._trace.keys))
        self._index_of[raw] = index
        if index == len(self._trace.keys):
            self._trace.keys.append(text)
            self._trace.sizes.append(0)
            self._trace.rewritten_keys += rewritten
        return index

    def _refuse(self, number: int, reason: str, line: bytes) -> None:
        self._trace.malformed += 1
        if len(self._trace.malformed_samples) < _SHOWN_MALFORMED:
            text = line[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")
            shown = printable(text)
            if len(shown) > _SHOWN_CHARACTERS:
                shown = shown[: _SHOWN_CHARACTERS - 3] + "..."
            self._trace.malformed_samples.append(MalformedLine(number, reason, shown))
