"""P7: children use their parent's cache, and neither sees anything of the other (F05)."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import coffer
from support import free_port, wait_until
from tools import ROOT, Server, Tell, program, seconds

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize("threads", [0, 4])
def test_children_in_c(family: str, threads: int, server: Server, tell: Tell) -> None:
    """Alone, every fourth child is one of a raw clone; beside threads that are inside of calls, all are forked."""
    forks = int(max(60, seconds(0, 0.05) * 20))
    url = f"{server.url}?timeout=20s&on_outage=error" if family == "tcp" else f"{server.unix_url}?timeout=20s&on_outage=error"
    command = [program("fault_forks"), url, str(forks), str(threads)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 + forks).stdout
    figures = json.loads(said)
    tell(None, None, **figures)
    assert figures["right"] == forks
    assert figures["parent_errors"] == figures["parent_wrong"] == 0
    assert figures["parent_operations"] > forks
    assert figures["parent_links_made"] <= max(1, threads), "the parent's connections lived through all of it"


def works(cache: coffer.Cache, writer: int) -> bool:
    for number in range(50):
        key, value = f"python:{writer}:{number % 8}", f"{writer}-{number}"
        cache.set(key, value)
        if cache.get(key) != value:
            return False
    return True


CACHE: coffer.Cache | None = None


def work_of_a_process(writer: int) -> bool:
    assert CACHE is not None
    return works(CACHE, writer)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_processes_of_multiprocessing(server: Server, tell: Tell) -> None:
    global CACHE
    ends, wrong = threading.Event(), []
    with coffer.Cache(server.url, timeout=20, on_outage="error") as CACHE:
        parents = [threading.Thread(target=go_on, args=(CACHE, writer, ends, wrong)) for writer in range(2)]
        for one in parents:
            one.start()
        for _ in range(int(max(3, seconds(0, 0.02)))):
            with multiprocessing.get_context("fork").Pool(4) as pool:
                assert pool.map(work_of_a_process, range(100, 116), chunksize=1) == [True] * 16
        ends.set()
        for one in parents:
            one.join(30)
        tell(None, None, processes=12, wrong=len(wrong), links_made=CACHE.stats().pool.made)
        assert wrong == []


def go_on(cache: coffer.Cache, writer: int, ends: threading.Event, wrong: list[str]) -> None:
    while not ends.is_set():
        try:
            if not works(cache, writer):
                wrong.append("a value of somebody else")
        except coffer.Error as error:
            wrong.append(str(error))


def test_children_in_lua(server: Server, tell: Tell) -> None:
    if shutil.which("luajit") is None or not (ROOT / "build" / "lua" / "5.1").exists():
        pytest.skip("there is no LuaJIT with the module")
    paths = {"LUA_PATH": f"{ROOT}/build/lua/5.1/?.lua;;", "LUA_CPATH": f"{ROOT}/build/lua/5.1/?.so;;"}
    command = ["luajit", str(HERE / "forks.lua"), f"{server.url}?timeout=20s&on_outage=error", "20"]
    done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    tell(None, None, said=done.stdout.strip())
    assert done.stdout.startswith("forks 20 failed 0 links 1")


def ask(port: int, number: int) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", f"/{number}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def is_asked(port: int) -> bool:
    try:
        return ask(port, 0)[0] == 200
    except OSError:
        return False


def test_workers_of_gunicorn_that_preloads(server: Server, tell: Tell) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "-w",
        "3",
        "-b",
        f"127.0.0.1:{port}",
        "--chdir",
        str(HERE),
        "preloaded:application",
    ]
    environment = os.environ | {"CACHE_URL": server.url}
    master = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_asked(port), 30)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: ask(port, number), range(400)))
        workers = {worker for _, worker in answers}
        tell(None, None, requests=len(answers), wrong=sum(status != 200 for status, _ in answers), workers=len(workers))
        assert {status for status, _ in answers} == {200}
        assert len(workers) > 1
        assert str(master.pid) not in workers
    finally:
        master.terminate()
        master.wait(20)
