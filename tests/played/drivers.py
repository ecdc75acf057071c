"""The drivers: programs that play operations, and speak the lines that player.c describes."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lua"))

from interpreters import INTERPRETERS, MODULES  # noqa: E402
from server import Wrong  # noqa: E402

HERE = Path(__file__).parent
PATIENCE_S = 5.0
BEGINNING_US = 1_000_000_000
NOTICED_S = 0.2  # more than enough for who waits to notice that the clock was moved


class Driver:
    """A player in a process of its own."""

    name: str
    piece = 0  # replies come in pieces of so many bytes; 0: whole
    passes_by = True  # somebody has to call for what is due without a caller
    has_order = True  # of what one operation sends
    switches = 1  # that it takes to notice what time it is

    def __init__(self) -> None:
        self._now_us = BEGINNING_US
        self.ended: dict[str, dict[str, str]] = {}
        self.loading: set[str] = set()
        self.threads: dict[str, int] = {}  # that run an operation
        self._unread = b""
        self.begin_process()
        self.tell_time(self._now_us)
        self._since_us = int(time.time() * 1_000_000) - BEGINNING_US

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be had here."""
        return None

    def begin_process(self) -> None:
        self.process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE, **self.settings())
        assert self.process.stdin is not None and self.process.stdout is not None
        self.lines_in, self.lines_out = self.process.stdin.fileno(), self.process.stdout.fileno()

    def command(self) -> list[str]:
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        return {}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    # ---- lines ----

    def send(self, *words: str) -> None:
        os.write(self.lines_in, " ".join(words).encode() + b"\n")

    def ask(self, *words: str) -> list[str]:
        """The words of its answer."""
        self.send(*words)
        return self.answer()

    def answer(self) -> list[str]:
        end = time.monotonic() + PATIENCE_S
        while (line := self._line(end - time.monotonic())) is not None:
            if not self._is_event(line):
                return line
        raise AssertionError(f"the player of {self.name} does not answer")

    def hear(self) -> None:
        """What has happened to operations."""
        while (line := self._line(0)) is not None:
            assert self._is_event(line), line

    def _line(self, wait_s: float) -> list[str] | None:
        while b"\n" not in self._unread:
            if not select.select([self.lines_out], [], [], max(wait_s, 0))[0]:
                return None
            got = os.read(self.lines_out, 1 << 16)
            assert got, f"the player of {self.name} ended: {self.process.wait()}"
            self._unread += got
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode().split()

    def _is_event(self, words: list[str]) -> bool:
        if words[0] == "load":
            self.loading.add(words[1])
        elif words[0] == "end":
            self.ended[words[1]] = {"status": words[2], **dict(word.split("=", 1) for word in words[3:])}
            self.threads.pop(words[1], None)
            self.loading.discard(words[1])
        return words[0] in ("load", "end")

    # ---- operations ----

    def begin(self, name: str, kind: str, *words: str) -> None:
        self.ended.pop(name, None)
        thread = int(self.ask("op", name, kind, *words)[1]) or self.process.pid
        if name not in self.ended:
            self.threads[name] = thread

    def is_running(self, name: str) -> bool:
        return name in self.threads

    def free(self, name: str) -> None:
        self.ask("free", name)
        self.threads.pop(name, None)
        self.loading.discard(name)

    def tell_loader(self, name: str, verb: str, *words: str) -> None:
        self.loading.discard(name)
        self.ask(verb, name, *words)

    def pass_by(self) -> None:
        self.ask("pass")

    def tell_time(self, now_us: int) -> None:
        self.ask("clock", str(now_us))

    # ---- time ----

    def move(self, ms: int) -> None:
        """Time passes, and whoever waits has noticed."""
        self._now_us += ms * 1000
        self.hear()
        before = self._waiting()
        self.tell_time(self._now_us)
        self._await_switches(before, self.switches)

    def _waiting(self) -> dict[int, int]:
        return {thread: self._woken(thread) for name, thread in self.threads.items() if name not in self.loading}

    def _await_switches(self, before: dict[int, int], more: int) -> None:
        """Until each of them has been switched to so many times more, or is gone."""
        end = time.monotonic() + NOTICED_S
        while time.monotonic() < end and any(0 < self._woken(thread) < count + more for thread, count in before.items()):
            time.sleep(0.0005)
            self.hear()
            before = {thread: count for thread, count in before.items() if thread in self.threads.values()}

    def look_again(self) -> None:
        """Whoever waits has looked whether there is anything to do: what was due in passing is done first, and may have been waited for."""
        self.hear()
        self._await_switches(self._waiting(), 2)

    def unix_us(self) -> int:
        """What time it is: a moment later than the driver believes before a server has told it."""
        return self._since_us + self._now_us

    def _status(self, thread: int) -> str:
        try:
            return Path(f"/proc/{self.process.pid}/task/{thread}/status").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def _woken(self, thread: int) -> int:
        """How often it was switched to; 0 once it is gone."""
        return sum(int(line.split()[1]) for line in self._status(thread).splitlines() if "ctxt_switches" in line)

    def is_asleep(self) -> bool:
        """Whether each of its threads waits for something, and has done so for a moment."""
        first = self._sleepers()
        return first is not None and first == self._sleepers()

    def _sleepers(self) -> dict[str, int] | None:
        found = {}
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            status = self._status(int(thread))
            if status and "\nState:\tS" not in status:
                return None
            found[thread] = self._woken(int(thread))
        return found


