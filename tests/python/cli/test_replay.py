"""The command with a cache of the tests' own: what it counts, prints, refuses and leaves behind."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import signal
import sqlite3
import time

import pytest
from cli_fake import FakeConnectionError, FakeError, World

from coffer.cli import main
from coffer.cli._demo import synthetic_trace

REPORT_NAMES = {
    "schema": None,
    "coffer_version": None,
    "complete": None,
    "interrupted": None,
    "failure": None,
    "trace": "name format synthetic lines requests keys span_seconds malformed_lines "
    "malformed_samples rewritten_keys trimmed_values not_get_requests",
    "settings": "url ttl prefix namespace memory threads limit speed",
    "database": "file rows rows_added payload_bytes",
    "without_cache": "requests database_queries seconds requests_per_second latency_us latency_exact",
    "with_cache": "requests database_queries seconds requests_per_second latency_us latency_exact "
    "hits hit_ratio errors error_samples wrong_values bytes_stored values_not_stored memory_bytes memory_used_bytes "
    "entries evictions keys_removed keys_left",
    "comparison": "database_queries_saved reduction",
    "model": "best_hit_ratio hit_ratio_at_trace_pace",
}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(world, tmp_path, capsys, monkeypatch):
    """Runs the command in a folder of its own: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments, make_backend=world.backend)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def figures(run):
    def figures(*arguments: str, expect: int = 0) -> dict:
        status, out, err = run(*arguments, "--json", "-")
        assert status == expect, err
        return json.loads(out)

    return figures


@pytest.fixture
def trace(tmp_path) -> str:
    path = tmp_path / "t.keys"
    path.write_text("a\nb\na\nc\na\nb\n")
    return str(path)


def test_figures_agree_with_counting_by_hand(figures, trace):
    found = figures("replay", trace)
    assert found["complete"] and found["schema"] == "coffer-replay/1"
    assert found["trace"]["requests"] == 6 and found["trace"]["keys"] == 3
    assert found["without_cache"]["database_queries"] == 6
    cached = found["with_cache"]
    assert (cached["requests"], cached["database_queries"], cached["hits"]) == (6, 3, 3)
    assert cached["hit_ratio"] == found["comparison"]["reduction"] == 0.5
    assert cached["errors"] == cached["wrong_values"] == 0
    assert cached["bytes_stored"] == found["database"]["payload_bytes"]


@pytest.mark.parametrize("threads", ["1", "2", "7"])
def test_each_key_is_loaded_once_however_many_threads(figures, world, threads):
    found = figures("demo", "--threads", threads)
    distinct = len(set(synthetic_trace().indices))
    assert found["with_cache"]["database_queries"] == distinct == len(world.cache.values)
    assert found["without_cache"]["requests"] == found["with_cache"]["requests"] == 100_000
    assert found["with_cache"]["hits"] == 100_000 - distinct
    assert world.cache.is_closed


def test_the_names_in_the_json_are_those_of_the_schema(figures, trace):
    found = figures("replay", trace)
    assert set(found) == set(REPORT_NAMES)
    for name, inner in REPORT_NAMES.items():
        if inner:
            assert set(found[name]) == set(inner.split()), name
    assert set(found["without_cache"]["latency_us"]) == {"p50", "p95", "p99", "max"}


def test_the_report_says_what_was_asked_for(run, trace):
    status, out, err = run("replay", pathlib.Path(trace).name)  # its folder may have any length
    assert status == 0 and err == ""
    for pattern in (
        r"requests +6 ",
        r"keys +3 ",
        r"database queries +6 +3 +50\.0 % fewer",
        r"latency p50 +[\d.]+ µs +[\d.]+ µs",
        r"latency p95 ",
        r"latency p99 ",
        r"hit ratio +50\.0 % +3 of 6 requests",
        r"bytes stored ",
        r"errors +0\n",
        r"malformed lines +0 ",
        r"best possible hit ratio is 50\.0 %",
    ):
        assert re.search(pattern, out), pattern
    assert max(map(len, out.splitlines())) <= 100


