"""Bugs of one line, each of which has to turn a test red: what the tests would not notice, they do not test.

    python3 tests/mutants/run.py [NAME...] [--list] [--sample N]

Each tests/mutants/NAME.patch begins with a sentence that tells the bug, and with the tests that have to notice it:

    bug: a connection with replies due goes back to the pool
    red: engine/test_conn io/test_link              tests of ctest; one of them failing is enough
    red: faults test_right_values.py -k cancelled   or a suite of tests/faults

The tree is copied to build/mutants/tree and built there. The named tests are run as they are first, and have to pass. A patch that
does not apply, or does not compile, is a failure as well as one that nobody notices. Exit status 1 if there is any.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TREE = ROOT / "build" / "mutants" / "tree"
BUILD = ROOT / "build" / "mutants" / "build"
RESULTS = ROOT / "build" / "results"
FAULT_TOOLS = ("fault_proxy", "fault_oracle", "fault_load", "fault_forks")
SECONDS = 240


class Trouble(Exception):
    """Why a mutant could not be tried."""


@dataclass(frozen=True)
class Mutant:
    name: str
    path: Path
    bug: str
    reds: tuple[str, ...]  # "engine/test_conn", "faults test_right_values.py -k cancelled"

    @property
    def files(self) -> list[Path]:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [TREE / line.removeprefix("+++ b/").split("\t")[0] for line in lines if line.startswith("+++ b/")]


def read_mutant(path: Path) -> Mutant:
    bug, reds = "", list[str]()
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(": ")
        if name == "bug":
            bug = rest
        elif name == "red":
            reds += [rest] if rest.startswith("faults ") else rest.split()
        elif line.startswith("--- "):
            break
    if not bug or not reds:
        raise Trouble(f"{path.name}: it has to begin with a bug and its reds")
    return Mutant(path.stem, path, bug, tuple(reds))


def run(command: list[str], seconds: float = SECONDS, **environment: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"it took longer than {seconds} s")


def needed(command: list[str], seconds: float = SECONDS) -> str:
    done = run(command, seconds)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(command[:4])}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


# ---- the copy


def copy_tree() -> None:
    """What git knows or would add, as it is now. A file that is the same already keeps its time, and what was built of it."""
    names = needed(["git", "ls-files", "-co", "--exclude-standard"]).splitlines()
    wanted = {name for name in names if (ROOT / name).is_file()}
    for name in wanted:
        source, target = ROOT / name, TREE / name
        text = source.read_bytes()
        if not target.is_file() or target.read_bytes() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
            target.chmod(source.stat().st_mode)
    for stale in [path for path in TREE.rglob("*") if path.is_file() and str(path.relative_to(TREE)) not in wanted]:
        stale.unlink()


def configure() -> None:
    flags = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS=-O1", "-DCOFFER_LTO=OFF", "-DCOFFER_WERROR=OFF"]
    needed(["cmake", "-G", "Ninja", "-S", str(TREE), "-B", str(BUILD), *flags])


def patch_of(mutant: Mutant, *options: str) -> None:
    patch = ["patch", "-p1", "-s", "--no-backup-if-mismatch", "-r", "-", "-d", str(TREE), "-i", str(mutant.path), *options]
    done = run(patch)
    if done.returncode != 0:
        raise Trouble(f"{mutant.name}: the patch does not apply any more: {done.stdout.strip()}")


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    before = {path: path.read_bytes() for path in mutant.files if path.is_file()}
    try:
        patch_of(mutant)
        yield
    finally:
        for path, text in before.items():
            path.write_bytes(text)


# ---- the tests


def targets(red: str) -> list[str]:
    return list(FAULT_TOOLS) if red.startswith("faults ") else [red.replace("/", "_", 1)]


def build(reds: Iterable[str]) -> None:
    wanted = sorted({target for red in reds for target in targets(red)})
    needed(["cmake", "--build", str(BUILD), "-j", str(os.cpu_count() or 2), "--target", *wanted], 1200)


def command_of(red: str) -> list[str]:
    if red.startswith("faults "):
        file, *more = red.removeprefix("faults ").split()
        return [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/faults/{file}", *more]
    return ["ctest", "--test-dir", str(BUILD), "--no-tests=error", "--timeout", "40", "-R", f"^{red}$"]


def passes(red: str) -> bool:
    """Whether the test is green in the tree as it is now."""
    figures = str(ROOT / "build" / "mutants")
    return run(command_of(red), COFFER_FAULTS_BUILD=str(BUILD), COFFER_FAULTS_FIGURES=figures).returncode == 0


def noticed_by(mutant: Mutant) -> str:
    """The first test that turns red; "" where none does."""
    with applied(mutant):
        build(mutant.reds)
        return next((red for red in mutant.reds if not passes(red)), "")


def check_green(mutants: list[Mutant]) -> None:
    reds = sorted({red for mutant in mutants for red in mutant.reds})
    build(reds)
    failing = [red for red in reds if not passes(red)]
    if failing:
        raise Trouble(f"red without any mutant: {', '.join(failing)}")


# ---- what is told


def trial(mutant: Mutant) -> str:
    """Why it counts as a failure; "" where a test noticed it. Says how it went."""
    began = time.monotonic()
    try:
        red = noticed_by(mutant)
        failure = "" if red else "SURVIVED: no test noticed it"
    except Trouble as trouble:
        red, failure = "", f"ERROR: {trouble}"
    print(f"{mutant.name}: {failure or f'noticed by {red}'} ({time.monotonic() - began:.1f} s)", flush=True)
    return failure


def write_report(failures: dict[str, str]) -> None:
    suite = ET.Element("testsuite", name="mutants")
    for name, failure in failures.items():
        case = ET.SubElement(suite, "testcase", classname="mutants", name=name)
        if failure:
            ET.SubElement(case, "failure", message=failure)
    RESULTS.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(RESULTS / "mutants.xml")


def chosen(mutants: list[Mutant], names: list[str], sample: int) -> list[Mutant]:
    """Those named, or all; of a sample every nth."""
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise Trouble(f"there is no mutant {', '.join(sorted(unknown))}; --list names them")
    some = [mutant for mutant in mutants if not names or mutant.name in names]
    if sample:
        some = [mutant for mutant in some if not any(red.startswith("faults ") for red in mutant.reds)]
    return some[:: max(1, len(some) // sample)][:sample] if sample else some


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev mutants", description="bugs of one line, each of which has to turn a test red")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true", help="name them")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="only so many, those that need no fault suite")
    wanted = parser.parse_args()
    try:
        mutants = [read_mutant(path) for path in sorted(HERE.glob("*.patch"))]
        if wanted.list:
            print("".join(f"{mutant.name}: {mutant.bug}\n" for mutant in mutants), end="")
            return 0
        copy_tree()
        for mutant in mutants:
            patch_of(mutant, "--dry-run")
        some = chosen(mutants, wanted.names, wanted.sample)
        configure()
        check_green(some)
    except Trouble as trouble:
        print(f"mutants: {trouble}", file=sys.stderr)
        return 1
    failures = {mutant.name: trial(mutant) for mutant in some}
    write_report(failures)
    bad = sum(bool(failure) for failure in failures.values())
    print(f"{len(failures) - bad} passed, {bad} failed, 0 skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
