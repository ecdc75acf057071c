"""What goes in and out: values, durations, options, joined keys; and the dataclasses that calls answer with."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias

from coffer import _coffer_core as core
from coffer._errors import ArgumentError, FormatError, OptionError, ValueTypeError

Key: TypeAlias = str | bytes
"""A key: text, or bytes."""

Duration: TypeAlias = int | float | timedelta | str
"""Seconds, a timedelta, or text: "250ms", "30m", "1h", and for TTLs a class such as "short" or "forever"."""

NEVER_MS: Final = 2**64 - 1  # COFFER_TTL_FOREVER, and the time at which something ends that never does


class Absent(enum.Enum):
    """The type of ABSENT."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "coffer.ABSENT"


ABSENT: Final = Absent.ABSENT
"""Known not to exist: given to `set` it stores that the key has no value; a loader may return it, or None."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value and all that is known about it. Times are unix seconds by the server's clock, None where they are not
    known (namespaces without envelopes), `math.inf` for never."""

    value: Any  # ABSENT where the key is known to have none
    source: str  # "near", "remote", "stale" or "negative"; of a miss "none" or "outage"
    entry_id: int  # for compare_and_set: changes with every write; 0 in raw namespaces
    created: float | None
    fresh: float | None  # until when it is fresh
    expires: float | None  # until when it may be served at all
    load_cost: float  # seconds that its loader took, 0.0 unknown
    format: int  # 0 bytes, 1 text, 2 JSON, from 128 on the application's own


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one operation took, in microseconds. The percentiles are at most 6.25 % too high. All operations that went
    to a server are timed; of those answered in the process one in 64."""

    count: int
    timed_count: int
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What mem:// holds; all 0 with a server."""

    memory_bytes: int
    used_bytes: int
    entries: int
    evictions: int
    expirations: int


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The connections; all 0 with mem://."""

    open: int
    in_use: int
    made: int
    failed: int
    waits: int
    timeouts: int


@dataclass(frozen=True, slots=True)
class BreakerStats:
    """The breakers of all servers of this cache."""

    open: int  # servers that are not asked now
    opened: int  # how often one stopped being asked
    refused: int  # commands that were not sent because of it


@dataclass(frozen=True, slots=True)
class TopologyStats:
    """What was learnt, and doubted, of a cluster's or Sentinel's servers; each count is explained in core/include/coffer/metrics.h."""

    moved: int
    asked: int
    waited: int
    redirects_refused: int
    doubts_readonly: int
    doubts_down: int
    doubts_unreachable: int
    doubts_timeouts: int
    refreshes: int
    refreshes_failed: int
    answers_refused: int
    primary_switches: int


@dataclass(frozen=True, slots=True)
class NearStats:
    """Of near copies, by all processes that share them; each number is explained in core/include/coffer/metrics.h."""

    memory_bytes: int
    used_bytes: int
    entries: int
    evictions: int  # the sum of the next four
    evicted_new: int
    evicted_old: int
    evicted_absent: int
    evicted_bucket: int
    expirations: int
    wiped_shards: int
    lock_timeouts: int
    fills: int
    fills_refused: int
    bypasses: int
    invalidations: int
    flushes: int
    epochs: int
    takeovers: int
    lag_us: int


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """A server that was asked."""

    name: str  # "cache.internal:6379", or the path of a unix socket
    breaker: Literal["closed", "open", "half_open"]  # open: it is away and not asked; half_open: one call is trying
    retry_in: float  # open: seconds until a call may try
    opened: int  # how often the breaker opened
    refused: int  # commands that were not sent because of it
    calls: int  # in the breaker's window, and how many of them failed
    failed: int
    round_trip: float | None  # seconds that the last answered call took, with the making of its connection
    version: str  # "redis 7.0.15", "" where it did not say
    forbidden: tuple[str, ...]  # commands that it does not allow this user
    role: str  # "primary", "replica" (it is read from as one), "sentinel"; "" for what is neither now
    zone: str  # its availability zone, as it said; "" where it did not, or was not asked
    smoothed_round_trip: float | None  # seconds, of reads, smoothed; where read_from is not primary


