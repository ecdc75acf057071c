"""The benchmark's rows: each can be started, is told in the document, and says why where it has no figure. Nothing is measured here."""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
sys.path.insert(0, str(BENCH))

import python_async  # noqa: E402
import python_get  # noqa: E402
import rows  # noqa: E402
import run as bench_run  # noqa: E402
import ways  # noqa: E402

SETTINGS = argparse.Namespace(rounds=3, count=64, one_core=False)
GET_C = (BENCH / "get.c").read_text(encoding="utf-8")
MODES = {
    "c": set(re.findall(r'^    \{"([\w-]+)", open_', GET_C, re.MULTILINE)),
    "threads": {f"{client}-{threads}" for client in ("hiredis", "coffer") for threads in (1, 32, 64)},
    "python": set(python_get.WAYS),
    "lua": set(re.findall(r'^    (?:\[")?([\w-]+)(?:"\])? = \{batch', (BENCH / "lua_get.lua").read_text(encoding="utf-8"), re.MULTILINE)),
}
NGINX_CLIENTS = re.findall(r'clients(?:\.|\[")([\w-]+)(?:"\])?(?: = function)?\(\)', (BENCH / "nginx_get.lua").read_text(encoding="utf-8"))
MODES["asyncio"] = {f"{client}-{tasks}" for client in python_async.CLIENTS for tasks in (1, 100)}
MODES["nginx"] = {f"{client}-{threads}" for client in NGINX_CLIENTS for threads in (1, 50)}
MODES |= {"c-unobserved": MODES["c"], "lua5.4": MODES["lua"], "luajit": MODES["lua"]}


class Stage:
    """Stands in for all that starts a process: `p50_ns` by way, 1000 where it is not named."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.p50_ns: dict[str, float] = {}
        self.hits: dict[str, float] = {}
        self.asked: set[str] = set()
        monkeypatch.setattr(rows, "run_once", self.run_once)
        monkeypatch.setattr(rows, "instructions", self.instructions)
        monkeypatch.setattr(rows, "start_ms", lambda command, core: float(len(" ".join(command))))
        monkeypatch.setattr(rows, "peer_python", lambda: "python")
        monkeypatch.setattr(rows, "compile_ours", lambda: None)
        monkeypatch.setattr(rows, "company", lambda kind, port, core: contextlib.nullcontext())

    def run_once(self, way: str, port: int, count: int, core: int | None) -> dict[str, float]:
        self.asked.add(way)
        hits = self.hits.get(way, 0 if way.startswith("c-unobserved/") else count)
        return {"p50_ns": self.p50_ns.get(way, 1000.0), "stored_bytes": 857, "allocations": 0, "hits": hits, "gets_per_s": 1.0}

    def instructions(self, way: str, port: int) -> float:
        self.asked.add(way)
        return 1000.0


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(BENCH / "run.py"), *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", rows.ROWS)
def test_every_way_of_a_row_is_one_that_its_program_knows(stage: Stage, name: str) -> None:
    measured = rows.measure(name, SETTINGS, 1)
    assert measured
    for way in stage.asked:
        language, mode = way.split("/")
        assert mode in MODES[language], way


def test_instructions_are_counted_inside_functions_that_are_there(stage: Stage) -> None:
    for name in rows.ROWS:
        rows.measure(name, SETTINGS, 1)
    modes = {mode for language, mode in (way.split("/") for way in stage.asked) if language.startswith("c")}
    for mode in modes:
        assert f"static size_t {ways.c_function(mode)}(void)" in GET_C


def test_the_document_tells_each_row() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (T\d+e?|BINDINGS) \|", text, re.MULTILINE) == list(rows.ROWS)


def test_list_names_each_row_without_a_server() -> None:
    done = bench("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(rows.ROWS)


@pytest.mark.parametrize(("words", "said"), [(["T99"], "there is no row T99"), (["--rounds", "0", "--list"], "at least 1")])
def test_misuse_is_told(words: list[str], said: str) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("name", rows.ROWS)
def test_a_row_that_cannot_run_says_why(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_: object) -> float:
        raise ways.Gap("it is not there")

    for function in ("run_once", "instructions", "start_ms", "peer_python", "compile_ours"):
        monkeypatch.setattr(rows, function, refuse)
    monkeypatch.setitem(sys.modules, "coffer", None)  # cannot be imported
    measured = rows.measure(name, SETTINGS, 1)
    assert all(row.gap for row in measured)
    bench_run.show(measured)
    assert "a gap: it is not there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no-such-program-of-the-bench"], "no-such-program-of-the-bench is not there"),
        ([sys.executable, "-c", "raise SystemExit('it was refused')"], "it was refused"),
    ],
)
def test_a_program_that_fails_is_a_gap_with_its_last_words(command: list[str], said: str) -> None:
    with pytest.raises(ways.Gap, match=said):
        ways.started(command, {})


def test_counting_that_fails_leaves_the_time_and_a_note(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(way: str, port: int) -> float:
        raise ways.Gap("valgrind is not there")

    monkeypatch.setattr(rows, "instructions", refuse)
    first = rows.measure("T11", SETTINGS, 1)[0]
    assert (first.median, first.gap, first.instructions) == (1.0, "", {})
    assert "valgrind is not there" in first.note


def test_a_slower_way_misses_its_target_and_a_faster_one_meets_it(stage: Stage) -> None:
    stage.p50_ns = {"python/coffer": 1500, "python/redis-py": 3000, "python/valkey-glide": 1000}
    floor, redis_py, glide = rows.measure("T5", SETTINGS, 1)[:3]
    assert (floor.median, floor.met) == (1.5, False)
    assert (redis_py.median, redis_py.met) == (2.0, True)
    assert (round(glide.median or 0, 2), glide.met) == (0.67, False)


def test_metrics_of_a_hit_are_nanoseconds(stage: Stage) -> None:
    stage.p50_ns = {"c/coffer-mem": 182, "c-unobserved/coffer-mem": 170}
    row = rows.measure("T12", SETTINGS, 1)[2]
    assert (row.median, row.unit, row.met) == (12, "ns", False)


@pytest.mark.parametrize("hits", [{"c-unobserved/coffer": 64.0}, {"c/coffer": 0.0}])
def test_metrics_that_were_not_turned_off_are_no_figure(stage: Stage, hits: dict[str, float]) -> None:
    stage.hits = hits
    assert "metrics are not off" in rows.measure("T12", SETTINGS, 1)[0].gap
