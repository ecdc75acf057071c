"""Fixtures: `cache` runs a test on mem:// and on a redis-server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import coffer


@pytest.fixture
def cache(url: str) -> Iterator[coffer.Cache]:
    with coffer.Cache(url, prefix="test", namespace="things") as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[coffer.Cache]:
    with coffer.Cache("mem://") as opened:
        yield opened
