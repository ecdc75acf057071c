"""The replay: the requests of a trace as cache-aside, without a cache and with it.

Both passes do the same for each request, in the same order, and time the same thing: how long the
application waits for the value. Without the cache that is one query; with it, `get_or_load` whose
loader is that query. A request whose cache call fails is answered by the database, as a good
application would do, and counted as an error.

    main thread   starts the workers, draws progress, hears Ctrl-C
    workers       take the next requests from one shared place, so their order is the trace's;
                  each has its own connection to the database
"""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import sqlite3
import tempfile
import threading
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from ._backend import Backend, CacheLike, StoreFigures
from ._database import DatabaseFigures, Reader, prepare
from ._errors import CommandError, UnreachableError, UsageError
from ._input import printable
from ._latency import Latencies
from ._progress import Progress
from ._settings import Settings
from ._traces import Trace

_CHUNK_REQUESTS = 64
_FAILURES_IN_A_ROW = 10
_DELETE_BATCH = 512
_POLL_SECONDS = 0.02
_ERROR_CHARACTERS = 200
_KNOWN_ERRORS = 20


@dataclass
class PassResult:
    """What one pass over the trace measured."""

    requests: int = 0
    queries: int = 0
    hits: int = 0
    errors: int = 0
    wrong_values: int = 0
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)
    error_texts: Counter[str] = field(default_factory=Counter)


@dataclass
class Outcome:
    """All that a replay found out; parts are None where it was stopped before them."""

    trace: Trace
    settings: Settings
    database: DatabaseFigures
    without: PassResult | None = None
    with_cache: PassResult | None = None
    store: StoreFigures | None = None
    is_interrupted: bool = False
    failure: CommandError | None = None
    removed_keys: int = 0
    left_keys: int = 0


def replay(trace: Trace, settings: Settings, backend: Backend, progress: Progress) -> Outcome:
    """Runs both passes. Raises CommandError where nothing can be measured at all."""
    if not settings.is_local:
        settings = replace(settings, namespace=_own_namespace(settings.namespace))
    with contextlib.closing(backend.open(settings)) as cache, _workplace(settings) as path:
        _ping(cache, backend, settings)
        database = prepare(
            trace,
            path,
            settings.database is None,
            lambda done, total: progress.update("filling the database", done, total),
        )
        outcome = Outcome(trace, settings, database)
        _Run(outcome, cache, backend, progress).passes()
    return outcome


def _own_namespace(wanted: str | None) -> str:
    """A namespace that nobody has used: what lies in the cache already would falsify the figures,
    and values that were made up must never meet real ones."""
    return f"{wanted or 'replay'}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def _workplace(settings: Settings) -> Iterator[pathlib.Path]:
    if settings.database is not None:
        yield pathlib.Path(settings.database)
        return
    with tempfile.TemporaryDirectory(prefix="coffer-replay-") as folder:
        yield pathlib.Path(folder, "replay.sqlite")


def _ping(cache: CacheLike, backend: Backend, settings: Settings) -> None:
    try:
        cache.ping()
    except backend.error as error:
        raise UnreachableError(f"cannot use the cache at {settings.shown_url}: {printable(str(error))}") from error


class Server(Protocol):
    """Answers requests in one thread."""

    result: PassResult

    def serve(self, index: int) -> bytes:
        """The value of a key, as the application gets it: this is what is timed."""

    def check(self, index: int, value: bytes) -> None:
        """What is counted of a request, outside the timing."""

    def close(self) -> None:
        """Gives back what the thread held."""


class DatabaseServer:
    """Without the cache: each request is a query."""

    def __init__(self, keys: list[str], checksums: array[int], reader: Reader) -> None:
        self.result = PassResult()
        self._keys = keys
        self._checksums = checksums
        self._reader = reader

    def serve(self, index: int) -> bytes:
        return self._reader.query(self._keys[index])

    def check(self, index: int, value: bytes) -> None:
        self.result.queries += 1
        self._checksums[index] = zlib.crc32(value)

    def close(self) -> None:
        self._reader.close()