def test_malformed_lines_are_counted_and_shown(run, tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(b"url\ttime\n/a\t1\n\x1b[31mred\n/a\t2\n/b\tnever\n")
    status, out, _ = run("replay", str(path))
    assert status == 0
    assert re.search(r"malformed lines +2 +of 5", out)
    assert "line 3: too few columns: \\x1b[31mred" in out and "\x1b" not in out


def test_the_demo_says_that_it_is_synthetic_and_what_to_try_next(run):
    status, out, _ = run("demo", "--limit", "500")
    assert status == 0
    assert "The trace is synthetic" in out and "seed 42" in out
    assert "Try next" in out and "--url redis://" in out


def test_the_demo_takes_a_trace_of_ones_own(run, trace):
    status, out, _ = run("demo", trace, "--url", "redis://h")
    assert status == 0 and "synthetic" not in out and "requests" in out


def test_json_goes_to_a_file_beside_the_report(run, trace, tmp_path):
    status, out, _ = run("replay", trace, "--json", "x.json")
    assert status == 0 and "hit ratio" in out
    assert json.loads((tmp_path / "x.json").read_text())["complete"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay"], "TRACE"),
        (["replay", "missing"], "cannot read missing: no such file"),
        (["replay", "empty"], "empty is empty"),
        (["replay", "t.keys", "--limit", "0"], "--limit"),
        (["replay", "t.keys", "--threads", "257"], "--threads"),
        (["replay", "t.keys", "--speed", "fast"], "--speed"),
        (["replay", "t.keys", "--speed", "nanx"], "--speed"),
        (["replay", "t.keys", "--speed", "real"], "--speed needs times"),
        (["replay", "t.keys", "--format", "xml"], "--format"),
        (["replay", "t.keys", "--format", "tsv"], "no column named url"),
        (["replay", "t.keys", "--ttl", "0"], "ttl"),
        (["replay", "t.keys", "--json", "no/such/x.json"], "cannot write"),
        (["replay", "t.keys", "--json", "."], "cannot write"),
        (["replay", "t.keys", "--database", "no/such/x.db"], "database"),
        (["replay", "t.keys", "--database", "t.keys"], "not a database"),
        (["nonsense"], "nonsense"),
        ([], "usage"),
    ],
)
def test_wrong_usage_is_said_and_is_status_2(run, trace, tmp_path, arguments, words):
    (tmp_path / "empty").touch()
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and words in err
    assert "Traceback" not in err


def test_help_and_version_are_status_0(run):
    assert run("--version")[:1] == (0,)
    for arguments in (["--help"], ["replay", "--help"], ["demo", "--help"]):
        status, out, _ = run(*arguments)
        assert status == 0 and "usage: coffer" in out
    assert "exit status" in out and "namespace of its own" in out


def make_database(*statements: str) -> None:
    with contextlib.closing(sqlite3.connect("d.db")) as connection:
        connection.executescript(";".join(statements))


# ---- the database ------------------------------------------------------------------------------


def test_a_database_is_made_once_and_used_again(figures, trace):
    first = figures("replay", trace, "--database", "d.db")
    again = figures("replay", trace, "--database", "d.db")
    assert first["database"]["rows_added"] == 3 and again["database"]["rows_added"] == 0
    assert first["database"]["payload_bytes"] == again["database"]["payload_bytes"]
    with contextlib.closing(sqlite3.connect("d.db")) as connection:
        rows = connection.execute("SELECT * FROM coffer_replay").fetchall()
    assert [key for key, _ in rows] == ["a", "b", "c"]
    assert all(200 <= len(payload) <= 2000 for _, payload in rows)


def test_rows_of_the_users_own_are_used_and_kept(figures, world, trace):
    make_database(
        "CREATE TABLE coffer_replay (key text PRIMARY KEY, payload blob)",
        "INSERT INTO coffer_replay VALUES ('a', 'mine'), ('z', x'00')",
    )
    assert figures("replay", trace, "--database", "d.db")["database"]["rows_added"] == 2
    assert world.cache.values["a"] == b"mine"


def test_a_table_of_another_schema_is_left_alone(run, trace):
    make_database(
        "CREATE TABLE coffer_replay (id INTEGER PRIMARY KEY)",
    )
    status, _, err = run("replay", trace, "--database", "d.db")
    assert status == 2 and "other columns" in err


def test_sizes_come_from_the_trace_and_payloads_are_the_same_each_time(run, world, tmp_path):
    (tmp_path / "t.tsv").write_text("url\tbytes\n/a\t12345\n/b\t9999999\n/c\t\n")
    run("replay", "t.tsv")
    first = world.cache.values
    run("replay", "t.tsv")
    assert first == world.cache.values
    assert (len(first["/a"]), len(first["/b"])) == (12345, 1 << 20)
    assert 200 <= len(first["/c"]) <= 2000


