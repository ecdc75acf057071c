"""For the tests of the command: the fake beside them, servers, real traces."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

sys.path.insert(0, str(HERE))  # cli_fake, also for the programs that the tests start


class Server:
    """A redis-server on a free port of the loopback, in a folder of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}"
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        # A sanitizer that was preloaded is for us, not for the server.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        assert any("Ready to accept connections" in line for line in self._process.stdout)

    def kill(self) -> None:
        """Ends it at once; twice is harmless."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def doomed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the test may kill."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (./dev deps)")
    server = Server(program, tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """The folder of real traces, which are no part of the project."""
    folder = Path(os.environ.get("COFFER_SHARED", ROOT.parent / "shared")) / "data" / "traces"
    if not folder.is_dir():
        pytest.skip("needs the real traces of ../shared/data (or COFFER_SHARED)")
    return folder


@pytest.fixture
def redis_server(doomed_server: Server) -> Server:
    return doomed_server
