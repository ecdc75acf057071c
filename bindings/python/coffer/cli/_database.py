"""The database of a replay: a SQLite file with a row for each key.

    CREATE TABLE coffer_replay (key TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID

The payloads are made up, the same for a key in every run: words in a row, which compress about as
well as JSON does. They are as long as the trace says (its bytes column), else 200 to 2,000 bytes.
In a file of the user's a table of that name and schema is used as it is and rows are only added.
"""

from __future__ import annotations

import itertools
import pathlib
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ._errors import UsageError
from ._traces import MAX_VALUE_BYTES, Trace

TABLE = "coffer_replay"
_CREATE = f"CREATE TABLE {TABLE} (key TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID"
_SELECT = f"SELECT payload FROM {TABLE} WHERE key = ?"
_COLUMNS = [("key", "TEXT", 1), ("payload", "BLOB", 0)]
_POOL_BYTES = 2 * MAX_VALUE_BYTES
_BATCH_ROWS = 1000


class Payloads:
    """Values that are made up: deterministic, cheap, as compressible as ordinary text."""

    def __init__(self) -> None:
        made = random.Random("coffer payloads")
        letters = "etaoinshrdlucmfwygpbvk"
        words = ["".join(made.choices(letters, k=made.randint(2, 10))) for _ in range(4096)]
        weights = [1 / rank for rank in range(1, len(words) + 1)]
        text = " ".join(made.choices(words, weights, k=_POOL_BYTES // 4))
        self._pool = text.encode("ascii").ljust(_POOL_BYTES, b".")[:_POOL_BYTES]

    def of(self, key: str, size_bytes: int) -> bytes:
        """The payload of a key; size 0 means that the trace does not tell."""
        number = zlib.crc32(key.encode("utf-8"))
        size = size_bytes or default_size_bytes(number)
        begin = number % (_POOL_BYTES - MAX_VALUE_BYTES)
        return self._pool[begin : begin + size]


def default_size_bytes(number: int) -> int:
    """200 to 2,000, evenly, by a number that the key gives."""
    return 200 + (number >> 7) % 1801


@dataclass(frozen=True)
class DatabaseFigures:
    """What there is in the database for a trace."""

    path: str
    is_temporary: bool
    rows: int
    rows_added: int
    payload_bytes: int


def prepare(
    trace: Trace,
    path: pathlib.Path,
    is_temporary: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DatabaseFigures:
    """Makes sure that the file has a row for each key of the trace. UsageError where it cannot."""
    _check_space(trace, path)
    try:
        connection = sqlite3.connect(path, timeout=10)
        try:
            if is_temporary:
                connection.execute("PRAGMA journal_mode=OFF")
                connection.execute("PRAGMA synchronous=OFF")
            _make_table(connection, path)
            added = _fill(connection, trace, progress)
            size = _payload_bytes(connection, trace)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise UsageError(f"cannot use the database {str(path)!a}: {error}") from error
    return DatabaseFigures(str(path), is_temporary, len(trace.keys), added, size)


class Reader:
    """A thread's own connection, for reading."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(pathlib.Path(path).absolute().as_uri() + "?mode=ro", uri=True, timeout=10)
        self._execute = self._connection.execute

    def query(self, key: str) -> bytes:
        """The row's payload: the query that a cache is there to save."""
        row = self._execute(_SELECT, (key,)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("a row has gone while the trace was replayed")
        payload = row[0]
        return payload if isinstance(payload, bytes) else str(payload).encode("utf-8")

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _check_space(trace: Trace, path: pathlib.Path) -> None:
    told = sum(trace.sizes)
    needed = told + 1100 * trace.sizes.count(0)
    try:
        free = shutil.disk_usage(path.absolute().parent).free
    except OSError as error:
        raise UsageError(f"cannot use the database {str(path)!a}: {(error.strerror or str(error)).lower()}") from error
    if needed > 0.9 * free:
        raise UsageError(
            f"the database needs about {needed >> 20:,} MiB and {free >> 20:,} MiB are free; "
            "use --limit, or --database with a file elsewhere"
        )


def _make_table(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    columns = connection.execute(f"PRAGMA table_info({TABLE})").fetchall()
    found = [(name, kind.upper(), int(key > 0)) for _, name, kind, _, _, key in columns]
    if not found:
        connection.execute(_CREATE)
    elif found != _COLUMNS:
        raise UsageError(f"the table {TABLE} in {str(path)!a} has other columns than this needs: {_CREATE}")


def _fill(connection: sqlite3.Connection, trace: Trace, progress: Callable[[int, int], None]) -> int:
    before = connection.total_changes
    for batch in _batches(trace):
        connection.executemany(f"INSERT OR IGNORE INTO {TABLE} VALUES (?, ?)", batch)
        progress(connection.total_changes - before, len(trace.keys))
    connection.commit()
    return connection.total_changes - before


def _batches(trace: Trace) -> Iterator[Iterator[tuple[str, bytes]]]:
    payloads = Payloads()
    rows = zip(trace.keys, map(payloads.of, trace.keys, trace.sizes), strict=True)
    for _ in range(0, len(trace.keys), _BATCH_ROWS):
        yield itertools.islice(rows, _BATCH_ROWS)


def _payload_bytes(connection: sqlite3.Connection, trace: Trace) -> int:
    """Of the trace's own rows: a file of the user's may hold more."""
    total = 0
    for begin in range(0, len(trace.keys), 500):
        keys = trace.keys[begin : begin + 500]
        marks = ",".join("?" * len(keys))
        row = connection.execute(f"SELECT sum(length(payload)) FROM {TABLE} WHERE key IN ({marks})", keys).fetchone()
        total += row[0] or 0
    return total
