"""Adds up what the suites of ./dev left in a folder, and ends with `N passed, N failed, N skipped`.

    python3 tests/lint/counts.py build/results        exit status 1 if anything failed, or if nothing ran

Each suite left NAME.passed or NAME.failed, and NAME.xml (JUnit) where its runner writes one. A cmocka program is one test
to ctest; what it says itself is counted instead. A suite that failed without a failed test (a crash, a leak) is one failure.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

CMOCKA = re.compile(r"^\[  (PASSED|SKIPPED|FAILED) +\] (?:[^\n:]+: )?(\d+) test\(s\)", re.MULTILINE)
CMOCKA_SKIPPED = re.compile(r"^\[  SKIPPED +\] (?!.*\d+ test\(s\))(.+)$", re.MULTILINE)


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.reasons += other.reasons

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def of_cmocka(text: str) -> Count | None:
    """What a cmocka program says of itself, or None if this is not one's output."""
    numbers: Counter[str] = Counter()
    for word, number in CMOCKA.findall(text):
        numbers[word] += int(number)
    if "PASSED" not in numbers:
        return None
    names = sorted(set(CMOCKA_SKIPPED.findall(text)))
    return Count(numbers["PASSED"], numbers["FAILED"], numbers["SKIPPED"], names)


def of_case(case: ET.Element) -> Count:
    name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
    failed = case.find("failure") is not None or case.find("error") is not None
    own = of_cmocka(case.findtext("system-out") or "")
    if own is not None:
        own.failed = max(own.failed, int(failed))
        return own
    skipped = case.find("skipped")
    if skipped is not None:
        return Count(skipped=1, reasons=[f"{name}: {skipped.get('message', '')}"])
    return Count(failed=1) if failed else Count(passed=1)


def of_suite(folder: Path, name: str) -> Count:
    count = Count()
    report = folder / f"{name}.xml"
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            count.add(of_case(case))
    elif (folder / f"{name}.passed").exists():
        count.passed = 1
    if (folder / f"{name}.failed").exists():
        count.failed = max(count.failed, 1)
    return count


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    total = Count()
    for name in sorted({path.stem for path in folder.iterdir()}):
        count = of_suite(folder, name)
        print(f"{name}: {count}")
        total.add(count)
    for reason in total.reasons:
        print(f"skipped: {reason}")
    print(total)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
