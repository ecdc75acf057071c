"""P8: processes of a shared near cache are killed and stopped at any moment (F22)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import ROOT, SEED, Load, Server, Tell, a_little, assert_right, program, seconds

HERE = Path(__file__).resolve().parent
WORKERS = 4
STOPPED_S = (0.001, 0.05)


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"coffer-faults-{os.getpid()}-{time.monotonic_ns()}"
    yield chosen
    for file in os.listdir("/dev/shm"):
        if file.startswith(chosen):
            os.unlink(f"/dev/shm/{file}")


class Workers:
    """Processes that say nothing but what is wrong, and are started again where they are killed."""

    def __init__(self, commands: list[list[str]], environment: dict[str, str] | None = None) -> None:
        self.commands = commands
        self.environment = environment
        self.all = [self.start(number) for number in range(len(commands))]
        self.random = random.Random(SEED)
        self.killed = self.stopped = 0
        self.said: list[str] = []

    def start(self, number: int) -> subprocess.Popen[str]:
        return subprocess.Popen(self.commands[number], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment)

    def end(self, worker: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        self.said += worker.communicate(timeout=10)[0].splitlines()

    def kill_one(self) -> None:
        number = self.random.randrange(len(self.all))
        self.end(self.all[number])
        self.all[number] = self.start(number)
        self.killed += 1

    def stop_one(self) -> None:
        worker = self.random.choice(self.all)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(*STOPPED_S))
        worker.send_signal(signal.SIGCONT)
        self.stopped += 1

    def end_all(self) -> None:
        for worker in self.all:
            self.end(worker)


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_the_others_see_no_wrong_value_and_do_not_wait(fault: str, name: str, tell: Tell) -> None:
    ms = int(seconds(5, 0.05) * 1000)
    workers = Workers([[program("fault_near"), name, "worker"]] * WORKERS)
    judge = subprocess.Popen([program("fault_near"), name, "judge", str(ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not select.select([judge.stdout], [], [], 0)[0]:
        workers.kill_one() if fault == "kill" else workers.stop_one()
        a_little()
    workers.end_all()  # who dies while the capacity is counted takes what was put so far with it
    said = judge.communicate(timeout=10)[0].splitlines()
    assert judge.returncode == 0, said
    assert workers.said == []
    figures = json.loads(said[-1])
    tell(None, None, killed=workers.killed, stopped=workers.stopped, **figures)
    assert workers.killed + workers.stopped > ms / 1000
    assert figures["hits"] > 1000
    assert figures["slowest_us"] <= 10_000 + 2 * figures["control_us"]
    assert figures["capacity"] > figures["capacity_fresh"] * 0.9


def commands_over(url: str) -> list[list[str]]:
    """Loads in C, whose output is a report of their own, and the same few keys in Python and in Lua."""
    commands = [[sys.executable, str(HERE / "near.py"), url, str(number)] for number in range(2)]
    if shutil.which("luajit") is not None and (ROOT / "build" / "lua" / "5.1").exists():
        commands += [["luajit", str(HERE / "near.lua"), url, str(number)] for number in range(2, 4)]
    return commands


def test_programs_in_c_python_and_lua_that_are_killed_and_stopped(name: str, server: Server, tell: Tell) -> None:
    """Each reads and writes a real server through the near cache that all of them share; whoever leads may be the one that is killed."""
    ms = int(seconds(6, 0.05) * 1000)
    url = f"{server.url}?near=shared&near_name={name}&near_bytes=4MiB&timeout=5s"
    paths = {"LUA_PATH": f"{ROOT}/build/lua/5.1/?.lua;;", "LUA_CPATH": f"{ROOT}/build/lua/5.1/?.so;;"}
    workers = Workers(commands_over(url), os.environ | paths)
    judge = Load(url, check_url=server.url, threads=2, ms=ms, timeout_ms=5000, keys=500, write_permille=100)
    while judge.is_running:
        workers.kill_one() if workers.random.random() < 0.3 else workers.stop_one()
        time.sleep(0.1)
    workers.end_all()
    outcome = judge.outcome()
    tell(outcome, None, killed=workers.killed, stopped=workers.stopped)
    assert workers.said == []
    assert_right(outcome)
    assert outcome["operations"] > 1000
    assert any(file.startswith(name) for file in os.listdir("/dev/shm")), "they did share"
