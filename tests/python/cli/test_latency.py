"""Percentiles: exact while few, near enough in bounded memory when many."""

from __future__ import annotations

import random

import pytest

from coffer.cli._latency import Latencies

PERMILLES = (1, 500, 950, 990, 1000)


def by_sorting(samples: list[int], permille: int) -> int:
    return sorted(samples)[max(0, -(-len(samples) * permille // 1000) - 1)]


@pytest.fixture
def samples() -> list[int]:
    made = random.Random(1)
    return [int(made.lognormvariate(9, 2)) for _ in range(20_000)]


def test_percentiles_are_those_of_the_samples(samples):
    latencies = Latencies()
    for begin in range(0, len(samples), 77):
        latencies.add(samples[begin : begin + 77])
    assert latencies.is_exact and latencies.count == len(samples)
    assert latencies.percentiles_ns(*PERMILLES) == [by_sorting(samples, p) for p in PERMILLES]
    assert latencies.max_ns == max(samples)


def test_many_are_counted_in_buckets_at_most_four_in_a_thousand_too_low(samples):
    latencies = Latencies(exact_count=1000)
    for begin in range(0, len(samples), 77):
        latencies.add(samples[begin : begin + 77])
    assert not latencies.is_exact
    assert latencies.max_ns == max(samples)
    for found, permille in zip(latencies.percentiles_ns(*PERMILLES), PERMILLES, strict=True):
        exact = by_sorting(samples, permille)
        assert exact * 0.996 <= found <= exact


def test_nothing_measured_is_zero():
    latencies = Latencies()
    latencies.add([])
    assert latencies.percentiles_ns(500) == [0] and latencies.max_ns == 0