@dataclass(frozen=True, slots=True)
class Health:
    """How the cache is."""

    state: Literal["healthy", "degraded", "down"]
    reasons: tuple[str, ...]  # sentences; a healthy cache may have something to say too
    endpoints: tuple[EndpointHealth, ...]
    near: Literal["off", "live", "bypassed", "ttl_alone"]  # near copies; bypassed: nobody hears what changes
    owed_keys: int  # written while they could not be stored: will be deleted on the server before anything else is asked
    lost_keys: int  # of those, what could not be remembered or deleted


@dataclass(frozen=True, slots=True)
class Stats:
    """What a namespace has done since it was opened. Each count is explained in core/include/coffer/metrics.h."""

    hits: int
    misses: int
    negative_hits: int
    stale_hits: int
    near_hits: int
    near_negative_hits: int
    sets: int
    deletes: int
    not_stored: int
    loads: int
    load_failures: int
    load_waits: int
    fills_refused: int
    errors: int
    unreadable: int
    oversized_fills: int
    outage_misses: int
    outage_refusals: int
    outage_writes: int
    outage_deletes: int
    outage_lost: int
    bypassed: int
    redirects: int
    retries: int
    replica_reads: int
    replica_fallbacks: int
    bytes_read: int
    bytes_written: int
    stored_bytes: int
    refusals: Mapping[str, int]  # stored entries that were refused, by status: {"BAD_CRC": 1}
    latency: Mapping[str, Latency]  # by operation, those that ran
    store: StoreStats
    breaker: BreakerStats
    topology: TopologyStats
    near: NearStats
    pool: PoolStats

    @property
    def hit_ratio(self) -> float:
        """Reads answered from the cache (hits of values, stale values and absences) by all reads; 0.0 before the first."""
        answered = self.hits + self.negative_hits + self.stale_hits
        return answered / (answered + self.misses) if answered + self.misses else 0.0


def stats_of(raw: core.RawStats) -> Stats:
    """The dataclass from the core's plain dicts."""
    return Stats(
        **raw["counters"],
        refusals=raw["refusals"],
        latency={name: Latency(*row) for name, row in raw["latency"].items()},
        store=StoreStats(**raw["store"]),
        breaker=BreakerStats(**raw["breaker"]),
        topology=TopologyStats(**raw["topology"]),
        near=NearStats(**raw["near"]),
        pool=PoolStats(**raw["pool"]),
    )


def health_of(raw: core.RawHealth) -> Health:
    """The dataclass from the core's plain dict."""
    endpoints = tuple(_endpoint_of(*row) for row in raw["endpoints"])
    return Health(raw["state"], tuple(raw["reasons"]), endpoints, raw["near"], raw["owed_keys"], raw["lost_keys"])


def _endpoint_of(
    name: str,
    breaker: Any,
    retry_in_ms: int,
    opened: int,
    refused: int,
    calls: int,
    failed: int,
    round_trip_ms: int,
    version: str,
    forbidden: str,
    role: str,
    zone: str,
    smoothed_us: int,
) -> EndpointHealth:
    round_trip = None if round_trip_ms < 0 else round_trip_ms / 1000
    smoothed = None if smoothed_us < 0 else smoothed_us / 1e6
    words = tuple(forbidden.split())
    return EndpointHealth(
        name, breaker, retry_in_ms / 1000, opened, refused, calls, failed, round_trip, version, words, role, zone, smoothed
    )


RawEntry: TypeAlias = tuple[Any, str, int, int, int, int, int, int]


def entry_or_none(raw: RawEntry | None, misses: bool) -> Entry | None:
    """What `get_entry` answers: the dataclass from the core's plain tuple; for a miss None, or an entry that says which."""
    if raw is None or raw[1] == "outage":
        return Entry(ABSENT, "none" if raw is None else raw[1], 0, None, None, None, 0.0, 0) if misses else None
    value, source, entry_id, created_ms, fresh_ms, expires_ms, cost_ms, form = raw
    return Entry(value, source, entry_id, _unix(created_ms), _unix(fresh_ms), _unix(expires_ms), cost_ms / 1000, form)


