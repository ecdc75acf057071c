"""Every trace is read or refused in words; no line is fatal."""

from __future__ import annotations

import gzip
import os
import pathlib
import random
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from coffer.cli import _input
from coffer.cli._demo import synthetic_trace
from coffer.cli._errors import TraceError
from coffer.cli._model import best_hit_ratio, hit_ratio_at_pace, ttl_seconds
from coffer.cli._traces import MAX_VALUE_BYTES, Trace, cache_key, read_trace

COMMON = (
    b'10.0.0.1 - - [01/Aug/1995:00:00:07 -0400] "GET /a?x=1&y=2 HTTP/1.0" 200 1839\n'
    b'10.0.0.2 - frank [01/Aug/1995:00:00:08 -0400] "POST /b HTTP/1.0" 302 -\n'
)
COMBINED = (
    b'::1 - - [29/Feb/2024:23:59:59 +0000] "GET /caf\xc3\xa9 HTTP/2.0" 200 5 "-" "a \\"b\\" c"\n'
    b'[::1]:80 ::1 - - [01/Mar/2024:00:00:00 +0000] "GET /c HTTP/2.0" 304 0 "http://x/" "y"\n'
)


def requests_of(trace: Trace) -> list[str]:
    return [trace.keys[index] for index in trace.indices]


@pytest.fixture
def trace_of(tmp_path: pathlib.Path):
    def read(content: bytes, *arguments, **options) -> Trace:
        path = tmp_path / "trace"
        path.write_bytes(content)
        return read_trace(str(path), *arguments, **options)

    return read


