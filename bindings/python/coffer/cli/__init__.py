"""The command `coffer`, also `python -m coffer`.

    coffer replay TRACE    what a cache would do for your traffic
    coffer demo            the same with traffic that is made up
    coffer simulate TRACE  what caches of some sizes would hit, by the near cache's policy and by others
    coffer inspect KEY     what a stored value's envelope says

Each command is a row of parser and function; exit statuses are in `_errors.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ._backend import Backend, real_backend
from ._errors import EXIT_INTERRUPTED, EXIT_USAGE, CommandError
from ._inspect import run_inspect
from ._parser import make_parser
from ._run import run_demo, run_replay
from ._simulate import run_simulate

__all__ = ["main"]

_COMMANDS: dict[str, Callable[[argparse.Namespace, Backend], int]] = {
    "replay": run_replay,
    "demo": run_demo,
    "inspect": run_inspect,
    "simulate": run_simulate,
}


def main(argv: Sequence[str] | None = None, *, make_backend: Callable[[], Backend] = real_backend) -> int:
    """Runs the command line and answers its exit status."""
    try:
        return _main(argv, make_backend)
    except CommandError as error:
        print(f"coffer: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("coffer: interrupted before anything was measured", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of the report has gone (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(argv: Sequence[str] | None, make_backend: Callable[[], Backend]) -> int:
    parser = make_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else EXIT_USAGE
    command = _COMMANDS.get(arguments.command or "")
    if command is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    return command(arguments, make_backend())