def test_the_temporary_database_is_gone_afterwards(run, trace, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert run("replay", trace)[0] == 0
    assert list((tmp_path / "temporary").iterdir()) == []


# ---- pace --------------------------------------------------------------------------------------


def test_real_speed_keeps_the_pace_of_the_trace(figures, tmp_path):
    (tmp_path / "t.tsv").write_text("time\turl\n100\ta\n101\tb\n104\ta\n")
    began = time.monotonic()
    found = figures("replay", "t.tsv", "--speed", "10x", "--threads", "2")
    assert 0.8 <= time.monotonic() - began < 3
    assert found["with_cache"]["seconds"] >= 0.4
    assert found["settings"]["speed"] == 10.0
    assert found["with_cache"]["hits"] == 1


def test_the_report_tells_what_the_ttl_would_do_at_the_traces_pace(run, tmp_path):
    (tmp_path / "t.tsv").write_text("time\turl\n0\ta\n10\ta\n5000\ta\n9000\ta\n")
    _, out, _ = run("replay", "t.tsv", "--ttl", "5m")
    assert re.search(r"hit ratio +75\.0 %", out)
    assert "a TTL of 5m gives 25.0 %" in " ".join(out.split())


# ---- servers and their failures ----------------------------------------------------------------


def test_on_a_server_each_run_has_a_namespace_of_its_own_and_deletes_its_keys(figures, world, trace):
    seen = []
    for _ in range(2):
        found = figures("replay", trace, "--url", "redis://h")
        seen.append(found["settings"]["namespace"])
        assert world.cache.settings.namespace == seen[-1]
        assert sorted(world.cache.deleted) == ["a", "b", "c"] and not world.cache.values
        assert found["with_cache"]["keys_removed"] == 3 and found["with_cache"]["keys_left"] == 0
    assert seen[0] != seen[1] and all(re.fullmatch(r"replay-[0-9a-f]{8}", name) for name in seen)


def test_a_namespace_that_was_named_is_never_used_as_it_is_on_a_server(figures, world, trace):
    figures("replay", trace, "--url", "redis://h", "--namespace", "users")
    assert re.fullmatch(r"users-[0-9a-f]{8}", world.cache.settings.namespace)
    figures("replay", trace, "--namespace", "users")
    assert world.cache.settings.namespace == "users" and world.cache.deleted == []


def test_secrets_of_the_url_are_shown_nowhere(run, trace, tmp_path):
    url = "redis://me:s3cret@h/0?password=s3cret&seal_key=s3cret&ttl=1s"
    _, out, err = run("replay", trace, "--url", url, "--json", "x.json")
    text = out + err + (tmp_path / "x.json").read_text()
    assert "s3cret" not in text and "redis://me:***@h/0?password=***&seal_key=***&ttl=1s" in text


def test_a_server_that_cannot_be_reached_is_status_1(run, world, trace):
    world.ping_error = FakeConnectionError("connection refused")
    status, out, err = run("replay", trace, "--url", "redis://h")
    assert (status, out) == (1, "")
    assert err == "coffer: cannot use the cache at redis://h: connection refused\n"
    assert world.cache.is_closed


def test_errors_are_counted_and_their_requests_answered_by_the_database(figures, world, trace):
    def fail_on_b(cache, key):
        if key == "b":
            raise FakeError("b is refused")

    world.before_call = fail_on_b
    cached = figures("replay", trace)["with_cache"]
    assert cached["errors"] == 2
    assert cached["error_samples"] == [{"text": "b is refused", "count": 2}]
    assert (cached["requests"], cached["database_queries"], cached["hits"]) == (6, 4, 2)
    assert cached["wrong_values"] == 0


def test_a_server_that_goes_away_ends_the_replay_with_a_partial_report(run, world):
    def away(cache, key):
        if cache.calls > 500:
            raise FakeConnectionError("connection reset")

    world.before_call = away
    world.delete_error = FakeConnectionError("connection reset")
    status, out, _ = run("demo", "--url", "redis://h", "--json", "x.json")
    found = json.loads(pathlib.Path("x.json").read_text())
    assert status == 1
    assert "STOPPED EARLY" in out and "stopped answering: connection reset" in out
    assert "could not be deleted" in out
    assert not found["complete"] and 500 <= found["with_cache"]["requests"] <= 511
    assert found["with_cache"]["keys_left"] > 0


def test_a_cache_that_goes_on_without_its_server_is_found_out(run, world):
    def away(cache, key):
        if cache.calls > 500:
            cache.errors += 1
            cache.values.clear()
            world.ping_error = FakeConnectionError("connection reset")

    world.before_call = away
    status, out, _ = run("demo", "--url", "redis://h", "--limit", "5000")
    assert status == 1
    assert "stopped answering: connection reset" in out and "Try next" not in out
    assert re.search(r"errors +[1-9][\d,]* +the database answered instead", out)


def test_errors_that_pass_do_not_end_the_replay(figures, world):
    def hiccup(cache, key):
        cache.errors += cache.calls % 1000 == 0

    world.before_call = hiccup
    found = figures("demo", "--url", "redis://h")
    assert found["complete"] and found["with_cache"]["errors"] == 100


def test_wrong_values_are_found_and_are_status_1(run, world, trace):
    def spoil(cache, key):
        if cache.calls == 5:
            cache.values["a"] = b"something else"

    world.before_call = spoil
    status, out, _ = run("replay", trace)
    assert status == 1 and "WRONG VALUES: 1 " in out


def test_ctrl_c_prints_a_partial_report_and_cleans_up(run, world):
    def interrupt(cache, key):
        if cache.calls == 1000:
            signal.raise_signal(signal.SIGINT)

    world.before_call = interrupt
    status, out, _ = run("demo", "--url", "redis://h", "--threads", "2", "--json", "x.json")
    found = json.loads(pathlib.Path("x.json").read_text())
    assert status == 130
    assert "STOPPED EARLY" in out and "Try next" not in out
    assert found["interrupted"] and not found["complete"]
    assert 999 <= found["with_cache"]["requests"] < 100_000
    assert not world.cache.values and world.cache.is_closed
