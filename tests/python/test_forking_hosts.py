"""Programs that open a cache, use it over TLS, and fork: children make connections of their own, the parent goes on with its one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import multiprocessing
import multiprocessing.synchronize
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import coffer
from support import RedisServer, Resp, free_port, has_redis, make_certificates, redis_server, wait_until
from verified import works

HERE = Path(__file__).resolve().parent
CHILDREN = 8
ROUNDS = 25
SECONDS = 60


@dataclass(frozen=True)
class Secure:
    server: RedisServer
    url: str
    authority: str


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    if shutil.which("openssl") is None or not has_redis():
        pytest.skip("openssl or redis-server is not installed")
    folder = make_certificates(tmp_path_factory.mktemp("certificates"))
    port = free_port()
    files = ["--tls-cert-file", f"{folder}/right.pem", "--tls-key-file", f"{folder}/server.key"]
    more = ["--tls-ca-cert-file", f"{folder}/ca.pem", "--tls-auth-clients", "no"]
    with redis_server("--tls-port", str(port), *files, *more) as server:
        yield Secure(server, f"rediss://localhost:{port}/0", str(folder / "ca.pem"))


@pytest.fixture
def raw(secure: Secure) -> Iterator[Resp]:
    """Looks at an empty server from outside."""
    client = secure.server.client()
    client.call("FLUSHALL")
    yield client
    client.close()


def connections(raw: Resp) -> set[str]:
    """The server's ids of those that caches have made."""
    clients = raw.call("CLIENT", "LIST")
    assert isinstance(clients, bytes)
    return {line.split()[0] for line in clients.decode().splitlines() if " name=coffer " in line}


def made(raw: Resp) -> int:
    """How many connections the server has ever taken."""
    stats = raw.call("INFO", "stats")
    assert isinstance(stats, bytes)
    return int(stats.split(b"total_connections_received:")[1].split()[0])


# ---- multiprocessing


def end_as(cache: coffer.Cache, number: int) -> None:
    """Each child ends in one of the ways that children end."""
    if number % 3 == 0:
        cache.close()
    elif number % 3 == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def child_of_a_child(cache: coffer.Cache) -> None:
    works(cache, 100, 0, ROUNDS)
    cache.close()


def child(cache: coffer.Cache, number: int, start: multiprocessing.synchronize.Barrier) -> None:
    signal.alarm(SECONDS)
    start.wait(SECONDS)
    works(cache, number, 0, ROUNDS)
    if number == 0:
        grandchild = multiprocessing.get_context("fork").Process(target=child_of_a_child, args=(cache,))
        grandchild.start()
        works(cache, number, ROUNDS, ROUNDS)
        grandchild.join(SECONDS)
        assert grandchild.exitcode == 0
    cache.set(f"done{number}", 1)
    end_as(cache, number)


def test_eight_children_and_their_parent_at_once(secure: Secure, raw: Resp) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(CHILDREN + 1)
    with coffer.Cache(secure.url, tls_ca_file=secure.authority, timeout=20, on_outage="error") as cache:
        works(cache, 1000, 0, 5)
        parents, made_before = connections(raw), made(raw)
        children = [context.Process(target=child, args=(cache, number, start)) for number in range(CHILDREN)]
        children.append(context.Process(target=cache.close))  # never used it, and says good-bye to nobody
        for one in children:
            one.start()
        start.wait(SECONDS)
        rounds, end = 5, time.monotonic() + SECONDS
        while any(one.is_alive() for one in children):
            assert time.monotonic() < end, "a child hangs"
            works(cache, 1000, rounds, 5)
            rounds += 5
        works(cache, 1000, rounds, 5)
        assert cache.get_many([f"done{number}" for number in range(CHILDREN)]) == {f"done{number}": 1 for number in range(CHILDREN)}
        assert {one.exitcode for one in children} == {0, -signal.SIGKILL}
        assert cache.counter("rounds") == rounds + 5 + (CHILDREN + 2) * ROUNDS
        assert cache.stats().pool.made == 1
        assert cache.stats().errors == 0
        wait_until(lambda: connections(raw) == parents)
        assert made(raw) - made_before == CHILDREN + 1, "one for each child, one for the child of a child"


# ---- gunicorn


@contextlib.contextmanager
def process(command: list[str], folder: Path, secure: Secure) -> Iterator[subprocess.Popen[bytes]]:
    """A host on the cache of the environment; what it said is shown where the test fails."""
    environment = os.environ | {"COFFER_URL": secure.url, "COFFER_TLS_CA_FILE": secure.authority, "COFFER_ON_OUTAGE": "error"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
    with (folder / "said").open("wb") as said:
        host = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        yield host
    except BaseException:
        print((folder / "said").read_text(errors="replace"))
        raise
    finally:
        host.terminate()
        try:
            host.wait(20)
        except subprocess.TimeoutExpired:
            host.kill()
            host.wait()


def ask(port: int, number: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", f"/{number}")
        answer = connection.getresponse()
        assert answer.status == 200
        said: dict[str, Any] = json.loads(answer.read())
        assert said["number"] == number
        return said
    finally:
        connection.close()


def answers(port: int) -> bool:
    try:
        ask(port, 0)
    except OSError:
        return False
    return True


def answering(port: int, master: int, count: int) -> set[int]:
    """The workers that answer, when they are that many; each answer is right."""
    workers: set[int] = set()
    end = time.monotonic() + SECONDS
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        while len(workers) < count:
            assert time.monotonic() < end, f"only {workers} answer"
            said = list(pool.map(lambda number: ask(port, number), range(20)))
            assert {one["master"] for one in said} == {master}
            workers |= {one["worker"] for one in said}
    return workers


def test_workers_of_gunicorn_that_preloads(secure: Secure, raw: Resp, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "--no-control-socket",
        "-c",
        "python:preloaded",
        "-w",
        "2",
        "-b",
        f"127.0.0.1:{port}",
    ]
    with process([*command, "preloaded:application"], tmp_path, secure) as master:
        wait_until(lambda: answers(port), SECONDS)
        workers = answering(port, master.pid, 2)
        assert master.pid not in workers
        assert len(connections(raw)) == 3
        killed = min(workers)
        with coffer.Cache(secure.url, tls_ca_file=secure.authority) as cache:
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: cache.exists(f"ended{killed}"), SECONDS)
            assert cache.get(f"ended{killed}") == {"master": master.pid, "made": 1}
        now = answering(port, master.pid, 2)
        assert killed not in now
        assert len(now - workers) == 1
        wait_until(lambda: len(connections(raw)) == 3)
    assert master.returncode == 0


# ---- celery


def test_processes_of_celery(secure: Secure, raw: Resp, tmp_path: Path) -> None:
    """Each process of the pool ends after six tasks and is forked anew, of a master that has long been at work."""
    pytest.importorskip("celery", reason="celery is not installed")
    tasks = [f"task{number}" for number in range(24)]  # which prefork.py sends
    command = [sys.executable, "-m", "celery", "-A", "prefork", "worker", "-c", "2", "--max-tasks-per-child", "6"]
    with coffer.Cache(secure.url, tls_ca_file=secure.authority) as cache:
        with process([*command, "--without-gossip", "--without-mingle", "--without-heartbeat"], tmp_path, secure) as master:
            wait_until(lambda: len(cache.get_many(tasks)) == len(tasks), SECONDS)
            processes = set(cache.get_many(tasks).values())
            assert len(processes) >= 4
            assert master.pid not in processes
        assert cache.get("ended") == {"master": master.pid, "made": 1}
