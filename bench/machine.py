"""What the figures are taken on: a redis-server of our own, and the cores that it and the clients are pinned to."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

SERVER_CORE, CLIENT_CORE = 0, 1


def pin(core: int) -> list[str]:
    """The words that pin a command to a core, where there are at least two and taskset is there."""
    usable = len(os.sched_getaffinity(0))
    return ["taskset", "-c", str(core)] if usable > 1 and shutil.which("taskset") else []


class Server:
    """A redis-server of our own on a free port of loopback, pinned to the first core."""

    def __enter__(self) -> Server:
        if shutil.which("redis-server") is None:
            raise SystemExit("bench: redis-server is not installed (./dev deps)")
        self.folder = tempfile.mkdtemp(prefix="coffer-bench-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.process = subprocess.Popen([*pin(SERVER_CORE), "redis-server", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self.is_up():
            if time.monotonic() > deadline:
                self.__exit__()
                raise SystemExit("bench: redis-server did not start")
            time.sleep(0.01)
        return self

    def is_up(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                words = [b"bench:_:key:%d %s" % (number, b"x" * 100) for number in range(100)]
                link.sendall(b"MSET " + b" ".join(words) + b"\r\n")
                return link.recv(5) == b"+OK\r\n"
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
        for shared in Path("/dev/shm").glob(f"coffer-bench-{self.port}.*"):  # what the ways of T9 shared: nobody else takes it away
            shared.unlink(missing_ok=True)
