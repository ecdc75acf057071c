"""P8: processes of a shared near cache are killed and stopped at any moment (F22)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tools import SEED, Tell, a_little, program, seconds

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
    def __init__(self, name: str) -> None:
        self.name = name
        self.all = [self.start() for _ in range(WORKERS)]
        self.random = random.Random(SEED)
        self.killed = self.stopped = 0
        self.said: list[str] = []

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen([program("fault_near"), self.name, "worker"], stdout=subprocess.PIPE, text=True)

    def end(self, worker: subprocess.Popen[str]) -> None:
        """What it has said, if anything, was wrong."""
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        self.said += worker.communicate(timeout=10)[0].splitlines()

    def kill_one(self) -> None:
        number = self.random.randrange(WORKERS)
        self.end(self.all[number])
        self.all[number] = self.start()
        self.killed += 1

    def stop_one(self) -> None:
        worker = self.random.choice(self.all)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(*STOPPED_S))
        worker.send_signal(signal.SIGCONT)
        self.stopped += 1


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_the_others_see_no_wrong_value_and_do_not_wait(fault: str, name: str, tell: Tell) -> None:
    ms = int(seconds(5, 0.05) * 1000)
    workers = Workers(name)
    judge = subprocess.Popen([program("fault_near"), name, "judge", str(ms)], stdout=subprocess.PIPE, text=True)
    while judge.poll() is None:
        workers.kill_one() if fault == "kill" else workers.stop_one()
        a_little()
    for worker in workers.all:
        workers.end(worker)
    said = judge.communicate(timeout=10)[0].splitlines()
    assert judge.returncode == 0, said
    assert workers.said == []
    figures = json.loads(said[-1])
    tell(None, None, killed=workers.killed, stopped=workers.stopped, **figures)
    assert workers.killed + workers.stopped > ms / 1000
    assert figures["hits"] > 1000
    assert figures["slowest_us"] <= 10_000 + 2 * figures["control_us"]
    assert figures["capacity"] > figures["capacity_fresh"] * 0.9
