"""The figures of a replay, for a person and as JSON.

JSON (`--json FILE`), schema "coffer-replay/1". Names are stable; times are in the unit of their
name; what was not measured is null. New names may be added.

    schema, coffer_version
    complete          both passes went over the whole trace
    interrupted       by Ctrl-C
    failure           the sentence that ended it early, or null
    trace             name, format, synthetic, lines, requests, keys, span_seconds,
                      malformed_lines, malformed_samples [{line, reason, text}],
                      rewritten_keys, trimmed_values, not_get_requests
    settings          url (passwords hidden), ttl, prefix, namespace, memory, threads, limit,
                      speed (null: as fast as it goes; 1.0: the trace's pace)
    database          file (null: temporary), rows, rows_added, payload_bytes
    without_cache     requests, database_queries, seconds, requests_per_second,
                      latency_us {p50, p95, p99, max}, latency_exact
    with_cache        the same, and hits, hit_ratio, errors, error_samples [{text, count}],
                      wrong_values, bytes_stored, values_not_stored, memory_bytes,
                      memory_used_bytes, entries, evictions, keys_removed, keys_left
    comparison        database_queries_saved, reduction
    model             best_hit_ratio, hit_ratio_at_trace_pace
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ._input import shown_name
from ._model import best_hit_ratio, hit_ratio_at_pace, ttl_seconds
from ._replay import Outcome, PassResult
from ._traces import MAX_VALUE_BYTES

_LABEL = 22
_COLUMN = 14
_TEXT_WIDTH = 92
_LOCAL_DATABASE_NS = 200_000
_FORMAT_WORDS = {
    "keys": "one key a line",
    "clf": "access log",
    "tsv": "tab-separated",
    "synthetic": "synthetic",
}


def as_json(outcome: Outcome, version: str) -> dict[str, Any]:
    """Every figure, by the names in this module's description."""
    return {
        "schema": "coffer-replay/1",
        "coffer_version": version,
        "complete": _is_complete(outcome),
        "interrupted": outcome.is_interrupted,
        "failure": str(outcome.failure) if outcome.failure else None,
        "trace": _trace_json(outcome),
        "settings": _settings_json(outcome),
        "database": _database_json(outcome),
        "without_cache": _pass_json(outcome.without),
        "with_cache": _cache_json(outcome),
        "comparison": _comparison_json(outcome),
        "model": _model_json(outcome),
    }


def _is_complete(outcome: Outcome) -> bool:
    total = len(outcome.trace.indices)
    passes = (outcome.without, outcome.with_cache)
    return all(one is not None and one.requests == total for one in passes)


def _trace_json(outcome: Outcome) -> dict[str, Any]:
    trace = outcome.trace
    return {
        "name": trace.name,
        "format": trace.format,
        "synthetic": bool(trace.synthetic),
        "lines": trace.lines,
        "requests": len(trace.indices),
        "keys": len(trace.keys),
        "span_seconds": trace.span_seconds,
        "malformed_lines": trace.malformed,
        "malformed_samples": [asdict(sample) for sample in trace.malformed_samples],
        "rewritten_keys": trace.rewritten_keys,
        "trimmed_values": trace.trimmed_sizes,
        "not_get_requests": trace.writes,
    }


def _settings_json(outcome: Outcome) -> dict[str, Any]:
    settings = outcome.settings
    return {
        "url": settings.shown_url,
        "ttl": settings.ttl,
        "prefix": settings.prefix,
        "namespace": settings.namespace,
        "memory": settings.memory,
        "threads": settings.threads,
        "limit": settings.limit,
        "speed": settings.speed,
    }


def _database_json(outcome: Outcome) -> dict[str, Any]:
    database = outcome.database
    return {
        "file": None if database.is_temporary else database.path,
        "rows": database.rows,
        "rows_added": database.rows_added,
        "payload_bytes": database.payload_bytes,
    }


def _pass_json(one: PassResult | None) -> dict[str, Any] | None:
    if one is None:
        return None
    p50, p95, p99 = one.latencies.percentiles_ns(500, 950, 990)
    return {
        "requests": one.requests,
        "database_queries": one.queries,
        "seconds": one.seconds,
        "requests_per_second": one.requests / one.seconds if one.seconds else None,
        "latency_us": {
            "p50": p50 / 1000,
            "p95": p95 / 1000,
            "p99": p99 / 1000,
            "max": one.latencies.max_ns / 1000,
        },
        "latency_exact": one.latencies.is_exact,
    }


