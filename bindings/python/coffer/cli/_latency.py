"""Latencies of any number of requests in bounded memory.

The first million are kept as they are, and percentiles of them are exact. Beyond that they are
counted in buckets of 256 per power of two, and a percentile is at most 0.4 % too low.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

EXACT_COUNT = 1_000_000
_BUCKET_BITS = 9


class Latencies:
    """Nanoseconds in, percentiles out. Not for use by several threads at once."""

    def __init__(self, exact_count: int = EXACT_COUNT) -> None:
        self._exact_count = exact_count
        self._exact = array("Q")
        self._buckets: Counter[int] = Counter()
        self._longest_ns = 0
        self.count = 0

    def add(self, samples_ns: Iterable[int]) -> None:
        """Adds the latencies of some requests."""
        samples = array("Q", samples_ns)
        if not samples:
            return
        self.count += len(samples)
        self._longest_ns = max(self._longest_ns, max(samples))
        if self.count <= self._exact_count:
            self._exact.extend(samples)
            return
        self._buckets.update(map(_bucket, self._exact))
        self._exact = array("Q")
        self._buckets.update(map(_bucket, samples))

    @property
    def is_exact(self) -> bool:
        """Whether percentiles are those of the samples themselves."""
        return self.count <= self._exact_count

    def percentiles_ns(self, *permilles: int) -> list[int]:
        """The smallest latencies that so many in a thousand do not exceed; 0 without samples."""
        counts = Counter(self._exact) if self.is_exact else self._buckets
        ordered = sorted(counts.items())
        ranks = [max(1, -(-self.count * permille // 1000)) for permille in permilles]
        return [_at_rank(ordered, rank) for rank in ranks]

    @property
    def max_ns(self) -> int:
        """The longest of all."""
        return self._longest_ns


def _bucket(nanoseconds: int) -> int:
    shift = max(0, nanoseconds.bit_length() - _BUCKET_BITS)
    return nanoseconds >> shift << shift


def _at_rank(ordered: list[tuple[int, int]], rank: int) -> int:
    for value, count in ordered:
        rank -= count
        if rank <= 0:
            return value
    return 0
