"""The commands: from arguments to a report and an exit status."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys

from ._backend import Backend
from ._demo import synthetic_trace, what_next
from ._errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNREACHABLE, UsageError
from ._input import is_terminal, shown_name
from ._parser import version
from ._progress import Progress
from ._replay import Outcome, replay
from ._report import as_json, as_text
from ._settings import Settings
from ._traces import Trace, read_trace


def run_replay(arguments: argparse.Namespace, backend: Backend) -> int:
    """`coffer replay`."""
    progress = _progress()
    check_json(arguments.json)
    return _replay(arguments, backend, _read(arguments, progress), progress)


def run_demo(arguments: argparse.Namespace, backend: Backend) -> int:
    """`coffer demo`: a replay, and what to try next."""
    progress = _progress()
    check_json(arguments.json)
    trace = synthetic_trace(limit=arguments.limit) if arguments.trace is None else _read(arguments, progress)
    status = _replay(arguments, backend, trace, progress)
    if status == EXIT_OK and arguments.json != "-":
        say("\n" + what_next(bool(trace.synthetic), _settings(arguments).is_local))
    return status


def _progress() -> Progress:
    return Progress(sys.stderr, enabled=is_terminal(2))


def _read(arguments: argparse.Namespace, progress: Progress) -> Trace:
    try:
        return read_trace(
            arguments.trace,
            arguments.format,
            arguments.limit,
            lambda lines: progress.update("reading the trace", lines),
        )
    finally:
        progress.clear()


def _replay(arguments: argparse.Namespace, backend: Backend, trace: Trace, progress: Progress) -> int:
    settings = _settings(arguments)
    if settings.speed is not None and trace.times is None:
        raise UsageError(f"--speed needs times, and {shown_name(trace.name)} (format {trace.format}) has none")
    try:
        outcome = replay(trace, settings, backend, progress)
    finally:
        progress.clear()
    _publish(outcome, arguments.json)
    return _status(outcome)


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        url=arguments.url,
        ttl=arguments.ttl,
        prefix=arguments.prefix,
        namespace=arguments.namespace,
        memory=arguments.memory,
        database=arguments.database,
        limit=arguments.limit,
        threads=arguments.threads,
        speed=arguments.speed,
    )


def check_json(name: str | None) -> None:
    """Better to know before the replay than after it."""
    if name is None or name == "-":
        return
    path = pathlib.Path(name)
    target = path if path.exists() else path.absolute().parent
    if path.is_dir() or not os.access(target, os.W_OK):
        raise UsageError(f"cannot write {shown_name(name)}")


def _publish(outcome: Outcome, json_name: str | None) -> None:
    if json_name != "-":
        say(as_text(outcome))
    if json_name is None:
        return
    text = json.dumps(as_json(outcome, version()), indent=2, ensure_ascii=True)
    if json_name == "-":
        say(text)
        return
    try:
        pathlib.Path(json_name).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {shown_name(json_name)}: {error.strerror}") from error


def say(text: str) -> None:
    """To standard output, whatever its encoding."""
    encoding = sys.stdout.encoding or "ascii"
    if encoding.lower().replace("-", "") != "utf8":
        text = text.replace("µ", "u").encode(encoding, "backslashreplace").decode(encoding)
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"), flush=True)


def _status(outcome: Outcome) -> int:
    if outcome.is_interrupted:
        return EXIT_INTERRUPTED
    if outcome.failure is not None:
        return outcome.failure.status
    if outcome.with_cache is not None and outcome.with_cache.wrong_values:
        return EXIT_UNREACHABLE
    return EXIT_OK
