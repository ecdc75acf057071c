"""Measures Coffer beside its peers: `./dev bench [ROW ...] [--rounds N] [--count N] [--json FILE]`.

Every figure is a ratio taken in one run: server pinned to one core, client to another, ways interleaved A/B/A/B, the ratio formed round by
round. Absolute times drift from minute to minute on a shared machine; ratios and instruction counts do not.
docs/benchmarks.md says what each row is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH_GET = ROOT / "build/bench/bench/bench_get"
PEERS = ROOT / "build/peers"
PEER_PACKAGES = ["redis", "hiredis", "valkey-glide-sync"]


@dataclass
class Row:
    """A ratio of two ways, or a count, with what is aimed at."""

    name: str
    what: str
    ours: str
    peer: str
    target: str
    minimum: float
    median: float
    maximum: float
    ours_us: float
    peer_us: float
    met: bool


class Server:
    """A redis-server of our own on a free port of loopback, pinned to the first core."""

    def __enter__(self) -> Server:
        self.folder = tempfile.mkdtemp(prefix="coffer-bench-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.process = subprocess.Popen([*pin(SERVER_CORE), "redis-server", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self.is_up():
            if time.monotonic() > deadline:
                raise SystemExit("bench: redis-server did not start")
            time.sleep(0.01)
        return self

    def is_up(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                words = [b"bench:_:key:%d %s" % (number, b"x" * 100) for number in range(100)]
                link.sendall(b"MSET " + b" ".join(words) + b"\r\n")
                return link.recv(5) == b"+OK\r\n"
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


SERVER_CORE, CLIENT_CORE = 0, 1


def pin(core: int) -> list[str]:
    """The words that pin a command to a core, where there are at least two and taskset is there."""
    usable = len(os.sched_getaffinity(0))
    return ["taskset", "-c", str(core)] if usable > 1 and shutil.which("taskset") else []


def client_core(settings: argparse.Namespace) -> int:
    """The second core, or the server's."""
    return SERVER_CORE if settings.one_core else CLIENT_CORE


