"""A real nginx with workers: it runs the pieces of Lua that tests send, in any phase (harness.lua), and its log is read at its end."""

from __future__ import annotations

import contextlib
import getpass
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from support import free_port, wait_until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LUA = Path(os.environ.get("COFFER_LUA_FOLDER", ROOT / "build" / "lua")) / "5.1"
NGINX_MODULES = Path("/usr/lib/nginx/modules")

YIELDING = ("rewrite", "access", "content", "timer", "ssl_certificate")
RUN_ONCE = ("init", "init_worker", "exit_worker")
ANSWER_IS_KEPT = ("header_filter", "body_filter", "log", "timer", "balancer", "ssl_certificate")

# Nothing of this may ever stand in the log.
FAULTS = re.compile(
    r"\[(?:alert|crit|emerg)\]|attempt to yield|runtime error|stack traceback|entry thread aborted|exited on signal|panic|\
no request found|bad request|socket busy|coffer: a fault"
)

# But for these: a timer that is begun while a worker exits (a request of its last ones connects) has the Lua module make anew what
# watches over its timers, a connection without a socket (-2), and nginx tells of it at the end.
FORGIVEN = (r"open socket #-2 left in connection", r"\[alert\] \d+#\d+: aborting$")

TLS = """
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name _;
        ssl_certificate {folder}/right.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_certificate_by_lua_block {{ harness.keep_by_name() }}
        location / {{ return 204; }}
    }}
"""


class LuaError(Exception):
    """What a piece of Lua raised."""


def program() -> str:
    """The path of nginx; skips the test where it cannot run our module."""
    found = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if found is None or not (NGINX_MODULES / "ngx_http_lua_module.so").exists():
        pytest.skip("nginx with its Lua module is not installed (./dev deps --all)")
    if not (LUA / "coffer" / "core.so").exists():
        pytest.skip("the module for LuaJIT is not built (./dev build)")
    return found


class Process:
    """A master with its workers, of a configuration file that says `daemon off`."""

    def __init__(self, folder: Path, config: Path, port: int, environment: dict[str, str] | None = None) -> None:
        self.folder, self.port = folder, port
        self.log_path = folder / "error.log"
        self.forgiven = [*FORGIVEN]
        command = [program(), "-p", str(folder), "-e", str(self.log_path), "-c", str(config)]
        own = os.environ | (environment or {})
        if preload := os.environ.get("COFFER_LUA_PRELOAD"):  # a sanitizer's libraries, see tests/lua/interpreters.py
            options = f"detect_leaks=0:quarantine_size_mb=1:log_path={folder}/sanitizer"
            own |= {"LD_PRELOAD": preload, "ASAN_OPTIONS": options, "UBSAN_OPTIONS": f"halt_on_error=1:log_path={folder}/sanitizer"}
        self.master = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own)
        wait_until(self._is_answering, 20)

    def _is_answering(self) -> bool:
        assert self.master.poll() is None, self.log()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return bool(self.workers())
        return False

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def workers(self) -> list[int]:
        """The ids of all that live, those that are shutting down too."""
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def reload(self) -> None:
        self.master.send_signal(signal.SIGHUP)

    def forgive(self, pattern: str) -> None:
        """Lines that would be a fault elsewhere."""
        self.forgiven.append(pattern)

    def faults(self) -> list[str]:
        bad = [line for line in self.log().splitlines() if FAULTS.search(line)]
        bad += [path.read_text(encoding="utf-8", errors="replace") for path in self.folder.glob("sanitizer*")]
        return [line for line in bad if not any(re.search(pattern, line) for pattern in self.forgiven)]

    def stop(self) -> None:
        """Gracefully, which a worker that waits for a connection of ours would not; then reads the log."""
        self.master.send_signal(signal.SIGQUIT)
        try:
            self.master.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("nginx did not end\n" + self.log()[-3000:]) from None
        assert self.faults() == [], "\n".join(self.faults())

    def kill(self) -> None:
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        self.master.kill()
        self.master.wait(10)