def _cache_json(outcome: Outcome) -> dict[str, Any] | None:
    one, store = outcome.with_cache, outcome.store
    figures = _pass_json(one)
    if one is None or figures is None:
        return None
    return figures | {
        "hits": one.hits,
        "hit_ratio": _ratio(one.hits, one.requests),
        "errors": _errors(outcome),
        "error_samples": [{"text": text, "count": count} for text, count in one.error_texts.most_common()],
        "wrong_values": one.wrong_values,
        "bytes_stored": store.bytes_written if store else None,
        "values_not_stored": store.values_not_stored if store else None,
        "memory_bytes": store.memory_bytes if store else None,
        "memory_used_bytes": store.used_bytes if store else None,
        "entries": store.entries if store else None,
        "evictions": store.evictions if store else None,
        "keys_removed": outcome.removed_keys,
        "keys_left": outcome.left_keys,
    }


def _comparison_json(outcome: Outcome) -> dict[str, Any] | None:
    one = outcome.with_cache
    if one is None:
        return None
    saved = one.requests - one.queries
    return {"database_queries_saved": saved, "reduction": _ratio(saved, one.requests)}


def _model_json(outcome: Outcome) -> dict[str, Any]:
    seconds = ttl_seconds(outcome.settings.ttl)
    at_pace = None if seconds is None else hit_ratio_at_pace(outcome.trace, seconds)
    return {
        "best_hit_ratio": best_hit_ratio(outcome.trace),
        "hit_ratio_at_trace_pace": at_pace,
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# ---- for a person ------------------------------------------------------------------------------


def as_text(outcome: Outcome) -> str:
    """The report."""
    tables = (_about(outcome), _table(outcome), _results(outcome))
    parts = [_headline(outcome), *("\n".join(lines) for lines in tables)]
    notes = list(_notes(outcome))
    if notes:
        parts.append("\n".join(_wrapped(note) for note in notes))
    return "\n\n".join(parts)


def _headline(outcome: Outcome) -> str:
    name = shown_name(outcome.trace.name)
    stopped = "" if _is_complete(outcome) else "  (STOPPED EARLY: the figures are partial)"
    return f"{name}, replayed through {outcome.settings.place}{stopped}"


def _about(outcome: Outcome) -> list[str]:
    trace, settings, database = outcome.trace, outcome.settings, outcome.database
    requests, keys = len(trace.indices), len(trace.keys)
    pace = "" if trace.span_seconds is None else f", over {_span(trace.span_seconds)}"
    where = "a temporary SQLite file" if database.is_temporary else ascii(database.path)[1:-1]
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    average = _bytes(database.payload_bytes / max(1, database.rows))
    return [
        _row("requests", f"{requests:,}", f"{_FORMAT_WORDS[trace.format]}{pace}"),
        _row("keys", f"{keys:,}", f"each asked for {requests / keys:.1f} times on average"),
        _row("database", _bytes(database.payload_bytes), f"{where}, {average} a row"),
        _row(
            "cache",
            f"ttl {settings.ttl}",
            f"{settings.shown_url}, {threads}, {_pace(settings.speed)}",
        ),
    ]


def _pace(speed: float | None) -> str:
    return "as fast as it goes" if speed is None else f"{speed:g} x the trace's pace"


def _table(outcome: Outcome) -> list[str]:
    without, cached = outcome.without, outcome.with_cache
    names = ("p50", "p95", "p99")
    without_ns = _percentiles(without)
    cached_ns = _percentiles(cached)
    lines = [
        f"{'':<{_LABEL + 2}}{'without cache':>{_COLUMN}}{'with cache':>{_COLUMN}}",
        _compare("database queries", _count(without), _count(cached), _fewer(cached)),
    ]
    for name, before, after in zip(names, without_ns, cached_ns, strict=True):
        lines.append(_compare(f"latency {name}", _time(before), _time(after), _factor(before, after)))
    if outcome.settings.speed is None:
        lines.append(_compare("requests a second", _rate(without), _rate(cached), ""))
    return lines


def _results(outcome: Outcome) -> list[str]:
    one, store, trace = outcome.with_cache, outcome.store, outcome.trace
    malformed = _row("malformed lines", f"{trace.malformed:,}", f"of {trace.lines:,}")
    samples = [f"{'':<{_LABEL + 4}}line {sample.line}: {sample.reason}: {sample.text}" for sample in trace.malformed_samples]
    if one is None:
        return [malformed, *samples]
    answered = f"{one.hits:,} of {one.requests:,} requests needed no database"
    errors = _errors(outcome)
    lines = [_row("hit ratio", _percent(one.hits, one.requests), answered)]
    if store is not None:
        lines.append(_row("bytes stored", _bytes(store.bytes_written), _held(outcome)))
    lines.append(_row("errors", f"{errors:,}", "the database answered instead" if errors else ""))
    lines += [f"{'':<{_LABEL + 4}}{count:,} x {text}" for text, count in one.error_texts.most_common(3)]
    return [*lines, malformed, *samples]


def _errors(outcome: Outcome) -> int:
    """Those that were raised, or all that the cache counted: it goes on without a server that is away, and raises nothing."""
    raised = outcome.with_cache.errors if outcome.with_cache else 0
    return max(raised, outcome.store.errors if outcome.store else 0)


def _held(outcome: Outcome) -> str:
    store = outcome.store
    if store is None or store.used_bytes is None or store.memory_bytes is None:
        return "written to the server, all values together"
    return f"written; {store.entries:,} entries use {_bytes(store.used_bytes)} of {_bytes(store.memory_bytes)}, {store.evictions:,} evicted"


def _notes(outcome: Outcome) -> Iterator[str]:
    trace, settings, one = outcome.trace, outcome.settings, outcome.with_cache
    if outcome.failure:
        yield f"{'ERROR' if _is_complete(outcome) else 'STOPPED'}: {outcome.failure}."
    if one and one.wrong_values:
        yield (
            f"WRONG VALUES: {one.wrong_values:,} answers of the cache were not what the database "
            "holds. That is a fault in coffer; please report it."
        )
    if trace.synthetic:
        yield f"The trace is synthetic, the same in every run: {trace.synthetic}."
    yield from _notes_on_hits(outcome)
    yield from _notes_on_latency(outcome)
    if trace.rewritten_keys:
        yield (
            "Keys of more than 250 bytes, not UTF-8 or with control characters, each replaced by "
            f"its beginning and a hash: {trace.rewritten_keys:,}."
        )
    if trace.writes:
        yield f"Requests other than GET and HEAD, replayed as reads too: {trace.writes:,}."
    if trace.trimmed_sizes:
        yield f"Values cut to {_bytes(MAX_VALUE_BYTES)}: {trace.trimmed_sizes:,}."
    if outcome.store and outcome.store.values_not_stored:
        yield f"Values that were too large for the cache and not stored: {outcome.store.values_not_stored:,}."
    if outcome.left_keys:
        yield (
            f"Keys of namespace {settings.namespace} that could not be deleted from the server "
            f"and end with their TTL: {outcome.left_keys:,}."
        )


def _notes_on_hits(outcome: Outcome) -> Iterator[str]:
    trace, settings = outcome.trace, outcome.settings
    best = best_hit_ratio(trace)
    yield (
        f"The best possible hit ratio is {100 * best:.1f} %: each key must be loaded once. "
        "Values are made up; only keys, their order and sizes come from the trace."
    )
    one, ttl = outcome.with_cache, ttl_seconds(settings.ttl)
    if settings.speed is not None or one is None or ttl is None or one.seconds >= ttl:
        return
    at_pace, span = hit_ratio_at_pace(trace, ttl), trace.span_seconds
    if at_pace is not None and span:
        yield (
            f"The trace's {_span(span)} were replayed in {one.seconds:.1f} s, too fast for the TTL "
            f"to matter. At the trace's own pace a TTL of {settings.ttl} gives "
            f"{100 * at_pace:.1f} % (computed, without evictions; --speed real measures it)."
        )
    elif at_pace is None and not trace.synthetic:
        yield (
            f"This trace has no times and was replayed in {one.seconds:.1f} s, too fast for the "
            "TTL to matter: in production the hit ratio depends on it too."
        )


def _notes_on_latency(outcome: Outcome) -> Iterator[str]:
    if outcome.without is None:
        return
    p50 = _percentiles(outcome.without)[0]
    if outcome.database.is_temporary and p50 < _LOCAL_DATABASE_NS:
        yield (
            f"This database is a file on this machine and answers in {_time(p50)}; one across a "
            "network typically takes milliseconds. Judge by the queries saved."
        )


def _wrapped(note: str) -> str:
    return textwrap.fill(note, _TEXT_WIDTH, initial_indent="  * ", subsequent_indent="    ")


def _row(label: str, value: str, remark: str) -> str:
    return f"  {label:<{_LABEL}}{value:>{_COLUMN}}   {remark}".rstrip()


def _compare(label: str, before: str, after: str, remark: str) -> str:
    return f"  {label:<{_LABEL}}{before:>{_COLUMN}}{after:>{_COLUMN}}   {remark}".rstrip()


def _percentiles(one: PassResult | None) -> list[int]:
    return one.latencies.percentiles_ns(500, 950, 990) if one else [0, 0, 0]


def _count(one: PassResult | None) -> str:
    return f"{one.queries:,}" if one else "-"


def _fewer(cached: PassResult | None) -> str:
    if cached is None or not cached.requests:
        return ""
    return f"{_percent(cached.requests - cached.queries, cached.requests)} fewer"


def _rate(one: PassResult | None) -> str:
    return f"{one.requests / one.seconds:,.0f}" if one and one.seconds else "-"


def _factor(before: int, after: int) -> str:
    if not before or not after:
        return ""
    if before >= after:
        return f"{before / after:.1f} x faster"
    return f"{after / before:.1f} x slower"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _time(nanoseconds: float) -> str:
    if not nanoseconds:
        return "-"
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.2f} {unit}"
    return f"{nanoseconds / 1e3:.1f} µs"


def _bytes(count: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