class CacheServer:
    """With the cache: a query only where the cache asks for one."""

    def __init__(self, run: _Run, reader: Reader) -> None:
        self.result = PassResult()
        self._keys = run.outcome.trace.keys
        self._checksums = run.checksums
        self._loaded_flags = run.loaded_flags
        self._reader = reader
        self._get_or_load = run.cache.get_or_load
        self._error = run.backend.error
        self._shown_url = run.outcome.settings.shown_url
        self._loaded: bytes | None = None
        self._failures = 0

    def serve(self, index: int) -> bytes:
        key = self._keys[index]
        self._loaded = None
        try:
            value: bytes = self._get_or_load(key, self._load)
        except self._error as error:
            return self._without_cache(key, error)
        self._failures = 0
        return value

    def check(self, index: int, value: bytes) -> None:
        if self._loaded is None:
            self.result.hits += 1
        else:
            self._loaded_flags[index] = 1
        if not isinstance(value, bytes) or zlib.crc32(value) != self._checksums[index]:
            self.result.wrong_values += 1

    def close(self) -> None:
        self._reader.close()

    def _load(self, key: str) -> bytes:
        self.result.queries += 1
        self._loaded = self._reader.query(key)
        return self._loaded

    def _without_cache(self, key: str, error: Exception) -> bytes:
        result = self.result
        result.errors += 1
        text = printable(str(error))[:_ERROR_CHARACTERS] or type(error).__name__
        if text in result.error_texts or len(result.error_texts) < _KNOWN_ERRORS:
            result.error_texts[text] += 1
        away = isinstance(error, (ConnectionError, TimeoutError))
        self._failures = self._failures + 1 if away else 0
        if self._failures >= _FAILURES_IN_A_ROW:
            raise UnreachableError(f"the cache at {self._shown_url} stopped answering: {text}")
        return self._load(key) if self._loaded is None else self._loaded


class _Run:
    """One replay under way."""

    def __init__(self, outcome: Outcome, cache: CacheLike, backend: Backend, progress: Progress) -> None:
        keys = outcome.trace.keys
        self.outcome = outcome
        self.cache = cache
        self.backend = backend
        self.checksums = array("I", bytes(4 * len(keys)))
        self.loaded_flags = bytearray(len(keys))
        self._progress = progress
        self._known_errors = 0

    def passes(self) -> None:
        """Both passes, as far as they come, and then the server's clean-up."""
        outcome = self.outcome
        outcome.without = self._pass("without the cache", self._database_server)
        if outcome.is_interrupted or outcome.failure:
            return
        try:
            outcome.with_cache = self._pass("with the cache", self._cache_server, self._check_cache)
            self._read_store()
        finally:
            if not outcome.settings.is_local:
                self._clean_up()

    def _database_server(self) -> Server:
        reader = Reader(self.outcome.database.path)
        return DatabaseServer(self.outcome.trace.keys, self.checksums, reader)

    def _cache_server(self) -> Server:
        return CacheServer(self, Reader(self.outcome.database.path))

    def _pass(self, what: str, make_server: Callable[[], Server], check: Callable[[], None] = lambda: None) -> PassResult:
        total = len(self.outcome.trace.indices)

        def watch(done: int) -> None:
            self._progress.update(what, done, total)
            check()

        crew = Crew(self.outcome.trace, self.outcome.settings, make_server)
        self.outcome.is_interrupted = not crew.run(watch)
        if isinstance(crew.failure, CommandError):
            self.outcome.failure = crew.failure
        elif isinstance(crew.failure, sqlite3.Error):
            self.outcome.failure = UsageError(f"the database failed: {crew.failure}")
        elif crew.failure is not None:
            raise crew.failure
        return crew.result

    def _check_cache(self) -> None:
        """Coffer goes on without a server that is away, so nothing is raised: where its errors grow, the server is asked."""
        try:
            errors = self.backend.figures(self.cache).errors
            if errors != self._known_errors:
                self._known_errors = errors
                self.cache.ping()
        except self.backend.error as error:
            where = self.outcome.settings.shown_url
            raise UnreachableError(f"the cache at {where} stopped answering: {printable(str(error))}") from error

    def _read_store(self) -> None:
        with contextlib.suppress(self.backend.error):
            self.outcome.store = self.backend.figures(self.cache)

    def _clean_up(self) -> None:
        """Deletes what the replay stored on a server. What cannot be deleted ends with its TTL."""
        outcome = self.outcome
        keys = [key for key, loaded in zip(outcome.trace.keys, self.loaded_flags, strict=True) if loaded]
        try:
            for begin in range(0, len(keys), _DELETE_BATCH):
                batch = keys[begin : begin + _DELETE_BATCH]
                self.cache.delete_many(batch)
                outcome.removed_keys += len(batch)
                self._progress.update("cleaning up", outcome.removed_keys, len(keys))
        except self.backend.error:
            pass
        except KeyboardInterrupt:
            outcome.is_interrupted = True
        outcome.left_keys = len(keys) - outcome.removed_keys


