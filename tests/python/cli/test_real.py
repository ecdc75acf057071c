"""The command as users have it: Coffer itself, in the process and on a real server, and real traces."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import coffer
from coffer.cli import main
from coffer.cli._database import Reader

LONG = ("--ttl", "1h", "--memory", "512MiB")


@pytest.fixture
def figures(capsys):
    def figures(*arguments: str, expect: int = 0) -> dict:
        status = main([*arguments, "--json", "-"])
        out, err = capsys.readouterr()
        assert status == expect, err
        return json.loads(out)

    return figures


@pytest.fixture
def some_trace(tmp_path) -> tuple[str, list[str]]:
    """2,000 requests over at most 300 keys, some of them hostile."""
    made = random.Random(3)
    names = [f"/page/{number}" for number in range(290)]
    names += ["%s%n", "{a}{b}", "日本", "x" * 300, "a\tb", " ", "a\x00b", "\x1b[31m", "%41", "a b"]
    requests = made.choices(names, k=2000)
    path = tmp_path / "some.keys"
    path.write_text("\n".join(requests) + "\n", encoding="utf-8")
    return str(path), requests


def expect_ideal(found: dict, requests: int, keys: int) -> None:
    """With memory and life enough each key is loaded once, whatever else happens."""
    cached = found["with_cache"]
    assert found["complete"]
    assert (found["trace"]["requests"], found["trace"]["keys"]) == (requests, keys)
    assert found["without_cache"]["database_queries"] == requests
    assert (cached["database_queries"], cached["hits"]) == (keys, requests - keys)
    assert (cached["errors"], cached["wrong_values"], cached["values_not_stored"]) == (0, 0, 0)
    assert cached["bytes_stored"] > 0


def counted(path: Path, column: int | None = None) -> tuple[int, int]:
    """Requests and distinct keys of a packed trace, by other means than the command's."""
    if shutil.which("zstd") is None:
        pytest.skip("needs the program zstd")
    lines = subprocess.run(["zstd", "-dc", str(path)], stdout=subprocess.PIPE, check=True).stdout.splitlines()
    keys = lines if column is None else [line.split(b"\t")[column] for line in lines[1:]]
    return len(keys), len(set(keys))


@pytest.mark.parametrize("threads", ["1", "4"])
def test_each_key_is_loaded_once_in_the_process(figures, some_trace, threads):
    path, requests = some_trace
    found = figures("replay", path, *LONG, "--threads", threads)
    expect_ideal(found, 2000, len(set(requests)))
    assert found["with_cache"]["entries"] == len(set(requests))
    assert found["trace"]["rewritten_keys"] == 4


@pytest.mark.parametrize("threads", ["1", "8", "40"])
def test_each_key_is_loaded_once_on_a_server_that_is_clean_afterwards(figures, some_trace, server, raw, threads):
    path, requests = some_trace
    with coffer.Cache(server.url, namespace="mine") as mine:
        mine.set("/page/1", "precious")
        found = figures("replay", path, "--url", server.url, "--namespace", "mine", "--threads", threads)
        expect_ideal(found, 2000, len(set(requests)))
        assert found["with_cache"]["keys_removed"] == len(set(requests))
        assert raw.call("KEYS", "*") == [b"_:mine:/page/1"]
        assert mine.get("/page/1") == "precious"


def test_little_memory_costs_hits_but_never_gives_wrong_values(figures):
    found = figures("demo", "--memory", "2MiB", "--ttl", "1h")
    cached = found["with_cache"]
    assert found["trace"]["keys"] < cached["database_queries"] < 100_000
    assert cached["evictions"] > 0 and cached["memory_used_bytes"] <= 2 << 20
    assert cached["wrong_values"] == cached["errors"] == 0
    assert 0.3 < cached["hit_ratio"] < found["model"]["best_hit_ratio"]


def test_the_ttl_counts_at_the_traces_own_pace(figures, tmp_path):
    (tmp_path / "t.tsv").write_text("time\turl\n0\ta\n0.05\ta\n0.1\tb\n1\ta\n1.05\ta\n")
    found = figures("replay", str(tmp_path / "t.tsv"), "--ttl", "500ms", "--speed", "real")
    assert (found["with_cache"]["database_queries"], found["with_cache"]["hits"]) == (3, 2)
    assert found["model"]["hit_ratio_at_trace_pace"] == 2 / 5


def test_the_demo_takes_no_argument_and_a_few_seconds(capsys):
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "The trace is synthetic" in out and "Try next" in out


@pytest.mark.parametrize("where", ["mem://", "server"])
@pytest.mark.parametrize(("name", "column"), [("web07.keys.zst", None), ("nasa-1995-08-01.tsv.zst", 4)])
def test_real_traces(figures, shared_traces, request, where, name, column):
    url = request.getfixturevalue("server").url if where == "server" else where
    expected = counted(shared_traces / name, column)
    found = figures("replay", str(shared_traces / name), "--url", url, *LONG, "--threads", "2")
    expect_ideal(found, *expected)
    assert found["trace"]["malformed_lines"] == 0
    assert found["trace"]["format"] == name.split(".")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "ftp://h"], "redis://"),
        (["--url", "redis://h:99999"], "port"),
        (["--url", "mem://?memory=1"], "memory"),
        (["--memory", "lots"], "memory"),
        (["--ttl", "0"], "ttl"),
        (["--ttl", "-5m"], "ttl"),
        (["--prefix", "a b"], "prefix"),
        (["--namespace", "x" * 65], "namespace"),
    ],
)
def test_what_coffer_refuses_is_status_2(capsys, some_trace, arguments, words):
    joined = [f"{arguments[0]}={arguments[1]}"]
    assert main(["replay", some_trace[0], *joined]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1


def test_a_server_that_is_not_there_is_status_1(capsys, some_trace):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert main(["replay", some_trace[0], "--url", f"redis://me:s3cret@127.0.0.1:{port}"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "cannot use the cache at redis://me:***@127.0.0.1" in err and "s3cret" not in err


def test_the_module_is_the_command(some_trace):
    command = [sys.executable, "-m", "coffer"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"coffer {coffer.__version__}\n"
    with open(some_trace[0], "rb") as trace:
        done = subprocess.run([*command, "replay", "-"], stdin=trace, capture_output=True, text=True, check=True)
    assert "hit ratio" in done.stdout and done.stderr == ""


def test_a_server_that_dies_ends_the_replay_with_what_was_measured(capsys, some_trace, doomed_server, monkeypatch):
    query, count = Reader.query, itertools.count()

    def deadly_query(reader: Reader, key: str) -> bytes:
        if next(count) == 2050:  # the pass without the cache made 2,000
            doomed_server.stop()
        return query(reader, key)

    monkeypatch.setattr(Reader, "query", deadly_query)
    assert main(["replay", some_trace[0], "--url", doomed_server.url + "?timeout=200ms"]) == 1
    out, _ = capsys.readouterr()
    assert "stopped answering" in out and "could not be deleted" in out
    assert re.search(r"errors +[1-9]", out)
