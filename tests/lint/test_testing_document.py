"""docs/testing.md names tests: each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(test_\w+|\w+\.txt)`")
WRITTEN = re.compile(r"^(?:static void|def) (test_\w+)\(", re.MULTILINE)


def test_each_test_that_the_document_names_exists() -> None:
    named = set(NAMED.findall((ROOT / "docs" / "testing.md").read_text(encoding="utf-8")))
    sources = [*ROOT.glob("tests/c/*/*.c"), *ROOT.glob("tests/python/*.py")]
    written = {name for path in sources for name in WRITTEN.findall(path.read_text(encoding="utf-8"))}
    written |= {path.name for path in ROOT.glob("tests/transcripts/*.txt")}
    assert len(named) > 50
    assert sorted(named - written) == []
