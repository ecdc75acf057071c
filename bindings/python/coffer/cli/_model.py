"""What an ideal cache would have done with a trace: the figures to judge the measured ones by."""

from __future__ import annotations

import math
import re

from ._traces import Trace

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CLASSES = {
    "very_short": 60.0,
    "short": 300.0,
    "medium": 900.0,
    "long": 3600.0,
    "very_long": 86400.0,
    "persistent": 604800.0,
    "forever": math.inf,
}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", re.ASCII)


def ttl_seconds(text: str) -> float | None:
    """A TTL that Coffer accepts as text, in seconds; None where it is of a form unknown here."""
    match = _TIME.fullmatch(text)
    if match:
        return float(match[1]) * _UNITS[match[2]]
    return _CLASSES.get(text)


def best_hit_ratio(trace: Trace) -> float:
    """Each key loaded once and kept: no cache without foresight can do better."""
    return 1 - len(trace.keys) / len(trace.indices)


def hit_ratio_at_pace(trace: Trace, seconds: float) -> float | None:
    """With values that live so long by the trace's own clock, nothing evicted and no jitter.

    None where the trace has no times.
    """
    if trace.times is None:
        return None
    loaded_at = [-math.inf] * len(trace.keys)
    hits = 0
    for index, now in zip(trace.indices, trace.times, strict=True):
        if now - loaded_at[index] < seconds:
            hits += 1
        else:
            loaded_at[index] = now
    return hits / len(trace.indices)