def _unix(unix_ms: int) -> float | None:
    if unix_ms == 0:
        return None
    return math.inf if unix_ms == NEVER_MS else unix_ms / 1000


# ---- JSON: compact, exact, no NaN ----


def _refuse_constant(word: str) -> Any:
    raise ValueError(word)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def encode_json(value: Any) -> str:
    """JSON text of a value whose types were looked through by the core; NaN, infinity and endless nesting are refused."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, RecursionError) as fault:
        raise ArgumentError(f"the value cannot be stored as JSON: {fault}", "ARG") from None


def decode_json(text: str) -> Any:
    """The value of a stored JSON text."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise FormatError("the value is marked as JSON but cannot be read as JSON", "BAD_FORMAT") from None


def encode(value: Any) -> tuple[str | bytes | bytearray | memoryview, int]:
    """What is stored of a value, and its format. The calls that matter most do the same in C."""
    if isinstance(value, str):
        return value, core.COFFER_FORMAT_TEXT
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value, core.COFFER_FORMAT_BYTES
    core.json_check(value)
    return encode_json(value), core.COFFER_FORMAT_JSON


# ---- durations ----


def ttl_ms(ttl: Duration | None) -> int:
    """A TTL in milliseconds, 0 for None: the namespace's own."""
    if ttl is None:
        return 0
    if isinstance(ttl, str):
        return core.coffer_ttl_parse(_text(ttl, "a TTL"))
    return core.coffer_ttl_from_seconds(_seconds(ttl, "a TTL"))


def timeout_ms(timeout: Duration | None) -> int:
    """A deadline in milliseconds, 0 for None: the client's own."""
    if timeout is None:
        return 0
    parsed = ttl_ms(timeout)
    if parsed == NEVER_MS:
        raise ArgumentError("a timeout cannot be for ever", "ARG")
    return parsed


def _seconds(duration: object, what: str) -> float:
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        kind = type(duration).__name__
        raise ValueTypeError(f'{what} is seconds, a timedelta, or text such as "30m", not {kind}', "ARG")
    try:
        return float(duration)
    except OverflowError:
        raise ArgumentError(f"{what} is too long", "ARG") from None


def _text(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"{what} cannot hold lone surrogates", "ARG") from None
    return text


# ---- options ----


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table of options."""

    name: str
    kind: str  # TEXT, SECRET, TIME, TTL, SIZE, COUNT, PERCENT, BOOL or CHOICE
    default: str
    environment: str  # names that are read besides COFFER_<NAME>, separated by blanks
    help: str
    per_namespace: bool  # may be given anew to each namespace
    secret: bool


def options() -> list[Option]:
    """Every option there is."""
    return [Option(*row) for row in core.option_table()]


def option_text(name: str, value: object) -> str:
    """An option's value as the core reads it: True is "true", durations are "<n>ms", None and containers are refused."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (float, timedelta)):
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if not math.isfinite(seconds) or seconds < 0:
            raise OptionError(f"option {name}: {value!r} is not a duration", "OPTION")
        return f"{math.ceil(seconds * 1000)}ms"
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    if isinstance(value, str):
        return _text(value, f"option {name}")
    raise ValueTypeError(f"option {name} is text, a number, a bool or a timedelta, not {type(value).__name__}", "OPTION")


# ---- keys ----


def escape(part: str) -> str:
    """A part of a joined key: its colons, and the escape sign itself, are written %3A and %25."""
    return part.replace("%", "%25").replace(":", "%3A")


def join_key(*parts: str | int) -> str:
    """Joins parts with colons so that no two lists of parts give the same key: join_key("a", "b:c") is "a:b%3Ac"."""
    if not parts:
        raise ArgumentError("a key needs at least one part", "ARG")
    return ":".join(_part(part) for part in parts)


def _part(part: object) -> str:
    if isinstance(part, str):
        return escape(part)
    if isinstance(part, int) and not isinstance(part, bool):
        return str(int(part))
    raise ValueTypeError(f"a part of a key is str or int, not {type(part).__name__}", "ARG")
