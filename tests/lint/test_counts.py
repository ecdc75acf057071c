"""The last line of `./dev test` counts what the suites left, and never calls a crash a success."""

from __future__ import annotations

from pathlib import Path

import pytest
from counts import main

CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] reads_a_reply
[       OK ] reads_a_reply
[  SKIPPED ] needs_the_vectors
[  PASSED  ] 1 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] needs_the_vectors
"""
CMOCKA_FAILED = CMOCKA + "[  FAILED  ] 2 test(s), listed below:\n[  FAILED  ] a\n[  FAILED  ] b\n"


def last_line(folder: Path, capsys: pytest.CaptureFixture[str], status: int) -> str:
    assert main([str(folder)]) == status
    return capsys.readouterr().out.splitlines()[-1]


def write(folder: Path, name: str, cases: str, outcome: str) -> None:
    (folder / f"{name}.xml").write_text(f"<testsuite>{cases}</testsuite>")
    (folder / f"{name}.{outcome}").touch()


def case(inside: str = "", output: str = "") -> str:
    return f"<testcase classname='a' name='b'>{inside}<system-out>{output}</system-out></testcase>"


def test_cmocka_programs_count_as_what_they_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "core", case(output=CMOCKA) + case(output="no cmocka here"), "passed")
    write(tmp_path, "python", case() + case("<skipped message='no data'/>"), "passed")
    assert last_line(tmp_path, capsys, 0) == "3 passed, 0 failed, 2 skipped"


def test_failures_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "core", case("<failure/>", CMOCKA_FAILED), "failed")
    write(tmp_path, "python", case("<failure/>") + case("<error/>"), "failed")
    assert last_line(tmp_path, capsys, 1) == "1 passed, 4 failed, 1 skipped"


def test_a_crash_behind_a_good_report_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "core", case("<failure/>", CMOCKA), "failed")
    write(tmp_path, "python", case(), "failed")
    assert last_line(tmp_path, capsys, 1) == "2 passed, 2 failed, 1 skipped"


def test_a_suite_without_a_report_is_one_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "valgrind.passed").touch()
    (tmp_path / "tsan.failed").touch()
    assert last_line(tmp_path, capsys, 1) == "1 passed, 1 failed, 0 skipped"


def test_nothing_run_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert last_line(tmp_path, capsys, 1) == "0 passed, 0 failed, 0 skipped"


def test_skipped_tests_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "core", case(output=CMOCKA), "passed")
    main([str(tmp_path)])
    assert "skipped: needs_the_vectors" in capsys.readouterr().out
