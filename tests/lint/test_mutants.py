"""Each mutant tells its bug, and names tests that exist. Whether it applies, and is noticed, ./dev mutants finds out."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "mutants"

spec = importlib.util.spec_from_file_location("mutants_run", FOLDER / "run.py")
assert spec is not None and spec.loader is not None
mutants = importlib.util.module_from_spec(spec)
sys.modules["mutants_run"] = mutants
spec.loader.exec_module(mutants)

PATCHES = sorted(FOLDER.glob("*.patch"))


def names_a_test(red: str) -> bool:
    if red.startswith("faults "):
        return (ROOT / "tests" / "faults" / red.split()[1]).exists()
    return any((ROOT / "tests" / folder / f"{red}.c").exists() for folder in ("c", "."))


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_a_mutant_tells_its_bug_and_who_has_to_notice(path: Path) -> None:
    mutant = mutants.read_mutant(path)
    assert [red for red in mutant.reds if not names_a_test(red)] == []
    assert mutant.files and all((ROOT / file.relative_to(mutants.TREE)).exists() for file in mutant.files)


def test_a_sample_needs_no_fault_suite_and_is_spread_over_all() -> None:
    every = [mutants.read_mutant(path) for path in PATCHES]
    some = mutants.chosen(every, [], 4)
    assert len(some) == 4
    assert not any(red.startswith("faults ") for mutant in some for red in mutant.reds)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(mutants.Trouble, match="no_such_bug"):
        mutants.chosen([], ["no_such_bug"], 0)


@pytest.mark.parametrize("text", ["red: engine/test_conn\n--- a/x\n", "bug: something\n--- a/x\n", ""])
def test_a_patch_without_its_beginning_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bare.patch"
    path.write_text(text)
    with pytest.raises(mutants.Trouble, match="begin"):
        mutants.read_mutant(path)
