"""The arguments of every command."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import textwrap

from ._formats import FORMATS

_REPLAY_ABOUT = """\
Answers "what would a cache do for my traffic?": replays the requests of TRACE as cache-aside
against a SQLite database with a row for each key, first without the cache, then with it."""

_REPLAY_MORE = """\
TRACE is plain, gzip or zstd (told by its first bytes), - is standard input:
  keys   one key a line
  clf    Common or Combined Log Format; the key is the request's path with its query
  tsv    tab-separated with a header; columns are found by name: url (the key), and where there
         are any time (unix seconds or ISO 8601), bytes (size of the value), method
Lines that are no requests are counted and shown, never fatal. Every request is replayed as a
read. Keys of more than 250 bytes, not UTF-8 or with control characters are replaced by their
beginning and a hash. Values are made up: as long as the trace says (1 MiB at most), else 200 to
2,000 bytes. The trace's keys are held in memory, its requests in 4 bytes each (12 with times).

On a server (redis://, valkey://, unix://) the replay stores its values in a namespace of its own,
replay-<random> or NAME-<random>, so that old contents do not falsify the figures and nothing of
yours is touched, and deletes its keys at the end.

--json FILE writes every figure (- : to standard output, instead of the report), schema
coffer-replay/1: trace, settings, database, without_cache, with_cache, comparison, model.
Each name is told in the documentation of the module coffer.cli._report.

exit status: 0 done; 1 the cache cannot be reached or gave wrong values; 2 a wrong argument, an
unreadable or empty trace, an unusable database; 130 Ctrl-C (the report is of what was done)"""

POLICIES = ("coffer", "lru", "s3fifo", "sieve", "fifo", "opt")

_SIMULATE_ABOUT = """\
Answers "how large must a near cache be, and is its policy any good?": what caches of some sizes would
have hit of the requests of TRACE, by the near cache's own code (coffer) and by other policies."""

_SIMULATE_MORE = """\
TRACE is as for coffer replay: keys, clf or tsv; plain, gzip or zstd; - is standard input. Every request
is a read, and a miss stores its key. Nothing expires.

--sizes is a list of shares of the trace's keys (5%) or of numbers of them (1000); each key is one unit then. With
--by bytes: shares of their bytes, or bytes (16MiB); a key whose size the trace does not tell has the mean of the others'.

coffer       the shards of the near cache and of mem://, as they are, with room for so many entries
lru, fifo    what was not used for longest goes, what came first goes
sieve, s3fifo  as their papers have them (NSDI 2024, SOSP 2023)
opt          Belady's optimum: what is used again last goes. With --by bytes a yardstick, not a bound

--json FILE writes every figure (- : to standard output, instead of the table), schema coffer-simulate/1.
Each name is told in the documentation of the module coffer.cli._simulate.

exit status: 0 done; 1 memory is short; 2 a wrong argument, an unreadable or empty trace; 130 Ctrl-C"""

_INSPECT_ABOUT = """\
Shows what a stored value's envelope says: its suite, key id, compression, format, sizes and times,
and what a reader makes of it. The value itself is shown with --value alone, keys never."""

_INSPECT_MORE = """\
With --url the argument is a key: of --prefix and --namespace (users, or users@3 with a version), or
with --full-key as it is on the server, such as prod:users:42. Without, it is a file (-: standard
input) that holds an envelope, as it is or in hex.

A sealed envelope opens with the key that sealed it, which is read from the environment
(COFFER_SEAL_KEY, COFFER_SEAL_KEY_ID) or from a file that only its owner can read; and only as what
it was stored as: for a file, --prefix, --namespace and --key say that. Without them its header is
shown.

Times are the server's, how far away they are is by this machine's clock.

--json FILE writes every field (- : to standard output, instead of the report), schema
coffer-inspect/1. Each name is told in the documentation of the module coffer.cli._inspect_report.

exit status: 0 shown; 1 what is there is refused by readers, there is nothing, or the server cannot
be reached; 2 a wrong argument or an unreadable file"""


def version() -> str:
    """Coffer's version."""
    try:
        import coffer

        return str(coffer.__version__)
    except (ImportError, AttributeError):
        pass
    try:
        return importlib.metadata.version("coffer")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="coffer",
        description="One cache in front of your database, on Redis and Valkey or none.",
    )
    parser.add_argument("--version", action="version", version=f"coffer {version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    replay = _command(commands, "replay", "what a cache would do for your traffic", _REPLAY_ABOUT)
    replay.add_argument("trace", metavar="TRACE", help="the requests; - for standard input")
    _add_options(replay)
    demo = _command(
        commands,
        "demo",
        "the same, with traffic that is made up",
        "coffer replay with a trace that is made here: synthetic, after Zipf's law, seeded, so\n"
        "the same in every run. With TRACE, that one is replayed.",
    )
    demo.add_argument("trace", metavar="TRACE", nargs="?", help="a trace of your own instead")
    _add_options(demo)
    simulate = _command(commands, "simulate", "what caches of some sizes would hit", _SIMULATE_ABOUT, _SIMULATE_MORE)
    _add_simulate_options(simulate)
    inspect = _command(commands, "inspect", "what a stored value's envelope says", _INSPECT_ABOUT, _INSPECT_MORE)
    _add_inspect_options(inspect)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, brief: str, about: str, more: str = _REPLAY_MORE
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=brief,
        description=textwrap.dedent(about),
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--url", default="mem://", help="the cache: mem:// (default), redis://host:port/db, unix://")
    add(
        "--ttl",
        default="5m",
        help="how long a value lives: 30s, 5m, 1h, long, forever (default 5m)",
    )
    add("--memory", metavar="SIZE", help="what mem:// may use, such as 16MiB (default 64MiB)")
    add("--prefix", help="first field of the keys on the server")
    add("--namespace", metavar="NAME", help="second field; on a server -<random> is added to it")
    add("--database", metavar="FILE", help="a SQLite file to make or use (default: a temporary one)")
    add("--format", choices=FORMATS, default="auto", help="what TRACE is (default: auto)")
    add("--limit", type=_positive, metavar="N", help="only the first N requests")
    add("--threads", type=_thread_count, default=1, metavar="N", help="threads, 1 (default) to 256")
    add(
        "--speed",
        type=_speed,
        default=None,
        metavar="max|real|Nx",
        help="max (default): as fast as it goes; real: at the trace's own pace; 60x: sixty times "
        "that (the TTL is not scaled). Each of the two passes takes that long",
    )
    add("--json", metavar="FILE", help="write every figure to FILE as JSON")


def _add_simulate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("trace", metavar="TRACE", help="the requests; - for standard input")
    add("--sizes", default="0.1%,1%,5%,10%,20%", metavar="LIST", help="how large the caches are (default 0.1%%,1%%,5%%,10%%,20%%)")
    add("--policy", default=",".join(POLICIES), metavar="LIST", help=f"which of {', '.join(POLICIES)} (default: all)")
    add("--by", choices=("count", "bytes"), default="count", help="what is counted: keys (default), or their bytes")
    add("--format", choices=FORMATS, default="auto", help="what TRACE is (default: auto)")
    add("--limit", type=_positive, metavar="N", help="only the first N requests")
    add("--json", metavar="FILE", help="write every figure to FILE as JSON")


def _add_inspect_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("what", metavar="KEY|FILE", help="with --url a key; without, a file that holds an envelope, - for standard input")
    add("--url", help="the server: redis://host:port/db, unix://")
    add("--prefix", help="first field of the key on the server (default: _, none)")
    add("--namespace", metavar="NAME[@VERSION]", help="second field (default: _, none)")
    add("--full-key", action="store_true", help="KEY is as on the server: prefix:namespace:key")
    add("--key", help="the key that a sealed FILE was stored under")
    add("--seal-key-file", metavar="FILE", help="a file with the key that sealed it, base64, chmod 600")
    add("--seal-key-id", metavar="N", help="that key's id (default: derived from it)")
    add("--value", action="store_true", help="show the value too")
    add("--json", metavar="FILE", help="write every field to FILE as JSON")


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= 4_000_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 4000000000")
    return number


def _thread_count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    if not 1 <= number <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return number


def _speed(text: str) -> float | None:
    words = {"max": None, "real": 1.0}
    if text in words:
        return words[text]
    try:
        factor = float(text.removesuffix("x")) if text.endswith("x") else math.nan
    except ValueError:
        factor = math.nan
    if not 0.001 <= factor <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is neither max nor real nor a factor such as 60x")
    return factor