def zstd(content: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("needs the program zstd")
    return subprocess.run(["zstd", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout


def test_keys_are_counted_once_and_keep_their_order(trace_of):
    trace = trace_of(b"b\na\r\nb\nc d\na")
    assert requests_of(trace) == ["b", "a", "b", "c d", "a"]
    assert trace.keys == ["b", "a", "c d"]
    assert (trace.format, trace.times, trace.malformed, trace.lines) == ("keys", None, 0, 5)


def test_a_common_log_gives_path_time_and_size(trace_of):
    trace = trace_of(COMMON)
    assert trace.format == "clf"
    assert requests_of(trace) == ["/a?x=1&y=2", "/b"]
    assert list(trace.times) == [807249607.0, 807249608.0]
    assert list(trace.sizes) == [1839, 0]
    assert trace.writes == 1


def test_a_combined_log_with_quotes_virtual_hosts_and_leap_days(trace_of):
    trace = trace_of(COMBINED)
    assert requests_of(trace) == ["/café", "/c"]
    assert trace.times[1] - trace.times[0] == 1.0


@pytest.mark.parametrize(
    "line",
    [
        b'h - - [30/Feb/2024:00:00:00 +0000] "GET / HTTP/1.0" 200 1',
        b'h - - [01/Foo/2024:00:00:00 +0000] "GET / HTTP/1.0" 200 1',
        b'h - - [01/Aug/1995:00:00:07 +9999] "GET / HTTP/1.0" 200 1',
        b'h - - [01/Aug/1995:00:00:07 -0400] "-" 408 -',
        b'h - - [01/Aug/1995:00:00:07 -0400] "GET / HTTP/1.0 200 1',
        b'h - - [01/Aug/1995:00:00:07 -0400] "' + b"\\" * 60_000,
        b"h - - " + b"[01/Aug/1995:00:00:07 -0400] " * 2000,
        b"",
        b"x" * 70_000,
        b"\x16\x03\x01\xff\x00",
    ],
)
def test_a_line_that_is_no_request_is_counted_and_shown(trace_of, line):
    trace = trace_of(COMMON + line + b"\n" + COMMON)
    assert len(trace.indices) == 4
    assert trace.malformed == 1
    sample = trace.malformed_samples[0]
    assert sample.line == 3 and sample.reason
    assert len(sample.text) <= 60 and sample.text.isprintable()


def test_only_the_first_malformed_lines_are_kept(trace_of):
    trace = trace_of(COMMON + b"bad\n" * 1000, "clf")
    assert trace.malformed == 1000
    assert [sample.line for sample in trace.malformed_samples] == [3, 4, 5]


def test_tsv_columns_are_found_by_name(trace_of):
    trace = trace_of(b"Bytes\turl\thost\tTIME\n7\t/a\th\t10\n0\t/b\th\t2024-01-01T00:00:00Z\n")
    assert trace.format == "tsv"
    assert requests_of(trace) == ["/a", "/b"]
    assert list(trace.times) == [10.0, 1704067200.0]
    assert list(trace.sizes) == [7, 0]


def test_tsv_rows_that_are_short_or_timeless_are_malformed(trace_of):
    trace = trace_of(b"time\turl\n1\t/a\n2\nnan\t/b\nx\t/c\n3\t\n4\t/d\n")
    assert requests_of(trace) == ["/a", "/d"]
    assert trace.malformed == 4


def test_tsv_without_times_is_fine_and_without_a_url_is_not(trace_of):
    assert trace_of(b"url\tx\n/a\t1\n").times is None
    with pytest.raises(TraceError, match=r"no column named url.*the columns are: host, time"):
        trace_of(b"host\ttime\nh\t1\n")
    with pytest.raises(TraceError, match="no column named url"):
        trace_of(b"\xff\x00\x1b[2J\n/a\n", "tsv")


def test_sizes_are_the_first_that_are_told_and_at_most_a_mebibyte(trace_of):
    trace = trace_of(b"url\tbytes\n/a\t\n/a\t5\n/a\t9\n/b\t99999999\n/c\tmany\n")
    assert list(trace.sizes) == [5, MAX_VALUE_BYTES, 0]
    assert trace.trimmed_sizes == 1


def test_a_byte_order_mark_is_no_part_of_the_first_key(trace_of):
    assert trace_of(b"\xef\xbb\xbfa\nb\n").keys == ["a", "b"]


def test_limit_counts_requests_and_not_lines(trace_of):
    trace = trace_of(b"\n\na\nb\nc\n", limit=2)
    assert requests_of(trace) == ["a", "b"]
    assert trace.malformed == 2


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_packed_traces_are_told_by_their_bytes_also_several_in_a_row(trace_of, pack):
    assert requests_of(trace_of(pack(b"a\nb\n") + pack(b"c\n"))) == ["a", "b", "c"]


def test_zstd_through_the_package_zstandard(trace_of):
    library = pytest.importorskip("zstandard", reason="needs the Python package zstandard")
    packed = library.ZstdCompressor().compress(b"a\n" * 100_000)
    assert len(trace_of(packed + packed).indices) == 200_000
    with pytest.raises(TraceError):
        trace_of(packed[:-3])


def test_zstd_through_the_program(trace_of, monkeypatch):
    packed = zstd(b"a\n" * 100_000)
    monkeypatch.setattr(_input.importlib, "import_module", _no_module)
    assert len(trace_of(packed).indices) == 100_000
    assert len(trace_of(packed, limit=5).indices) == 5
    with pytest.raises(TraceError, match="cannot read"):
        trace_of(packed[:-3])


def test_zstd_without_anything_that_reads_it_says_what_to_install(trace_of, monkeypatch):
    packed = zstd(b"a\n")
    monkeypatch.setattr(_input.importlib, "import_module", _no_module)
    monkeypatch.setattr(_input.shutil, "which", lambda name: None)
    with pytest.raises(TraceError, match="apt install zstd"):
        trace_of(packed)


def _no_module(name: str):
    raise ImportError(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "no request in 3 lines"),
        (b"url\ttime\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (gzip.compress(b"a\n" * 999, mtime=0)[:-9], "damaged or ends early"),
        (gzip.compress(b"a\n" * 999, mtime=0)[:15] + b"\xff" * 30, "damaged|gzip|invalid"),
        (b"\xfd7zXZ\x00abc", "xz data; try: xz -dc"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04zip", "zip archive"),
        (b"\xff\xfea\x00\n\x00", "UTF-16"),
    ],
)
def test_a_trace_without_requests_is_refused_in_words(trace_of, content, words):
    with pytest.raises(TraceError, match=words):
        trace_of(content)


@pytest.mark.parametrize("name", ["no/such/file", ".", "a\x00b"])
def test_a_trace_that_cannot_be_opened_is_refused_in_words(name):
    with pytest.raises(TraceError, match="cannot read"):
        read_trace(name)


def test_lines_are_the_same_however_the_bytes_are_cut():
    content = b"one\n\ntwo\r\n" + b"x" * 200_000 + b"\nthree"
    whole = content.split(b"\n")
    for size in (1, 3, 7, 65_536, 1 << 20):
        blocks = [content[i : i + size] for i in range(0, len(content), size)]
        lines = list(_input.split_lines(blocks))
        assert len(lines) == len(whole)
        for line, expected in zip(lines, whole, strict=True):
            too_long = len(expected) > _input.MAX_LINE_BYTES
            assert len(line) > _input.MAX_LINE_BYTES if too_long else line == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b"a\x00b",
        b"a\tb",
        "é".encode() * 126,
        b"x" * 251,
        b"\xc2\x85",
        b"\x7f",
    ],
)
def test_keys_that_coffer_refuses_become_keys_that_it_takes(raw):
    key, rewritten = cache_key(raw)
    assert rewritten
    assert cache_key(raw) == (key, True)
    assert cache_key(key.encode()) == (key, False)
    assert cache_key(raw + b"!")[0] != key


@pytest.mark.parametrize("raw", [b"a", b"%s%n", b"{}", "日本".encode(), b"x" * 250, b" "])
def test_keys_that_coffer_takes_stay_as_they_are(raw):
    assert cache_key(raw) == (raw.decode(), False)


def test_rewritten_keys_are_counted_once_each(trace_of):
    trace = trace_of(b"\xff\n\xff\nok\n" + b"y" * 300 + b"\n")
    assert trace.rewritten_keys == 2
    assert len(trace.keys) == 3


def test_arbitrary_bytes_are_never_fatal(trace_of):
    made = random.Random(7)
    for format_name in ("keys", "clf"):
        content = made.randbytes(50_000)
        try:
            trace = trace_of(b"ok\n" + content, format_name)
        except TraceError as error:
            assert format_name == "clf" and "no request in" in str(error)
        else:
            assert len(trace.indices) + trace.malformed == trace.lines


def test_the_synthetic_trace_is_the_same_each_time_and_shaped_after_zipf():
    trace, again = synthetic_trace(), synthetic_trace()
    assert trace.keys == again.keys and trace.indices == again.indices
    counts = sorted(Counter(trace.indices).values(), reverse=True)
    assert len(trace.indices) == 100_000
    assert 1.7 < counts[0] / counts[1] < 2.3 < 2.7 < counts[0] / counts[2] < 3.3
    assert len(synthetic_trace(limit=10).indices) == 10


def test_the_model_agrees_with_counting_by_hand(trace_of):
    trace = trace_of(b"time\turl\n0\ta\n1\tb\n4\ta\n5\ta\n6\ta\n9\ta\n")
    assert hit_ratio_at_pace(trace, 5.0) == pytest.approx(3 / 6)  # a: 0 load, 4 hit, 5 load, 6 hit, 9 hit
    assert best_hit_ratio(trace) == pytest.approx(4 / 6)
    assert ttl_seconds("90") == 90 and ttl_seconds("1.5m") == 90 and ttl_seconds("250ms") == 0.25
    assert ttl_seconds("forever") > 1e300 and ttl_seconds("nonsense") is None


def test_standard_input_is_sniffed_too():
    script = "from coffer.cli._traces import read_trace; print(read_trace('-').keys)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for content in (b"a\nb\n", gzip.compress(b"a\nb\n", mtime=0), zstd(b"a\nb\n")):
        done = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, check=True, env=environment)
        assert done.stdout == b"['a', 'b']\n"
