"""A Python and a Lua program that use every operation lose no memory, and read none that is not theirs.

Interpreters have faults and leaks of their own: one counts where a function of coffer is on the way to it. What is still reachable at
the end is Python's, or the dynamic linker's (the Lua module stays loaded until the process ends)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interpreters import INTERPRETERS, ROOT

OURS = re.compile(r": (coffer_\w+|_wrap_\w+) \(")  # SWIG's own few types, made once for a process, are not
TIMEOUT_S = 300


def records(log: str) -> list[str]:
    """What valgrind says, an error or a leak each."""
    text = re.sub(r"^==\d+== ?", "", log, flags=re.MULTILINE)
    return [record for record in re.split(r"\n\s*\n", text) if " at 0x" in record or " by 0x" in record]


def test_records_are_told_apart() -> None:
    first = "==1== Invalid read of size 8\n==1==    at 0x1: coffer__buf_free (buf.c:3)\n==1== \n"
    log = first + "==1== 8 bytes\n==1==    at 0x2: malloc (in /usr/lib/valgrind.so)\n==1== \n"
    assert [bool(OURS.search(record)) for record in records(log)] == [True, False]


def run(tmp_path: Path, command: list[str], folder: Path, environment: dict[str, str]) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed (./dev deps --all)")
    log = tmp_path / "valgrind.log"
    options = ["-q", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible", "--num-callers=50", f"--log-file={log}"]
    done = subprocess.run(
        ["valgrind", *options, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ours = [record for record in records(log.read_text(encoding="utf-8", errors="replace")) if OURS.search(record)]
    assert not ours, "\n\n".join(ours)


def test_a_python_program_loses_nothing(tmp_path: Path, url: str) -> None:
    environment = {**os.environ, "PYTHONMALLOC": "malloc"}  # its own would hide what is behind it
    run(tmp_path, [sys.executable, str(ROOT / "tests/python/starving.py"), url], ROOT, environment)


def test_a_lua_program_loses_nothing(tmp_path: Path, url: str) -> None:
    lua = INTERPRETERS[0]  # LuaJIT reads beyond its strings, as it may
    program = shutil.which(lua.name)
    if program is None:
        pytest.skip(f"{lua.name} is not installed (./dev deps)")
    run(tmp_path, [program, "every_operation.lua", url], ROOT / "tests/lua", lua.environment())


def test_the_lua_example_loses_nothing(tmp_path: Path, url: str) -> None:
    lua = INTERPRETERS[0]
    program = shutil.which(lua.name)
    if program is None:
        pytest.skip(f"{lua.name} is not installed (./dev deps)")
    run(tmp_path, [program, str(ROOT / "examples/lua/quickstart.lua"), url], ROOT, lua.environment())
