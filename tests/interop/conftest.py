"""Each language as a peer that lives as long as the session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import MAKERS, Peer


@pytest.fixture(scope="session")
def peer() -> Iterator[Callable[[str], Peer]]:
    """A language by its name. What it says at its end, such as a leak, fails the session."""
    made: dict[str, Peer] = {}

    def peer(name: str) -> Peer:
        if name not in made:
            made[name] = MAKERS[name]()
        return made[name]

    yield peer
    for one in made.values():
        one.close()