def peer_python() -> str:
    """The Python of an environment that holds the peers, made once from the registry."""
    python = PEERS / "bin/python"
    if not python.exists():
        print("bench: installing the peers", ", ".join(PEER_PACKAGES), "into build/peers", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        for package in PEER_PACKAGES:
            done = subprocess.run([str(python), "-m", "pip", "install", "-q", package], capture_output=True, text=True)
            if done.returncode != 0:
                print(f"bench: {package} cannot be had: its rows are a gap", file=sys.stderr)
    return str(python)


def run_once(way: str, port: int, count: int, core: int) -> dict[str, float]:
    """One round of one way, in a process of its own. Names: c/rawget, python/redis-py."""
    language, mode = way.split("/")
    environment = dict(os.environ)
    if language == "c":
        command = [str(BENCH_GET), mode, str(port), str(count)]
    else:
        python = sys.executable if mode.startswith("coffer") else peer_python()
        command = [python, str(ROOT / "bench/python_get.py"), mode, str(port), str(count)]
    done = subprocess.run([*pin(core), *command], capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{way}: {done.stderr.strip().splitlines()[-1:] or 'failed'}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare(
    name: str, what: str, ours: str, peer: str, target: float, larger_is_better: bool, settings: argparse.Namespace, port: int
) -> Row:
    """Rounds of A B A B; the ratio is ours over the peer's (time), or the peer's over ours where a speed-up is asked for."""
    ratios, times = [], {ours: [], peer: []}
    for _ in range(settings.rounds):
        for way in (ours, peer):
            times[way].append(run_once(way, port, settings.count, client_core(settings))["p50_ns"])
        ratio = times[ours][-1] / times[peer][-1]
        ratios.append(1 / ratio if larger_is_better else ratio)
    median = statistics.median(ratios)
    met = median >= target if larger_is_better else median <= target
    sign = ">=" if larger_is_better else "<="
    microseconds = {way: statistics.median(values) / 1000 for way, values in times.items()}
    return Row(name, what, ours, peer, f"{sign} {target}", min(ratios), median, max(ratios), microseconds[ours], microseconds[peer], met)


def instructions(mode: str, port: int, count: int) -> float:
    """User instructions of one GET, by callgrind: counted inside the function that gets once, what it calls included."""
    toggle = f"--toggle-collect=get_{mode}"
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", toggle, str(BENCH_GET), mode, str(port), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError("valgrind gave no count")
    return int(found.group(1))


def count_row(settings: argparse.Namespace, port: int) -> Row:
    """T2: what one more GET costs, the difference of a long and a short run."""
    short, long = 200, 2200
    ours, peer = ((instructions(mode, port, long) - instructions(mode, port, short)) / (long - short) for mode in ("coffer", "hiredis"))
    allocations = run_once("c/coffer", port, 2000, client_core(settings))["allocations"]
    what = f"user instructions a GET ({allocations:.1f} allocations of ours)"
    return Row("T2", what, "c/coffer", "c/hiredis", "<= 1500", ours, ours, ours, ours, peer, ours <= 1500)


COMPARISONS = {
    "T1": [
        ("C, one GET at a time, raw namespace", "c/coffer", "c/rawget", 1.05, False),
        ("hiredis, for scale", "c/hiredis", "c/rawget", 1.05, False),
    ],
    "T1e": [("C, the same with an envelope", "c/coffer-envelope", "c/rawget", 1.10, False)],
    "T3": [
        ("C, 100 keys: hiredis pipelined over ours", "c/coffer-many", "c/hiredis-pipeline", 1.3, True),
        ("C, 100 keys: hiredis MGET over ours", "c/coffer-many", "c/hiredis-mget", 1.0, True),
    ],
    "T5": [
        ("Python, one GET at a time, over the floor", "python/coffer", "c/rawget", 1.2, False),
        ("Python, over redis-py with its C parser", "python/coffer", "python/redis-py", 1.6, True),
        ("Python, over valkey-glide's sync client", "python/coffer", "python/valkey-glide", 1.0, True),
        ("Python, with an envelope, over redis-py", "python/coffer-envelope", "python/redis-py", 1.4, True),
    ],
    "T6": [
        ("Python get_many(100): redis-py mget over ours", "python/coffer-get-many", "python/redis-py-mget", 2.5, True),
        ("Python set_many(100): redis-py pipeline over ours", "python/coffer-set-many", "python/redis-py-pipeline-set", 4.0, True),
    ],
}


def measure(name: str, settings: argparse.Namespace, port: int) -> list[Row]:
    """All figures of one row of the table; a peer that cannot be had is a named gap."""
    if name == "T2":
        return [count_row(settings, port)]
    rows = []
    for what, ours, peer, target, larger_is_better in COMPARISONS[name]:
        try:
            rows.append(compare(name, what, ours, peer, target, larger_is_better, settings, port))
        except RuntimeError as gap:
            print(f"bench: {name} {what}: a gap, {gap}", file=sys.stderr)
    return rows


def show(rows: list[Row]) -> None:
    """The table."""
    print(f"{'row':4} {'what':58} {'target':>8} {'median':>9} {'min':>9} {'max':>9} {'ours':>9} {'peer':>9}")
    for row in rows:
        verdict = "" if row.met else "  missed"
        print(
            f"{row.name:4} {row.what[:58]:58} {row.target:>8} {row.median:9.2f} {row.minimum:9.2f} {row.maximum:9.2f}"
            f" {row.ours_us:9.1f} {row.peer_us:9.1f}{verdict}"
        )
    print("ours and peer: median microseconds of a GET (T2: instructions); ratios are formed round by round")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0] if __doc__ else None)
    known = ["T1", "T1e", "T2", "T3", "T5", "T6"]
    parser.add_argument("rows", nargs="*", default=known, metavar="ROW", help=f"which rows: {' '.join(known)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=20000, help="GETs a round")
    parser.add_argument("--one-core", action="store_true", help="server and client on one core: no wake-up of another is measured")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    settings = parser.parse_args()
    for name in settings.rows:
        if name not in known:
            parser.error(f"there is no row {name}; there are {' '.join(known)}")
    with Server() as server:
        rows = [row for name in settings.rows for row in measure(name, settings, server.port)]
    show(rows)
    if settings.json:
        settings.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
