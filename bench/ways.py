"""Runs one way of getting, in a process of its own. A way is named LANGUAGE/MODE: c/rawget, python/redis-py, luajit/coffer-mem.

Whatever keeps a way from running is a Gap, which says why.
"""

from __future__ import annotations

import compileall
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from machine import pin

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build/bench/bench"
PEERS = ROOT / "build/peers"
PEER_PACKAGES = ["redis", "hiredis", "valkey-glide-sync", "valkey-glide", "cachetools", "diskcache"]
TIMEOUT_S = 300

LUAS = {"lua5.4": ("5.4", "LUA_CPATH_5_4"), "luajit": ("5.1", "LUA_CPATH")}
C_PROGRAMS = {"c": "bench_get", "c-unobserved": "bench_get_unobserved"}
THREADS_PROGRAM = "bench_threads"

# The C functions that get once, inside of which instructions are counted; what is not named here is get_MODE.
C_FUNCTIONS = {
    "rawget": "get_raw",
    "coffer-mem": "get_coffer",
    "coffer-near": "get_coffer",
    "coffer-near-shared": "get_coffer",
    "coffer-envelope": "get_coffer",
    "coffer-json-sealed": "get_coffer_json",
    "coffer-json-packed": "get_coffer_json",
}


class Gap(RuntimeError):
    """Why a figure cannot be had."""


@cache
def peer_python() -> str:
    """The Python of an environment that holds the peers, made once from the registry."""
    python, there = PEERS / "bin/python", PEERS / "packages.txt"
    if not python.exists() or not there.exists() or there.read_text().split() != PEER_PACKAGES:
        print("bench: installing the peers", ", ".join(PEER_PACKAGES), "into build/peers", file=sys.stderr)
        started([sys.executable, "-m", "venv", str(PEERS)], dict(os.environ))
        for package in PEER_PACKAGES:
            try:
                started([str(python), "-m", "pip", "install", "-q", package], dict(os.environ))
            except Gap:
                print(f"bench: {package} cannot be had: its rows are a gap", file=sys.stderr)
        there.write_text("\n".join(PEER_PACKAGES))
    return str(python)


def python_of(mode: str) -> str:
    return sys.executable if mode.startswith(("coffer", "empty")) else peer_python()


def command_of(way: str, port: int, count: int) -> tuple[list[str], dict[str, str]]:
    """The command of a way, and its environment."""
    language, mode = way.split("/")
    environment = dict(os.environ)
    words = [mode, str(port), str(count)]
    if language == "threads":  # threads/coffer-32
        client, threads = mode.split("-")
        return [str(PROGRAMS / THREADS_PROGRAM), client, str(port), str(max(count // int(threads), 1)), threads], environment
    if language == "asyncio":  # asyncio/coffer-100
        client, tasks = mode.rsplit("-", 1)
        return [python_of(client), str(ROOT / "bench/python_async.py"), client, str(port), str(count), tasks], environment
    if language == "nginx":  # nginx/coffer-50
        client, threads = mode.rsplit("-", 1)
        return [sys.executable, str(ROOT / "bench/nginx_get.py"), client, str(port), str(count), threads], environment
    if language in C_PROGRAMS:
        return [str(PROGRAMS / C_PROGRAMS[language]), *words], environment
    if language == "python":
        return [python_of(mode), str(ROOT / "bench/python_get.py"), *words], environment
    version, variable = LUAS[language]
    environment[variable] = f"{PROGRAMS}/lua/{version}/?.so;{environment.get(variable, ';')}"
    return [language, str(ROOT / "bench/lua_get.lua"), *words], environment


def started(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError as fault:
        raise Gap(f"{Path(str(fault.filename)).name} is not there") from fault
    except subprocess.TimeoutExpired as fault:
        raise Gap(f"not done after {TIMEOUT_S} s") from fault
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise Gap(last.removeprefix("taskset: "))
    return done


def run_once(way: str, port: int, count: int, core: int | None) -> dict[str, float]:
    """One round of a way: what it printed. `core` None: on all cores."""
    command, environment = command_of(way, port, count)
    done = started([*([] if core is None else pin(core)), *command], environment)
    try:
        figures: dict[str, float] = json.loads(done.stdout)
    except ValueError as fault:
        raise Gap(f"{way} printed no figures") from fault
    return figures


@contextmanager
def company(kind: str | None, port: int, core: int) -> Iterator[None]:
    """A process that reads or writes copies in the same shared memory meanwhile; None: nobody."""
    if kind is None:
        yield
        return
    command = [*pin(core), str(PROGRAMS / C_PROGRAMS["c"]), kind, str(port)]
    if not Path(command[-3]).exists():
        raise Gap(f"{Path(command[-3]).name} is not there")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise Gap(f"{kind} does not run")
            yield
        finally:
            process.kill()


# ---- instructions: what one more GET costs is the difference of a long and a short run

SHORT, LONG = 192, 2240  # both are whole batches of 64
SHORT_OF_TASKS, LONG_OF_TASKS = 200, 2200  # whole rounds of 100 tasks


def c_function(mode: str) -> str:
    return C_FUNCTIONS.get(mode, "get_" + mode.replace("-", "_"))


def collected(way: str, port: int, count: int) -> int:
    """User instructions by callgrind: in C of the function that gets once and all that it calls; elsewhere of the whole process."""
    language, mode = way.split("/")
    command, environment = command_of(way, port, count)
    options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    if language in C_PROGRAMS:
        options += [f"--toggle-collect={c_function(mode)}{suffix}" for suffix in ("", ".lto_priv.0")]  # the linker may rename it
    else:
        command.append("plain")
        environment["PYTHONHASHSEED"] = "0"
    done = started(["valgrind", *options, *command], environment)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise Gap("valgrind gave no count")
    if found.group(1) == "0":
        raise Gap(f"valgrind saw nothing of {way}")
    return int(found.group(1))


@cache
def instructions(way: str, port: int) -> float:
    """User instructions of one GET. Where a whole process is counted, the measuring loop is taken out again."""
    language, mode = way.split("/")
    short, long = (SHORT_OF_TASKS, LONG_OF_TASKS) if language == "asyncio" else (SHORT, LONG)
    one_get = (collected(way, port, long) - collected(way, port, short)) / (long - short)
    if language in C_PROGRAMS or mode.startswith("empty"):
        return one_get
    return one_get - instructions(f"{language}/empty-{mode.rsplit('-', 1)[1]}" if language == "asyncio" else f"{language}/empty", port)


# ---- starts


def compile_ours() -> None:
    """Bytecode beside our package's sources, as an installed one has, and the peers: without, every start would compile them."""
    found = importlib.util.find_spec("coffer")
    if found is None or not found.submodule_search_locations:
        raise Gap("coffer is not built")
    compileall.compile_dir(found.submodule_search_locations[0], quiet=2)


def start_ms(command: list[str], core: int) -> float:
    """How long a process lives that does one thing and ends."""
    words = [*pin(core), *command]
    began = time.perf_counter_ns()
    started(words, dict(os.environ))
    return (time.perf_counter_ns() - began) / 1e6
