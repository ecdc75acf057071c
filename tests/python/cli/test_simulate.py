"""`coffer simulate`: its table, its JSON, and what it refuses."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest

from coffer.cli import main

HERE = pathlib.Path(__file__).resolve().parents[3]
TRACES = pathlib.Path(os.environ.get("COFFER_SHARED", HERE.parent / "shared")) / "data" / "traces"


def write(folder: pathlib.Path, text: str, name: str = "trace.keys") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def simulate(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["simulate", *arguments, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def hits(figures: Any, number: int = 0) -> dict[str, int]:
    return {name: one["hits"] for name, one in figures["results"][number]["policies"].items()}


def test_policies_differ_where_they_should(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write(tmp_path, "".join(f"{key}\n" for key in "ABCADABCD"))
    figures = simulate(capsys, trace, "--sizes", "3,100%", "--policy", "lru,fifo,opt")
    assert hits(figures) == {"lru": 2, "fifo": 1, "opt": 4}
    assert hits(figures, 1) == {"lru": 5, "fifo": 5, "opt": 5}
    assert figures["schema"] == "coffer-simulate/1"
    assert figures["trace"] | {"name": ""} == {
        "name": "",
        "format": "keys",
        "requests": 9,
        "keys": 4,
        "bytes": None,
        "malformed_lines": 0,
    }
    assert [one["capacity"] for one in figures["results"]] == [3, 4]


def test_sizes_by_bytes(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["url\ttime\tbytes"] + [
        f"/{key}\t{number}\t{size}" for number, (key, size) in enumerate([("a", 400), ("b", 600), ("a", 400), ("b", 600)])
    ]
    trace = write(tmp_path, "\n".join(lines) + "\n", "trace.tsv")
    figures = simulate(capsys, trace, "--by", "bytes", "--sizes", "50%,1KiB", "--policy", "lru")
    assert figures["trace"]["bytes"] == 1000
    assert [one["capacity"] for one in figures["results"]] == [500, 1024]
    assert hits(figures) == {"lru": 1} and hits(figures, 1) == {"lru": 2}
    assert figures["results"][0]["policies"]["lru"]["byte_hit_ratio"] == 0.2


def test_every_policy_by_default_in_a_table(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write(tmp_path, "a\nb\na\n\nb\n")
    assert main(["simulate", trace]) == 0
    out = capsys.readouterr().out
    assert "4 requests for 2 keys, 1 lines skipped" in out
    assert out.splitlines()[3].split() == ["size", "keys", "coffer", "lru", "s3fifo", "sieve", "fifo", "opt"]
    assert [line.split()[0] for line in out.splitlines()[4:]] == ["0.1%", "1%", "5%", "10%", "20%"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "mru"], "no policy is called 'mru'"),
        (["--sizes", "0"], "is not a size"),
        (["--sizes", "101%"], "is not a size"),
        (["--sizes", "5,,6"], "is not a size"),
        (["--sizes", "1.5"], "is not a size"),
        (["--sizes", "nan%"], "is not a size"),
        (["--sizes", "16MiB"], "is not a size"),
        (["--by", "bytes"], "has none"),
    ],
)
def test_nonsense_is_refused_in_words(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main(["simulate", write(tmp_path, "a\nb\n"), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_empty_trace_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", write(tmp_path, "")]) == 2
    assert "is empty" in capsys.readouterr().err
    assert main(["simulate", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize(
    ("name", "limit", "is_web"),
    [("nasa-1995-08-01.tsv.zst", None, True), ("web07.keys.zst", None, True), ("orm-busy.keys.zst", 1_000_000, False)],
)
def test_t10_on_real_traces(capsys: pytest.CaptureFixture[str], name: str, limit: int | None, is_web: bool) -> None:
    """Never more than half a point under the better of LRU and S3-FIFO; on web traces a quarter of the way from LRU to the optimum."""
    if not (TRACES / name).exists():
        pytest.skip(f"no {name}: COFFER_SHARED names the folder that has data/traces")
    cut = ["--limit", str(limit)] if limit else []
    figures = simulate(capsys, str(TRACES / name), "--sizes", "1%,5%,10%,20%", "--policy", "coffer,lru,s3fifo,opt", *cut)
    for one in figures["results"]:
        ratio = {policy: 100 * figure["hit_ratio"] for policy, figure in one["policies"].items()}
        assert ratio["coffer"] >= max(ratio["lru"], ratio["s3fifo"]) - 0.5, (one["size"], ratio)
        assert ratio["coffer"] <= ratio["opt"]
        if is_web and one["size"] in ("1%", "5%"):
            assert ratio["coffer"] - ratio["lru"] >= (ratio["opt"] - ratio["lru"]) / 4, (one["size"], ratio)
