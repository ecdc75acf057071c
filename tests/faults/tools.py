"""What the fault suites are made of: the proxy, the oracle, the load program, and a server that can be killed and started again."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import pytest

from support import Resp, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("COFFER_FAULTS_BUILD", ROOT / "build" / "release"))
SMALL_MINUTES = 0.0  # ./dev test faults; ./dev soak says how many
SEED = int(os.environ.get("COFFER_FAULTS_SEED", "1"))
ALL_ON_THE_WIRE = "breaker=false"  # otherwise most calls are refused at once, and reach no fault
SEALED = "seal_key=" + urllib.parse.quote(base64.b64encode(bytes(range(32))).decode(), safe="")
Figure = int | float | str
Tell = Callable[..., None]  # tell(outcome, proxy, name=figure, ...): a line of figures


def program(name: str) -> str:
    path = BUILD / "tests" / "faults" / name
    if not path.exists():
        pytest.fail(f"{path} was not built")
    return str(path)


def seconds(small: float, share: float) -> float:
    """How long a part of a suite runs: `small`, or its share of the minutes that ./dev soak was given."""
    minutes = float(os.environ.get("COFFER_SOAK_MINUTES", SMALL_MINUTES))
    return max(small, minutes * 60 * share)


def a_little() -> None:
    """The period of a suite that does something again and again while a load runs."""
    time.sleep(0.02)


def now_us() -> int:
    return time.monotonic_ns() // 1000


class Tool:
    """A program that takes commands on its input and ends with it."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self) -> Tool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def end(self) -> list[str]:
        """Ends it; what it had still to say."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        rest = [] if self.output.closed else self.output.read().splitlines()
        self.output.close()
        return rest


class Proxy(Tool):
    """fault_proxy between callers and `backend`, a port or a path; `listen` is a port (0: a free one) or a path."""

    def __init__(self, backend: int | str, listen: int | str = 0) -> None:
        super().__init__(program("fault_proxy"), str(listen), str(backend), str(SEED))
        self.port = int(self.output.readline().split()[1])
        self.url = f"unix://{listen}" if isinstance(listen, str) else f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Proxy:
        return self

    def say(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.output.readline().rstrip("\n")
        assert answer and answer != "no", command
        return answer

    def set(self, direction: str, toxic: str, **numbers: int) -> None:
        self.say(" ".join(["set", direction, toxic, *(f"{name}={value}" for name, value in numbers.items())]))

    def clear(self) -> None:
        self.say("clear up")
        self.say("clear down")

    def counts(self) -> dict[str, int]:
        return {name: int(value) for name, value in (pair.split("=") for pair in self.say("counts").split())}

    def faults(self) -> int:
        """How many it has injected."""
        counts = self.counts()
        calm = {"connections", "refused", "open", "up_bytes", "down_bytes"}
        return sum(value for name, value in counts.items() if name not in calm)


class Server:
    """A redis-server that can be killed, stopped, and started again at the same place."""

    def __init__(self, folder: Path, certificates: Path | None = None, extra: Sequence[str] = ()) -> None:
        self.certificates = certificates
        self.extra = extra
        self.tls_port = free_port() if certificates is not None else 0
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.folder = folder
        self.path = str(folder / "redis.sock")
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.unix_url = f"unix://{self.path}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self.wait()

    def start(self) -> None:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path, "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no", "--tcp-backlog", "128"]
        if self.certificates is not None:
            command += ["--tls-port", str(self.tls_port), "--tls-auth-clients", "no"]
            files = {"cert": "right.pem", "key": "server.key", "ca-cert": "ca.pem"}
            command += [word for name, file in files.items() for word in (f"--tls-{name}-file", str(self.certificates / file))]
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        command += self.extra
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    def wait(self) -> None:
        def answers() -> bool:
            with contextlib.suppress(OSError):
                client = Resp(self.path)
                client.close()
                return True
            return False

        wait_until(answers, 20)

    def tls_url(self, port: int) -> str:
        """Of the server, or of a proxy before its TLS port."""
        return f"rediss://127.0.0.1:{port}/0?tls_ca_file={self.certificates}/ca.pem"

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def make_certificates(folder: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder.mkdir()
    subprocess.run(["sh", str(ROOT / "tests" / "certificates.sh"), str(folder)], check=True, capture_output=True, timeout=60)
    return folder


@contextlib.contextmanager
def server_of_its_own(tls: bool = False) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="coffer-") as folder:
        running = Server(Path(folder), make_certificates(Path(folder) / "tls") if tls else None)
        try:
            yield running
        finally:
            running.kill()


@dataclass
class Outcome:
    """What fault_load said."""

    figures: dict[str, int]
    errors: dict[str, int]
    gaps: list[tuple[int, int]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> int:
        return self.figures[name]


class Load:
    """fault_load, running; `outcome` waits for its end."""

    def __init__(self, url: str, **settings: int | str) -> None:
        settings.setdefault("seed", SEED)
        words = [f"{name}={value}" for name, value in settings.items()]
        self.patience_s = int(settings.get("ms", 5000)) / 1000 + 60
        self.process = subprocess.Popen([program("fault_load"), f"url={url}", *words], stdout=subprocess.PIPE, text=True)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Ends it before its time."""
        self.process.terminate()

    def outcome(self) -> Outcome:
        try:
            output, _ = self.process.communicate(timeout=self.patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail("fault_load itself does not end")
        lines = output.splitlines()
        assert lines and lines[-1].startswith("{"), f"fault_load ended with {self.process.returncode}: {lines[-3:]}"
        figures = json.loads(lines[-1])
        gaps = [(int(line.split()[1]), int(line.split()[2])) for line in lines if line.startswith("gap ")]
        told = [line for line in lines[:-1] if not line.startswith("gap ")]
        return Outcome({name: value for name, value in figures.items() if name != "errors"}, figures["errors"], gaps, told)


def load(url: str, **settings: int | str) -> Outcome:
    return Load(url, **settings).outcome()


class Oracle(Tool):
    """fault_oracle; `ups` are the moments at which the server served again. With a question of its own it begins as down."""

    def __init__(self, address: int | str, question: str = "", answer: str = "") -> None:
        words = [question, answer] if question else []
        super().__init__(program("fault_oracle"), str(address), *words)
        assert question or self.output.readline().startswith("up ")

    def __enter__(self) -> Oracle:
        return self

    def next_up_us(self) -> int:
        """Waits until it has seen the server go and come back."""
        for line in self.output:
            word, at_us = line.split()
            if word == "up":
                return int(at_us)
        raise AssertionError("the oracle has ended")


def recovery_us(outcome: Outcome, up_us: int) -> int:
    """How much later than the oracle the first operation was answered."""
    return max((end - up_us for begin, end in outcome.gaps if begin <= up_us <= end), default=0)


def assert_right(outcome: Outcome) -> None:
    """No value of another key, none torn, no caller that does not come back, no link lost."""
    assert outcome["wrong"] == 0, outcome.told
    assert outcome["hangs"] == 0, outcome.told
    assert outcome["wrong_counters"] == 0, outcome.told
    assert outcome["links_in_use"] == 0, outcome.figures


SLACK_MS, SLACK_P999_MS = 50, 20


def in_time(outcome: Outcome) -> bool:
    """P5: how late calls were is judged over how late this machine wakes a thread that only sleeps."""
    max_ms = (outcome["overshoot_max_us"] - 2 * outcome["control_max_us"]) / 1000
    p999_ms = (outcome["overshoot_p999_us"] - 2 * outcome["control_p999_us"]) / 1000
    return max_ms <= SLACK_MS and p999_ms <= SLACK_P999_MS
