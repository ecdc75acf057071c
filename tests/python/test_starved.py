"""Every allocation failed, once and for good, in every operation: tests/python/starving.py, in a process of its own so that a crash is a
failed test."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import starving
from support import RedisServer

HERE = Path(__file__).parent
TIMEOUT_S = 300
SOURCES = [HERE.parent / "c" / "support" / "starve.c", HERE / "starve_python.c"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("starve") / "starve.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    include = [f"-I{SOURCES[0].parent}", f"-I{sysconfig.get_path('include')}"]
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # a sanitizer is not for the compiler
    command = [*compiler, "-std=c11", "-O1", "-g", "-shared", "-fPIC", *include, *map(str, SOURCES), "-o", str(made)]
    subprocess.run(command, check=True, env=environment)
    return made


def starve(library: Path, url: str, whose: str) -> None:
    command = [sys.executable, "-X", "faulthandler", str(HERE / "starving.py"), str(library), url, whose]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-4000:]}"
    said = re.fullmatch(r"(\d+) allocations failed once, (\d+) allocations failed for good\n", done.stdout)
    assert said is not None and min(int(count) for count in said.groups()) > 400, done.stdout


def test_every_public_name_is_starved() -> None:
    assert not starving.missing()


@pytest.mark.parametrize("whose", ["core", "libraries", "python"])
def test_want_of_memory_is_told_and_loses_nothing(library: Path, whose: str) -> None:
    starve(library, "mem://", whose)


@pytest.mark.parametrize("whose", ["core", "libraries", "python"])
def test_want_of_memory_beside_a_server_is_told_and_loses_nothing(library: Path, whose: str, server: RedisServer) -> None:
    starve(library, server.url, whose)
