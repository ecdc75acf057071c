"""What ends a command early: a sentence for a person and an exit status."""

from __future__ import annotations

EXIT_OK = 0
EXIT_UNREACHABLE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class CommandError(Exception):
    """The command cannot go on. The text is shown as it is, without a traceback."""

    status = EXIT_USAGE


class UsageError(CommandError):
    """An argument, a file or a database that cannot be used."""


class TraceError(UsageError):
    """A trace that cannot be read."""


class UnreachableError(CommandError):
    """The cache, or the server behind it, does not answer."""

    status = EXIT_UNREACHABLE
