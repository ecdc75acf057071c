"""The CPythons of this machine that a wheel for 3.11 and newer is for, and clean environments of them.

They are looked for in COFFER_PYTHONS (programs, separated by spaces), on PATH, in the system's folder and in pyenv's; the same one found
twice counts once. A build without the GIL takes no abi3 wheel, and one without ensurepip makes no environment: neither is taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST = 11
MINORS = range(OLDEST, 20)
EXPECTED = range(OLDEST, 15)  # a release of these that is not at hand is skipped by name
TIMEOUT_S = 300

PROBE = """
import ensurepip, os, platform, sys, sysconfig, venv
good = platform.python_implementation() == "CPython" and sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(platform.python_version(), sys.version_info[1], os.path.realpath(sys.base_prefix), sep="\\n") if good else sys.exit(1)
"""


@dataclass(frozen=True)
class Interpreter:
    program: str
    version: str
    minor: int


def candidates() -> Iterator[str]:
    names = ["python3", *(f"python3.{minor}" for minor in MINORS)]
    yield from os.environ.get("COFFER_PYTHONS", "").split()
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), *os.defpath.split(os.pathsep)]:
        yield from (str(Path(folder) / name) for name in names if folder)
    if shutil.which("pyenv"):
        done = subprocess.run(["pyenv", "root"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode == 0:
            yield from (str(path) for path in sorted(Path(done.stdout.strip()).glob("versions/*/bin/python3")))


def found() -> list[Interpreter]:
    interpreters: dict[tuple[str, str], Interpreter] = {}
    for program in dict.fromkeys(candidates()):
        if not os.access(program, os.X_OK):
            continue
        done = subprocess.run([program, "-I", "-c", PROBE], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode == 0:
            version, minor, prefix = done.stdout.splitlines()
            interpreters.setdefault((version, prefix), Interpreter(program, version, int(minor)))
    return sorted(interpreters.values(), key=lambda one: (one.minor, one.version))


class Environment:
    """A virtual environment with nothing in it but pip, and what is run there sees nothing of this tree."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.python = folder / "bin/python"
        self.clean = {"PATH": f"{folder / 'bin'}:{os.defpath}", "HOME": str(folder), "LANG": "C.UTF-8", "TMPDIR": str(folder)}
        self.run(program, "-I", "-m", "venv", str(folder))

    def run(self, *command: str, **more: str) -> str:
        cwd = self.folder if self.folder.exists() else self.folder.parent
        environment = {**self.clean, **more}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not done.stderr.strip(), done.stderr
        return done.stdout

    def install(self, wheel: Path) -> None:
        self.run(str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", str(wheel))