class Crew:
    """The workers of a pass, and the place where they take their requests."""

    def __init__(self, trace: Trace, settings: Settings, make_server: Callable[[], Server]) -> None:
        self.result = PassResult()
        self.failure: BaseException | None = None
        self._indices = trace.indices
        self._times = trace.times if settings.speed is not None else None
        self._speed = settings.speed or 1.0
        self._make_server = make_server
        self._thread_count = settings.threads
        self._chunk = 1 if self._times else _CHUNK_REQUESTS
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next = 0
        self._began = 0.0
        self._started_count = 0
        self._ended_count = 0

    def run(self, watch: Callable[[int], None]) -> bool:
        """Replays all; False where Ctrl-C ended it before. `watch` is called now and then, and may raise CommandError to end it."""
        self._began = time.perf_counter()
        try:
            self._start()
            self._wait_for_workers(watch)
            watch(self.result.requests)
        except KeyboardInterrupt:
            return False
        except CommandError as error:
            self.failure = self.failure or error
        finally:
            self._stop.set()
            self._wait_for_workers(lambda done: None)
        return True

    def _start(self) -> None:
        for number in range(self._thread_count):
            try:
                threading.Thread(target=self._work, name=f"replay-{number}", daemon=True).start()
            except RuntimeError as error:
                raise UsageError(f"cannot start {self._thread_count} threads: {error}") from error
            self._started_count += 1

    def _wait_for_workers(self, watch: Callable[[int], None]) -> None:
        """Counts them itself: a Thread.join that Ctrl-C interrupts takes its thread for ended (CPython 3.11)."""
        while self._ended_count < self._started_count:
            time.sleep(_POLL_SECONDS)
            watch(self.result.requests)

    def _work(self) -> None:
        try:
            with contextlib.closing(self._make_server()) as server:
                try:
                    self._serve_all(server)
                finally:
                    self._merge(server.result)
        except BaseException as error:
            self.failure = self.failure or error
            self._stop.set()
        with self._lock:
            self.result.seconds = time.perf_counter() - self._began
            self._ended_count += 1

    def _serve_all(self, server: Server) -> None:
        while not self._stop.is_set():
            with self._lock:
                begin = self._next
                self._next = end = min(begin + self._chunk, len(self._indices))
            if begin == end:
                return
            self._serve(server, begin, end)

    def _serve(self, server: Server, begin: int, end: int) -> None:
        clock, is_stopped = time.perf_counter_ns, self._stop.is_set
        samples = []
        try:
            for position in range(begin, end):
                if is_stopped() or (self._times is not None and not self._wait(position)):
                    break
                index = self._indices[position]
                began_ns = clock()
                value = server.serve(index)
                samples.append(clock() - began_ns)
                server.check(index, value)
        finally:
            with self._lock:
                self.result.requests += len(samples)
                self.result.latencies.add(samples)

    def _wait(self, position: int) -> bool:
        """Until it is this request's time; False where the replay was stopped meanwhile."""
        assert self._times is not None
        due = self._began + (self._times[position] - self._times[0]) / self._speed
        while (delay := due - time.perf_counter()) > 0:
            if self._stop.wait(min(delay, 60.0)):
                return False
        return True

    def _merge(self, one: PassResult) -> None:
        with self._lock:
            self.result.queries += one.queries
            self.result.hits += one.hits
            self.result.errors += one.errors
            self.result.wrong_values += one.wrong_values
            self.result.error_texts += one.error_texts
