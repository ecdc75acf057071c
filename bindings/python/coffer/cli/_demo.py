"""A trace for those who have none at hand: made up, but shaped like traffic."""

from __future__ import annotations

import itertools
import random
from array import array

from ._traces import Trace

REQUESTS = 100_000
KEYS = 10_000
SEED = 42


def synthetic_trace(requests: int = REQUESTS, keys: int = KEYS, seed: int = SEED, limit: int | None = None) -> Trace:
    """Zipf's law with s = 1: the second key is asked for half as often as the first, and so on."""
    made = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, keys + 1)))
    ranks = made.choices(range(keys), cum_weights=weights, k=requests)[:limit]
    trace = Trace("a synthetic trace", "synthetic", lines=len(ranks))
    trace.synthetic = f"Zipf, s = 1, {requests:,} requests over {keys:,} keys, seed {seed}"
    number_of: dict[int, int] = {}
    trace.indices = array("I", (number_of.setdefault(rank, len(number_of)) for rank in ranks))
    trace.keys = [f"/item/{rank + 1}" for rank in number_of]
    trace.sizes = array("I", bytes(4 * len(trace.keys)))
    return trace


def what_next(is_synthetic: bool, is_local: bool) -> str:
    """What to try next, for the end of the demo."""
    hints = []
    if is_synthetic:
        hints.append(("your own traffic", "coffer replay /var/log/nginx/access.log"))
    if is_local:
        hints.append(("a server", "coffer replay TRACE --url redis://localhost"))
    hints.append(("every option", "coffer replay --help"))
    return "Try next\n" + "\n".join(f"  {what:<22}{command}" for what, command in hints)
