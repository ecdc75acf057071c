"""`coffer simulate`: how often a cache of some size would have hit, by the near cache's own code and by other policies.

JSON (`--json FILE`), schema "coffer-simulate/1". Names are stable; new names may be added.

    schema, coffer_version
    trace      name, format, requests, keys, bytes (of all keys once; null: by count), malformed_lines
    by         "count" or "bytes"
    results    [{size, capacity, policies: {<name>: {hits, hit_ratio, byte_hit_ratio, capacity}}}]

`size` is as it was asked for, the outer `capacity` what that is in keys or bytes; the inner one is what the policy had: coffer cuts
its memory into segments, and may have a little less. `byte_hit_ratio` is null by count.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ._backend import Backend
from ._errors import EXIT_OK, UnreachableError, UsageError
from ._input import is_terminal, shown_name
from ._parser import POLICIES, version
from ._progress import Progress
from ._run import check_json, say
from ._traces import Trace, read_trace

_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@dataclass(frozen=True)
class _Size:
    """As it was asked for, and in keys or bytes."""

    text: str
    capacity: int


@dataclass(frozen=True)
class _Result:
    size: _Size
    policies: dict[str, dict[str, Any]]


def run_simulate(arguments: argparse.Namespace, _: Backend) -> int:
    """`coffer simulate`."""
    check_json(arguments.json)
    policies = _policies(arguments.policy)
    progress = Progress(sys.stderr, enabled=is_terminal(2))
    try:
        trace = read_trace(arguments.trace, arguments.format, arguments.limit, lambda lines: progress.update("reading the trace", lines))
        weights = _weights(trace) if arguments.by == "bytes" else None
        whole = sum(weights) if weights is not None else len(trace.keys)
        sizes = _sizes(arguments.sizes, whole, arguments.by)
        results = _simulate(trace, weights, sizes, policies, progress)
    finally:
        progress.clear()
    _publish(_as_json(trace, weights, arguments.by, results), arguments.json)
    return EXIT_OK


def _policies(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in POLICIES:
            raise UsageError(f"no policy is called {name!a}; there are {', '.join(POLICIES)}")
    return list(dict.fromkeys(names))


def _weights(trace: Trace) -> array[int]:
    """Bytes by key: where the trace does not tell them, what its other keys have on average."""
    told = [size for size in trace.sizes if size]
    if not told:
        raise UsageError(f"--by bytes needs sizes, and {shown_name(trace.name)} (format {trace.format}) has none")
    mean = max(1, sum(told) // len(told))
    return array("I", (size or mean for size in trace.sizes))


def _sizes(text: str, whole: int, by: str) -> list[_Size]:
    return [_Size(part.strip(), _capacity(part.strip(), whole, by)) for part in text.split(",")]


def _capacity(text: str, whole: int, by: str) -> int:
    """A share of what the trace has, or a number of keys or bytes; at least 1."""
    unit = text[-3:] if by == "bytes" and text[-3:] in _UNITS else "%" if text.endswith("%") else ""
    try:
        number = float(text.removesuffix(unit)) if text.isascii() else 0.0
    except ValueError:
        number = 0.0
    if not 0 < number <= (100.0 if unit == "%" else 2.0**40) or (not unit and number != int(number)):
        kinds = (
            "a share such as 5%, or a number of keys" if by == "count" else "a share such as 5%, a number of bytes, or one such as 16MiB"
        )
        raise UsageError(f"--sizes: {text!a} is not a size: {kinds}")
    scale = whole / 100 if unit == "%" else _UNITS.get(unit, 1)
    return max(1, round(number * scale))


def _simulate(
    trace: Trace, weights: array[int] | None, sizes: Sequence[_Size], policies: Sequence[str], progress: Progress
) -> list[_Result]:
    from coffer import _coffer_core as core

    results = []
    for number, size in enumerate(sizes):
        figures: dict[str, dict[str, Any]] = {}
        for policy in policies:
            progress.update("simulating", number * len(policies) + len(figures), len(sizes) * len(policies))
            try:
                raw = core.simulate(policy, trace.indices, weights, len(trace.keys), size.capacity)
            except MemoryError:
                raise UnreachableError(f"memory is short for a cache of {size.capacity:,}") from None
            figures[policy] = {
                "hits": raw["hits"],
                "hit_ratio": raw["hits"] / len(trace.indices),
                "byte_hit_ratio": raw["hit_bytes"] / raw["requested_bytes"] if weights is not None else None,
                "capacity": raw["capacity"],
            }
        results.append(_Result(size, figures))
    return results


def _as_json(trace: Trace, weights: array[int] | None, by: str, results: Sequence[_Result]) -> dict[str, Any]:
    return {
        "schema": "coffer-simulate/1",
        "coffer_version": version(),
        "trace": {
            "name": shown_name(trace.name),
            "format": trace.format,
            "requests": len(trace.indices),
            "keys": len(trace.keys),
            "bytes": sum(weights) if weights is not None else None,
            "malformed_lines": trace.malformed,
        },
        "by": by,
        "results": [{"size": one.size.text, "capacity": one.size.capacity, "policies": one.policies} for one in results],
    }


def _publish(figures: dict[str, Any], json_name: str | None) -> None:
    text = json.dumps(figures, indent=2, ensure_ascii=True)
    if json_name == "-":
        say(text)
        return
    say(_as_text(figures))
    if json_name is not None:
        try:
            pathlib.Path(json_name).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {shown_name(json_name)}: {error.strerror}") from error


def _as_text(figures: dict[str, Any]) -> str:
    trace, by = figures["trace"], figures["by"]
    skipped = f", {trace['malformed_lines']:,} lines skipped" if trace["malformed_lines"] else ""
    lines = [f"{trace['name']}: {trace['requests']:,} requests for {trace['keys']:,} keys{skipped}", ""]
    lines += _table(figures, "hit_ratio", f"hits, %, by {'keys' if by == 'count' else 'bytes'}")
    if by == "bytes":
        lines += ["", *_table(figures, "byte_hit_ratio", "bytes that were hit, %")]
    return "\n".join(lines)


def _table(figures: dict[str, Any], field: str, title: str) -> list[str]:
    names = list(figures["results"][0]["policies"])
    lines = [title, f"{'size':>8} {'keys' if figures['by'] == 'count' else 'bytes':>14}" + "".join(f"{name:>9}" for name in names)]
    for one in figures["results"]:
        ratios = "".join(f"{100 * one['policies'][name][field]:>9.2f}" for name in names)
        lines.append(f"{one['size']:>8} {one['capacity']:>14,}{ratios}")
    return lines