class Nginx(Process):
    """Runs pieces of Lua. `cache` in them is one of this URL and these options (Lua, as in a table). Those of the phases that run but once
    are given here: `lua` says what they came to."""

    _numbers = itertools.count(1)

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        workers: int = 2,
        options: str = "",
        init: str = "",
        init_worker: str = "",
        exit_worker: str = "",
        http_lines: str = "",
        server_lines: str = "",
        main_lines: str = "",
        user: str = "",
        certificates: Path | None = None,
    ) -> None:
        self.url = url
        port, self.tls_port = free_port(), free_port()
        names = {
            "USER": user or getpass.getuser(),
            "WORKERS": workers,
            "FOLDER": folder,
            "MODULES": NGINX_MODULES,
            "MAIN": main_lines,
            "HERE": HERE,
            "LUA": LUA,
            "HTTP": http_lines,
            "URL": url,
            "OPTIONS": options,
            "PORT": port,
            "SERVER": server_lines,
            "TLS": TLS.format(port=self.tls_port, folder=certificates) if certificates else "",
        }
        for phase, code in {"init": init, "init_worker": init_worker, "exit_worker": exit_worker}.items():
            (folder / f"{phase}.lua").write_text(code, encoding="utf-8")
        text = (HERE / "nginx.conf").read_text(encoding="utf-8")
        config = folder / "nginx.conf"
        config.write_text(re.sub("@([A-Z_]+)@", lambda found: str(names.get(found[1], found[0])), text), encoding="utf-8")
        super().__init__(folder, config, port)

    def lua(self, code: str, phase: str = "content", timeout: float = 30, **args: str | int) -> list[Any]:
        """What it returned: three values at least, None for those that are nil."""
        number = next(self._numbers)
        headers = {"Lua": quote(code), "Number": str(number)}
        if phase == "ssl_certificate":
            self.ask("/prepare", headers, timeout)
            self._shake_hands(f"{number}.test")
        elif phase not in RUN_ONCE:
            query = "&".join(f"{name}={quote(str(value))}" for name, value in args.items())
            answer = self.ask(f"/{phase}?{query}", headers, timeout)
        if phase in RUN_ONCE:
            answer = self.ask("/kept", {"Number": phase}, timeout)
        elif phase in ANSWER_IS_KEPT:
            answer = self.ask("/kept", headers, timeout)
        said: list[Any] | dict[str, str] = json.loads(answer)
        if isinstance(said, dict):
            raise LuaError(said["raised"])
        while len(said) > 3 and said[-1] is None:
            said.pop()
        return said + [None] * (3 - len(said))

    def value(self, code: str, phase: str = "content", timeout: float = 30, **args: str | int) -> Any:
        return self.lua(code, phase, timeout, **args)[0]

    def ask(self, path: str, headers: dict[str, str] | None = None, timeout: float = 30) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"} | (headers or {}))
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, (response.status, body)
            return body
        finally:
            connection.close()

    def hang_up(self, code: str, after_s: float) -> None:
        """Asks, and goes away before it was answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(f"GET /content HTTP/1.1\r\nHost: x\r\nLua: {quote(code)}\r\n\r\n".encode())
            connection.settimeout(after_s or 0.000001)
            with contextlib.suppress(TimeoutError, BlockingIOError):
                connection.recv(1)

    def _shake_hands(self, name: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.tls_port), timeout=30) as plain, context.wrap_socket(plain, server_hostname=name):
            pass


Host = TypeVar("Host", bound=Process)


@contextlib.contextmanager
def running(nginx: Host) -> Iterator[Host]:
    """Stops it, whatever happens; where the test was well its log has to be too."""
    try:
        yield nginx
    except BaseException:
        nginx.kill()
        print(nginx.log()[-6000:])
        raise
    nginx.stop()


class Load:
    """Threads that do the same again and again until the block ends; what they met is kept."""

    def __init__(self, work: Callable[[int, int], object], threads: int = 4) -> None:
        self.work, self.done, self.faults = work, 0, list[str]()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def _run(self, number: int) -> None:
        for turn in itertools.count():
            if self._is_over.is_set():
                return
            try:
                self.work(number, turn)
                self.done += 1
            except Exception as fault:
                self.faults.append(f"{type(fault).__name__}: {fault}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a request hangs"

    def wait_for(self, more: int, seconds: float = 30) -> None:
        """Until so much more was done."""
        target = self.done + more
        wait_until(lambda: self.done >= target, seconds)


def seconds_of(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
