"""The Luas that are tested, and how a script is run by one with the module of this tree.

COFFER_LUA_FOLDER names another build of the modules, COFFER_LUA_PRELOAD libraries that it needs (a sanitizer's)."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path(os.environ.get("COFFER_LUA_FOLDER", ROOT / "build" / "lua"))
TIMEOUT_S = 120


@dataclass(frozen=True)
class Interpreter:
    name: str
    version: str  # of its C interface

    def __str__(self) -> str:
        return self.name

    @property
    def has_integers(self) -> bool:
        return self.version == "5.4"

    def environment(self) -> dict[str, str]:
        folder = MODULES / self.version
        own = {name: value for name, value in os.environ.items() if not name.startswith(("LUA_", "LD_PRELOAD"))}
        own["LUA_PATH"] = f"{Path(__file__).parent}/?.lua;{folder}/?.lua;;"
        own["LUA_CPATH"] = f"{folder}/?.so;;"
        if preload := os.environ.get("COFFER_LUA_PRELOAD"):
            own["LD_PRELOAD"] = preload
        return own

    def run(self, script: Path, *arguments: str) -> str:
        program = shutil.which(self.name)
        if program is None:
            pytest.skip(f"{self.name} is not installed (./dev deps)")
        if not (MODULES / self.version / "coffer" / "core.so").exists():
            pytest.skip(f"the module for Lua {self.version} is not built (./dev build)")
        command = [program, str(script), *arguments]
        done = subprocess.run(
            command,
            cwd=script.parent,
            env=self.environment(),
            capture_output=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        output = done.stdout.decode("utf-8", "backslashreplace")
        assert done.returncode == 0, f"{script.name} ended with {done.returncode}\n{output}\n{done.stderr.decode('utf-8', 'replace')}"
        return output


INTERPRETERS = [Interpreter("lua5.4", "5.4"), Interpreter("luajit", "5.1")]
every_interpreter = pytest.mark.parametrize("lua", INTERPRETERS, ids=lambda one: one.name)