class Asyncio(Driver):
    """Everything happens in one thread, but for the reading of lines; and by itself."""

    name = "asyncio"
    piece = 3
    passes_by = False
    has_order = False
    switches = 3  # to hear of the time, to wake the loop, and when its timer ends

    def command(self) -> list[str]:
        return [sys.executable, "player.py", "aio"]

    def _waiting(self) -> dict[int, int]:
        return {self.process.pid: self._woken(self.process.pid)}

    def _await_switches(self, before: dict[int, int], more: int) -> None:
        end = time.monotonic() + NOTICED_S
        while time.monotonic() < end and any(self._woken(thread) < count + more for thread, count in before.items()):
            time.sleep(0.0005)


class Lua(Driver):
    """Everything happens in one thread, but for the clock."""

    has_order = False

    program: str
    version: str

    @classmethod
    def missing(cls) -> str | None:
        is_built = (MODULES / cls.version / "ticking.so").exists()
        return None if shutil.which(cls.program) and is_built else f"{cls.program} is not installed, or its module not built (./dev build)"

    def __init__(self) -> None:
        read, self._clock = os.pipe()
        self._read = read
        super().__init__()
        os.close(read)

    def command(self) -> list[str]:
        return [shutil.which(self.program) or self.program, "player.lua"]

    def settings(self) -> dict[str, Any]:
        interpreter = next(one for one in INTERPRETERS if one.name == self.program)
        return {"pass_fds": [self._read], "env": interpreter.environment() | {"PLAYED_CLOCK": f"/dev/fd/{self._read}"}}

    def begin(self, name: str, kind: str, *words: str) -> None:
        self.hear()
        if any(name not in self.loading for name in self.threads):
            raise Wrong("it is inside of a call")
        super().begin(name, kind, *words)

    def tell_time(self, now_us: int) -> None:
        os.write(self._clock, f"{now_us}\n".encode())
        self.answer()

    def pass_by(self) -> None:
        if all(name in self.loading for name in self.threads):
            super().pass_by()

    def stop(self) -> None:
        super().stop()
        os.close(self._clock)


class Lua54(Lua):
    name = "Lua 5.4"
    program, version = "lua5.4", "5.4"


class LuaJIT(Lua):
    name = "LuaJIT"
    program, version = "luajit", "5.1"
    piece = 1


BUILD = Path(os.environ.get("COFFER_PLAYED_BUILD", ROOT / "build" / "release"))
PLAYER = BUILD / "tests" / "played" / "played_player"


class C(Driver):
    name = "C"

    @classmethod
    def missing(cls) -> str | None:
        return None if PLAYER.exists() else "the player is not built (./dev build)"

    def command(self) -> list[str]:
        return [str(PLAYER)]


class Python(Driver):
    name = "Python"
    piece = 5

    def command(self) -> list[str]:
        return [sys.executable, "player.py"]


NGINX_MODULES = Path("/usr/lib/nginx/modules")


class Cosockets(Asyncio):
    """An nginx of one process: its lines go over the connection of a request."""

    name = "cosockets"
    piece = 0
    switches = 1

    @staticmethod
    def program() -> str | None:
        return shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")

    @classmethod
    def missing(cls) -> str | None:
        if cls.program() is None or not (NGINX_MODULES / "ngx_http_lua_module.so").exists():
            return "nginx with its Lua module is not installed (./dev deps --all)"
        return None if (MODULES / "5.1" / "coffer" / "core.so").exists() else "the module for LuaJIT is not built (./dev build)"

    def begin_process(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="played")
        config = Path(self._folder.name, "nginx.conf")
        text = (HERE / "nginx.conf").read_text(encoding="utf-8")
        config.write_text(text.format(folder=self._folder.name, here=HERE, lua=MODULES / "5.1", modules=NGINX_MODULES), encoding="utf-8")
        command = [str(self.program()), "-p", self._folder.name, "-e", "error.log", "-c", str(config)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._lines = self._request()
        self.lines_in = self.lines_out = self._lines.fileno()

    def _request(self) -> socket.socket:
        end = time.monotonic() + PATIENCE_S
        while True:
            lines = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lines.connect(f"{self._folder.name}/player.sock")
            except OSError:
                lines.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
                continue
            lines.sendall(b"GET / HTTP/1.1\r\nHost: player\r\n\r\n")
            return lines

    def stop(self) -> None:
        self._lines.close()
        super().stop()
        self._folder.cleanup()


DRIVERS: tuple[type[Driver], ...] = (C, Python, Asyncio, Lua54, LuaJIT, Cosockets)
