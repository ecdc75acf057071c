"""Near copies that the workers of nginx and gunicorn on one host share: one remote GET is enough for all of them, and what one writes no
other has an older value of. And what nginx's phases without cosockets read of them."""

from __future__ import annotations

import contextlib
import grp
import http.client
import itertools
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import coffer
from hosting import HERE, Load, Nginx
from support import RedisServer, Resp, free_port, wait_until

Host = Callable[..., Nginx]
Found = tuple[int, Any, str | None]  # by which worker, the value, its source

SHM = Path("/dev/shm")
KEY = "key"
READ = """
    local entry = cache:get_entry(args.key)
    return ngx.worker.pid(), entry and entry.value, entry and entry.source
"""
WRITE = "assert(cache:set(args.key, nil, args.value))" + READ
NUMBERS = itertools.count(1)


@pytest.fixture
def name() -> Iterator[str]:
    """Of shared memory that is nobody else's, and is gone afterwards."""
    given = f"coffer-test-{os.getpid()}-{next(NUMBERS)}"
    yield given
    for path in SHM.glob(f"{given}.*"):
        path.unlink()


def options(name: str, *more: str) -> str:
    return ", ".join(['near = "shared"', f'near_name = "{name}"', 'near_bytes = "4MiB"', *more])


class Gunicorn:
    """Four workers."""

    def __init__(self, folder: Path, url: str, name: str) -> None:
        self.port, self.folder = free_port(), folder
        own = {"COFFER_URL": f"{url}?near=shared&near_bytes=4MiB&near_name={name}", "COFFER_NAMESPACE": "things"}
        own["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "-w4", f"-b127.0.0.1:{self.port}", "near_app:application"]
        with (folder / "said").open("wb") as said:
            self.process = subprocess.Popen(command, cwd=folder, env=os.environ | own, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    def ask(self, key: str, value: str = "") -> Found:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", f"/{key}?{value}")
            pid, found, source = json.loads(connection.getresponse().read())
            return pid, found, source
        finally:
            connection.close()

    def answers(self) -> bool:
        assert self.process.poll() is None, self.said()
        with contextlib.suppress(OSError):
            return bool(self.ask("nothing"))
        return False

    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def gunicorn(folder: Path, url: str, name: str) -> Iterator[Gunicorn]:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    folder.mkdir()
    host = Gunicorn(folder, url, name)
    try:
        wait_until(host.answers, 60)
        yield host
    except BaseException:
        print(host.said())
        raise
    finally:
        host.stop()


class Workers:
    """Of both, asked in turn."""

    def __init__(self, nginx: Nginx, other: Gunicorn) -> None:
        self.nginx, self.other = nginx, other

    def ask(self, number: int, key: str, value: str = "") -> Found:
        """One of nginx' or of gunicorn's, whichever comes."""
        if number % 2:
            return self.other.ask(key, value)
        pid, found, source = self.nginx.lua(WRITE if value else READ, key=key, value=value)
        return pid, found, source

    def all(self, look: Callable[[Found], object], key: str = KEY, count: int = 6) -> set[int]:
        """Until each of them has answered: their ids."""
        pids: set[int] = set()
        for number in range(2000):
            found = self.ask(number, key)
            look(found)
            pids.add(found[0])
            if len(pids) == count:
                return pids
        raise AssertionError(f"{len(pids)} workers answered")


@pytest.fixture
def workers(name: str, host: Host, server: RedisServer, tmp_path: Path) -> Iterator[Workers]:
    nginx = host(server.url, options=options(name))
    with gunicorn(tmp_path / "gunicorn", server.url, name) as other:
        both = Workers(nginx, other)
        wait_until(lambda: is_live(both), 20)
        yield both


def is_live(workers: Workers) -> bool:
    """Somebody listens: what was read is near when it is read again."""
    workers.ask(1, "probe", "value")
    workers.ask(1, "probe")
    return {workers.ask(number, "probe")[2] for number in range(4)} == {"near"}


def gets(raw: Resp) -> int:
    """GETs since CONFIG RESETSTAT."""
    stats = raw.call("INFO", "commandstats")
    assert isinstance(stats, bytes)
    lines = [line for line in stats.splitlines() if line.startswith(b"cmdstat_get:")]
    return int(lines[0].split(b"calls=")[1].split(b",")[0]) if lines else 0


def asked_by_six(workers: Workers, raw: Resp, key: str) -> tuple[int, Found, set[tuple[Any, str | None]]]:
    """How many GETs came to the server, what the first answer was, and what those of all workers then were."""
    raw.call("CONFIG", "RESETSTAT")
    first = workers.ask(1, key)
    seen: list[Found] = []
    workers.all(seen.append, key)
    return gets(raw), first, {found[1:] for found in seen}


def test_one_get_is_enough_for_six_workers(workers: Workers, server: RedisServer, raw: Resp) -> None:
    """Where whoever listens hears of the write before: what was read already is let go of then, and read once more."""
    counts: list[int] = []
    with coffer.Cache(server.url, namespace="things") as elsewhere:
        while 1 not in counts and len(counts) < 10:
            key = f"{KEY}-{len(counts)}"
            elsewhere.set(key, "value")
            count, first, others = asked_by_six(workers, raw, key)
            counts.append(count)
            assert first[1:] == ("value", "remote")
            assert others == {("value", "near")} or count > 1
    assert 1 in counts, counts


def test_no_worker_has_an_older_value_than_the_one_that_was_written_last(workers: Workers) -> None:
    """Each of them writes; who writes has its answer before the others are asked."""
    written: set[int] = set()
    for number in range(2000):
        value = f"value-{number}"
        written.add(workers.ask(number, KEY, value)[0])
        assert {workers.ask(one, KEY)[1] for one in range(6)} == {value}
        if len(written) == 6:
            return
    raise AssertionError(f"{len(written)} workers wrote")


def test_what_is_written_elsewhere_is_seen_by_all(workers: Workers, server: RedisServer) -> None:
    with coffer.Cache(server.url, namespace="things") as elsewhere:
        for number in range(20):
            elsewhere.set(KEY, number)
            wait_until(lambda number=number: workers.ask(number, KEY)[1] == number, 5)  # type: ignore[misc]
            for one in range(12):  # and nobody sees what was before any more
                assert workers.ask(one, KEY)[1] == number
        elsewhere.delete(KEY)
        wait_until(lambda: workers.ask(0, KEY)[1] is None, 5)
        assert {workers.ask(one, KEY)[1] for one in range(12)} == {None}


RACE = "for _ = 1, 20 do for n = 1, 16 do cache:get('k' .. n) end ngx.sleep(0) end return true"
LOOK = "local got = {} for n = 1, 16 do got[n] = cache:get('k' .. n) end return got"


def test_no_copy_stays_that_was_overtaken(name: str, host: Host, server: RedisServer) -> None:
    """Reads race with what is written elsewhere; soon after the last write, long before a copy's time is over, all workers have that."""
    nginx = host(server.url, options=options(name))
    warm(nginx)
    with coffer.Cache(server.url, namespace="things") as elsewhere, Load(lambda number, turn: nginx.lua(RACE), 4) as load:
        for number in range(30):
            for turn in range(5):
                for key in range(1, 17):
                    elsewhere.set(f"k{key}", f"{number}.{turn}")
            wait_until(lambda number=number: nginx.value(LOOK) == [f"{number}.4"] * 16, 5)  # type: ignore[misc]
    assert load.faults == []


# ---- nginx


def warm(nginx: Nginx, key: str = KEY, value: str = '"value"') -> None:
    """Until the worker that is asked has it near."""
    nginx.lua(f'return cache:set("{key}", nil, {value})')
    end = time.monotonic() + 20
    while (answer := nginx.lua(f'return cache:get("{key}")'))[2] != "near":
        assert time.monotonic() < end, (answer, nginx.lua("return cache:health().near, cache:stats().near"))


BULK = 'local bulk = require("resty.coffer").new_bulk() bulk:add("key") bulk:add("key", nil, tostring)'


@pytest.mark.parametrize("near", ["process", "shared"])
@pytest.mark.parametrize("phase", ["set", "header_filter", "body_filter", "log", "balancer"])
def test_phases_that_cannot_wait_answer_what_is_near(name: str, host: Host, server: RedisServer, near: str, phase: str) -> None:
    nginx = host(server.url, workers=1, options=f'near = "{near}", near_name = "{name}", near_bytes = "4MiB"')
    warm(nginx)
    assert nginx.lua('return cache:get("key")', phase) == ["value", None, "near"]
    assert nginx.lua('return cache:get("key", nil, function() return "loaded" end)', phase) == ["value", None, "near"]
    assert nginx.value('return cache:get_entry("key").value', phase) == "value"
    assert nginx.value('return (cache:get_many({"key"})).key', phase) == "value"
    assert nginx.value(f"{BULK} return cache:get_bulk(bulk)", phase) == ["value", None, "near"] * 2
    left, _, value, is_stale = nginx.lua('return cache:peek("key")', phase)
    assert left > 0 and (value, is_stale) == ("value", False)
    for code in (
        'return cache:get("far")',
        'return cache:get("far", nil, tostring, 1)',
        'return cache:get_many({"key", "far"})',
        f'{BULK} bulk:add("far") return cache:get_bulk(bulk)',
        'return cache:exists("key")',
    ):
        value, words, code = nginx.lua(code, phase)
        assert (value, code) == (None, "UNSUPPORTED")
        assert phase in words


def test_a_worker_that_is_never_at_rest_hears_what_changes(host: Host, server: RedisServer) -> None:
    """It is asked all the time from the start: what is due by the clock (who listens) is done all the same."""
    nginx = host(server.url, workers=1, options='near = "process"')
    code = """
        cache:set("key", nil, "value")
        local source
        for i = 1, 100 do
            _, _, source = cache:get("key")
            if source == "near" then return i end
            ngx.sleep(0.02)
        end
    """
    assert nginx.value(code) < 75


def test_what_is_kept_is_answered_again_until_it_changes(host: Host, server: RedisServer) -> None:
    nginx = host(server.url, workers=1, options='near = "process", near_objects = 10')
    warm(nginx, value="{1}")
    same = 'local one = cache:get("key") return rawequal(one, cache:get("key")), one[1]'
    assert nginx.lua(same)[:2] == nginx.lua(same, "log")[:2] == [True, 1]
    nginx.lua('kept = cache:get("key") assert(cache:set("key", nil, {2}))')
    assert nginx.lua('local one = cache:get("key") return rawequal(one, kept), one[1]')[:2] == [False, 2]
    with coffer.Cache(server.url, namespace="things") as elsewhere:
        elsewhere.set("key", [3])
    wait_until(lambda: nginx.value('return cache:get("key")[1]') == 3, 5)
    warm(nginx, value="{4}")
    assert nginx.lua(same)[:2] == [True, 4]
    assert nginx.lua('return coffer.new("other", {url = url, lru_size = 5})')[2] == "OPTION"


@pytest.mark.parametrize("phase", ["content", "set", "header_filter", "log"])
def test_a_callback_is_not_called_for_what_is_near(host: Host, server: RedisServer, phase: str) -> None:
    """Counted as what it is; a kept object is get's very own."""
    nginx = host(server.url, workers=1, options='near = "process", near_objects = 10')
    warm(nginx, value="{1}")
    warm(nginx, key="text")
    code = """
        local function of(name) return (cache:stats().latency[name] or {count = 0}).count end
        local gets, loads, one = of("get"), of("get_or_load"), cache:get("key")
        for _ = 1, 300 do
            assert(rawequal(cache:get("key", nil, error), one) and cache:get("text", nil, error) == "value")
        end
        return of("get") - gets, of("get_or_load") - loads, select(3, cache:get("key", nil, error))
    """
    assert nginx.lua(code, phase) == [1, 600, "near"]


def segments(name: str) -> list[os.stat_result]:
    return [path.stat() for path in SHM.glob(f"{name}.*")]


def test_a_reload_keeps_what_is_near(name: str, host: Host, server: RedisServer, raw: Resp) -> None:
    nginx = host(server.url, options=options(name))
    warm(nginx)
    made = segments(name)
    assert len(made) == 1 and made[0].st_mode & 0o777 == 0o600
    before = set(nginx.workers())
    nginx.reload()
    wait_until(lambda: len(nginx.workers()) == 2 and not before & set(nginx.workers()), 20)
    warm(nginx, "other")
    assert [one.st_ino for one in segments(name)] == [made[0].st_ino]
    for _ in range(20):
        assert nginx.lua('return cache:get("other")')[2] == "near"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's nginx changes its user")
def test_root_makes_it_for_the_user_of_the_workers(name: str, host: Host, server: RedisServer) -> None:
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("there is no user nobody")
    nginx = host(server.url, options=options(name, 'near_owner = "nobody"'), user=f"nobody {grp.getgrgid(nobody.pw_gid).gr_name}")
    nginx.forgive(r"stack traceback")  # of init_worker and exit_worker, whose pieces lie in a folder that is not nobody's
    warm(nginx)
    made = segments(name)
    assert [(one.st_uid, one.st_mode & 0o777) for one in made] == [(nobody.pw_uid, 0o600)]
    before = set(nginx.workers())
    nginx.reload()
    wait_until(lambda: len(nginx.workers()) == 2 and not before & set(nginx.workers()), 20)
    warm(nginx, "other")
    assert [one.st_ino for one in segments(name)] == [made[0].st_ino]
