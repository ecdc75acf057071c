"""What the tests share: a redis-server of their own, a client of a few lines, and a server that answers as it is told."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

Command = list[bytes]


class Resp:
    """A client that knows just enough of RESP2 to look at a server from outside."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def lines(self) -> Iterator[bytes]:
        """What comes after MONITOR, until hang_up."""
        while line := self._file.readline():
            yield line

    def hang_up(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)

    def call(self, *words: str | bytes | int) -> object:
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        framed = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(b"*%d\r\n%s" % (len(parts), framed))
        return self._reply()

    def get(self, key: str) -> bytes:
        value = self.call("GET", key)
        assert isinstance(value, bytes)
        return value

    def _reply(self) -> object:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server hung up")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest


class RedisServer:
    """A redis-server on a free port and a unix socket, in a temporary folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.path = str(folder / "redis.sock")
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.unix_url = f"unix://{self.path}"
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path]
        command += ["--dir", str(folder), "--save", "", "--appendonly", "no", *arguments]
        # a sanitizer that was preloaded is for us, not for the server
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        wait_until(self._is_answering)

    def _is_answering(self) -> bool:
        assert self.process.poll() is None, "redis-server ended at its start"
        try:
            client = self.client()
        except OSError:
            return False
        client.close()
        return True

    def client(self) -> Resp:
        return Resp(self.path)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def has_redis() -> bool:
    return shutil.which("redis-server") is not None


@contextlib.contextmanager
def redis_server(*arguments: str) -> Iterator[RedisServer]:
    # a short path: unix sockets have at most 107 bytes
    with tempfile.TemporaryDirectory(prefix="coffer-") as folder:
        server = RedisServer(Path(folder), *arguments)
        try:
            yield server
        finally:
            server.stop()


class ScriptedServer:
    """A TCP server that answers each command with what `answer` says (None: never). The handshake is answered as an old server does."""

    HANDSHAKE: ClassVar[dict[bytes, bytes]] = {
        b"HELLO": b"-ERR unknown command 'HELLO'\r\n",
        b"SELECT": b"+OK\r\n",
        b"AUTH": b"+OK\r\n",
        b"CLIENT": b"+OK\r\n",
        b"TIME": b"-NOPERM\r\n",
    }

    def __init__(self, answer: Callable[[Command], bytes | None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            while header := lines.readline():
                command = [self._word(lines.readline(), lines.read) for _ in range(int(header[1:]))]
                reply = self.HANDSHAKE.get(command[0].upper()) or self._answer(command)
                if reply is not None:
                    connection.sendall(reply)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _word(header: bytes, read: Callable[[int], bytes]) -> bytes:
        return read(int(header[1:]) + 2)[:-2]


def make_certificates(folder: Path) -> Path:
    """Those of tests/certificates.sh, in that folder."""
    script = Path(__file__).resolve().parent.parent / "certificates.sh"
    subprocess.run(["sh", str(script), str(folder)], check=True, capture_output=True)
    return folder


def name_of(value: object) -> str:
    """For the name of a test: what it is in ASCII, the same in every process."""
    return re.sub(" at 0x[0-9a-f]+", "", ascii(value))


def free_port() -> int:
    """Below those that the kernel gives to outgoing connections, which might take it meanwhile. So is a cluster's bus, 10000 above."""
    while True:
        port = random.randrange(10000, 22000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    """Until a condition holds, at most so long."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def together(count: int, work: Callable[[int], object]) -> list[object]:
    """Runs work(0) ... work(count - 1) on as many threads, which begin at once; what each returned or raised."""
    start = threading.Barrier(count)
    results: list[object] = [None] * count

    def run(index: int) -> None:
        start.wait(10)
        try:
            results[index] = work(index)
        except BaseException as fault:
            results[index] = fault

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a thread hangs"
    return results


def connected(raw: Resp) -> int:
    """How many of our connections a server has."""
    clients = raw.call("CLIENT", "LIST")
    assert isinstance(clients, bytes)
    return clients.count(b"name=coffer ")
