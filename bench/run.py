"""Measures Coffer beside its peers: `./dev bench [ROW ...] [--list] [--rounds N] [--count N] [--one-core] [--json FILE]`.

Every figure is a ratio or a difference taken in one run: server pinned to one core, client to another, ways interleaved A/B/A/B, the figure
formed round by round. Absolute times drift from minute to minute on a shared machine; ratios and instruction counts do not.
docs/benchmarks.md says what each row is.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from machine import Server
from rows import ROWS, Row, measure


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if unit in ("instr", "bytes") else f"{value:.2f}" if unit in ("x", "ms", "") else f"{value:.1f}"


def line_of(row: Row) -> str:
    start = f"{row.name:8} {row.what[:64]:64}"
    if row.gap:
        return f"{start}  a gap: {row.gap}"
    figures = " ".join(f"{number(value, row.unit):>8}" for value in (row.median, row.minimum, row.maximum))
    values = " ".join(f"{number(value, row.value_unit):>8}" for value in (row.ours_value, row.peer_value))
    verdict = "  missed" if row.met is False else ""
    return f"{start} {row.target:>8} {figures} {row.unit:5} {values} {row.value_unit}{verdict}"


def show(rows: list[Row]) -> None:
    """The table, and below it what cannot stand in a column."""
    print(f"{'row':8} {'what':64} {'target':>8} {'median':>8} {'min':>8} {'max':>8} {'':5} {'ours':>8} {'peer':>8}")
    for row in rows:
        print(line_of(row))
    for row in rows:
        if row.note:
            print(f"{row.name}: {row.what}: {row.note}")
        if row.instructions and row.unit != "instr":
            counts = ", ".join(f"{way} {count:.0f}" for way, count in row.instructions.items())
            print(f"{row.name}: {row.what}: user instructions: {counts}")
    print("ours and peer are medians; ratios (x) and differences are formed round by round")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows: {' '.join(ROWS)}; without: all")
    parser.add_argument("--list", action="store_true", help="only say what each row is")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=20000, help="GETs a round")
    parser.add_argument("--one-core", action="store_true", help="server and client on one core: no wake-up of another is measured")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    settings = parser.parse_args()
    for name in settings.rows:
        if name not in ROWS:
            parser.error(f"there is no row {name}; there are {' '.join(ROWS)}")
    if min(settings.rounds, settings.count) < 1:
        parser.error("--rounds and --count are at least 1")
    if settings.list:
        for name, (what, _) in ROWS.items():
            print(f"{name:8} {what}")
        return 0
    with Server() as server:
        rows = [row for name in settings.rows or ROWS for row in measure(name, settings, server.port)]
    show(rows)
    if settings.json:
        settings.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
