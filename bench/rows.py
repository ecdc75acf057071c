"""The rows: what is compared with what, and what is aimed at. docs/benchmarks.md says what each is."""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from machine import CLIENT_CORE, SERVER_CORE
from ways import Gap, company, compile_ours, instructions, peer_python, run_once, start_ms

STARTS_A_ROUND = 10


@dataclass
class Row:
    """A figure in `unit` (x: a ratio) with its range over the rounds, made of two values in `value_unit`; or a gap, and why."""

    name: str
    what: str
    ours: str = ""
    peer: str = ""
    target: str = ""
    unit: str = "x"
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    value_unit: str = "us"
    ours_value: float | None = None
    peer_value: float | None = None
    met: bool | None = None  # None: nothing is aimed at
    note: str = ""
    gap: str = ""
    instructions: dict[str, float] = field(default_factory=dict)  # user instructions of a GET, by way

    def judge(self, target: float | None, sign: str = "<=") -> Row:
        if target is not None and self.median is not None:
            self.target = f"{sign} {target:g}"
            self.met = self.median >= target if sign == ">=" else self.median <= target
        return self


def row_of(name: str, what: str, figures: list[float], **more: object) -> Row:
    row = Row(name, what, minimum=min(figures), median=statistics.median(figures), maximum=max(figures))
    for key, value in more.items():
        setattr(row, key, value)
    return row


@dataclass(frozen=True)
class Comparison:
    """Two ways that run in turn. The figure is ours over the peer's time; the peer's over ours (`faster`) where a speed-up is asked
    for; ours less the peer's (`extra`) where a price is."""

    what: str
    ours: str
    peer: str
    target: float | None = None
    kind: str = "ratio"
    local: bool = False  # nanoseconds, not microseconds
    counted: bool = False  # instructions too

    def figure(self, ours_ns: float, peer_ns: float) -> float:
        return {"ratio": ours_ns / peer_ns, "faster": peer_ns / ours_ns, "extra": ours_ns - peer_ns}[self.kind]


Settings = argparse.Namespace

# A row's parts fail alone: what is shown for a part that fails, and what measures it.
Part = tuple[str, Callable[[str, Settings, int], list[Row]]]


def client_core(settings: Settings) -> int:
    """The second core, or the server's."""
    return SERVER_CORE if settings.one_core else CLIENT_CORE


def counted(row: Row, ways: list[str], port: int) -> Row:
    """The row with the instructions of these ways; where they cannot be counted its note says why."""
    try:
        row.instructions = {way: round(instructions(way, port), 1) for way in ways}
    except Gap as gap:
        row.note = f"{row.note}; instructions: {gap}".lstrip("; ")
    return row


def more_instructions(row: Row, what: str) -> list[Row]:
    """A row of its own for how many instructions ours takes more than the peer, where they were counted."""
    if not row.instructions:
        return []
    ours, peer = row.instructions[row.ours], row.instructions[row.peer]
    more = row_of(row.name, what, [ours - peer], ours=row.ours, peer=row.peer, unit="instr", value_unit="instr")
    more.ours_value, more.peer_value = ours, peer
    return [more]


def compare(name: str, asked: Comparison, settings: Settings, port: int) -> tuple[Row, dict[str, dict[str, float]]]:
    """Rounds of A B A B; and the last round's figures by way."""
    last: dict[str, dict[str, float]] = {}
    figures: list[float] = []
    times: dict[str, list[float]] = {asked.ours: [], asked.peer: []}
    for _ in range(settings.rounds):
        for way in (asked.ours, asked.peer):
            last[way] = run_once(way, port, settings.count, client_core(settings))
            times[way].append(last[way]["p50_ns"])
        figures.append(asked.figure(times[asked.ours][-1], times[asked.peer][-1]))
    scale = 1 if asked.local else 1000
    ours, peer = (statistics.median(times[way]) / scale for way in (asked.ours, asked.peer))
    row = row_of(name, asked.what, figures, ours=asked.ours, peer=asked.peer, ours_value=ours, peer_value=peer)
    row.unit = "ns" if asked.kind == "extra" else "x"
    row.value_unit = "ns" if asked.local else "us"
    return row.judge(asked.target, ">=" if asked.kind == "faster" else "<="), last


def compared(asked: Comparison) -> Callable[[str, Settings, int], list[Row]]:
    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        row, _ = compare(name, asked, settings, port)
        return [counted(row, [asked.ours, asked.peer], port) if asked.counted else row]

    return measure


# ---- rows that are more than a comparison


def instructions_of_a_get(name: str, settings: Settings, port: int) -> list[Row]:
    ours, peer = instructions("c/coffer", port), instructions("c/hiredis", port)
    allocations = run_once("c/coffer", port, 2000, client_core(settings))["allocations"]
    what = f"user instructions a GET ({allocations:.1f} allocations of ours)"
    row = row_of(name, what, [ours], ours="c/coffer", peer="c/hiredis", unit="instr", value_unit="instr", ours_value=ours, peer_value=peer)
    return [counted(row, ["c/coffer", "c/hiredis"], port).judge(1500)]


def many_threads(threads: int, target: float, median_target: float | None) -> Callable[[str, Settings, int], list[Row]]:
    """T4: throughput over hiredis', and the median; the client's threads run on all cores, as they would."""

    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        ours, peer = f"threads/coffer-{threads}", f"threads/hiredis-{threads}"
        rounds: list[dict[str, dict[str, float]]] = []
        for _ in range(settings.rounds):
            rounds.append({way: run_once(way, port, 10 * settings.count, None) for way in (ours, peer)})
        rates, medians = ([figures[ours][key] / figures[peer][key] for figures in rounds] for key in ("gets_per_s", "p50_ns"))
        what = f"C, {threads} thread{'s' if threads > 1 else ''} on one cache, over a hiredis connection each"
        rows = [row_of(name, f"{what}: throughput", rates, ours=ours, peer=peer).judge(target, ">=")]
        rows[0].value_unit = "kGET/s"
        rows.append(row_of(name, f"{what}: median time", medians, ours=ours, peer=peer).judge(median_target))
        for row, key in zip(rows, ("gets_per_s", "p50_ns"), strict=True):
            row.ours_value, row.peer_value = (statistics.median(figures[way][key] for figures in rounds) / 1000 for way in (ours, peer))
        return rows

    return measure


def tasks_at_once(what: str, ours: str, peer: str, target: float | None, counted_too: bool = False, times: int = 1) -> Part:
    """GETs a second of everybody in one loop, ours over the peer's; so many times as many GETs, where one is short beside the clock."""

    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        rates: dict[str, list[float]] = {ours: [], peer: []}
        for _ in range(settings.rounds):
            for way, taken in rates.items():
                taken.append(run_once(way, port, times * settings.count, client_core(settings))["gets_per_s"])
        row = row_of(name, what, [a / b for a, b in zip(rates[ours], rates[peer], strict=True)], ours=ours, peer=peer)
        row.ours_value, row.peer_value = (statistics.median(taken) / 1000 for taken in (rates[ours], rates[peer]))
        row.value_unit = "kGET/s"
        row.judge(target, ">=")
        return [counted(row, [ours, peer], port) if counted_too else row]

    return what, measure


def packed_json(name: str, settings: Settings, port: int) -> list[Row]:
    """T11: the time, and how many bytes the server holds and sends."""
    asked = Comparison("857 bytes of JSON, compressed and sealed, over hiredis", "c/coffer-json-packed", "c/hiredis-json", 1.10)
    time_row, last = compare(name, asked, settings, port)
    ours, peer = (last[way]["stored_bytes"] for way in (asked.ours, asked.peer))
    bytes_row = row_of(
        name, "the same in bytes: stored, and sent but for the reply's frame", [ours / peer], ours=asked.ours, peer=asked.peer
    )
    bytes_row.value_unit, bytes_row.ours_value, bytes_row.peer_value = "bytes", ours, peer
    bytes_row.note = "a quarter of the bytes is aimed at with a dictionary, which is not there yet"
    return [counted(time_row, [asked.ours, asked.peer], port), bytes_row]


def metrics_price(what: str, ours: str, kind: str, target: float) -> Callable[[str, Settings, int], list[Row]]:
    """T12: the same program with what counts and records linked away. It has to be away, or the figure would flatter."""
    peer = ours.replace("c/", "c-unobserved/")
    asked = Comparison(what, ours, peer, target, kind, local=kind == "extra")

    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        row, last = compare(name, asked, settings, port)
        if last[ours]["hits"] == 0 or last[peer]["hits"] != 0:
            raise Gap("metrics are not off where they should be (bench/unobserved.c)")
        return [counted(row, [ours, peer], port), *more_instructions(row, "the same in user instructions")]

    return measure


def near_hit(language: str, title: str, target_ns: float | None) -> Part:
    """T9: the time of a hit, beside one of mem://, which knows no server."""

    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        ours, peer = f"{language}/coffer-near-shared", f"{language}/coffer-mem"
        row, last = compare(name, Comparison(f"{title}: near hit, shared, over a mem:// hit", ours, peer, local=True), settings, port)
        taken = row_of(name, f"{title}: near hit, shared", [last[ours]["p50_ns"]], ours=ours, unit="ns", value_unit="ns")
        return [taken.judge(target_ns), counted(row, [ours, peer], port)]

    return f"{title}: near hit", measure


def near_in_company(what: str, kind: str, target: float | None) -> Part:
    """T9: a hit in C while another process, on the other core, is at the same memory; over alone."""

    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        way, figures = "c/coffer-near-shared", []
        times: list[tuple[float, float]] = []
        for _ in range(settings.rounds):
            alone = run_once(way, port, settings.count, CLIENT_CORE)["p50_ns"]
            with company(kind, port, SERVER_CORE):
                times.append((run_once(way, port, settings.count, CLIENT_CORE)["p50_ns"], alone))
            figures.append(times[-1][0] / alone)
        row = row_of(name, what, figures, ours=f"{way} beside {kind}", peer=f"{way} alone", value_unit="ns")
        row.ours_value, row.peer_value = (statistics.median(pair[i] for pair in times) for i in (0, 1))
        return [row.judge(target)]

    return what, measure


def binding_price(language: str, title: str) -> Callable[[str, Settings, int], list[Row]]:
    """What a language adds to C: a GET of the server, one of mem://, and one where caching is turned off."""

    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        rows = []
        for mode, where in (("coffer", "GET of the server"), ("coffer-mem", "get of mem://"), ("coffer-off", "get that asks nobody")):
            ours, peer = f"{language}/{mode}", f"c/{mode}"
            row, _ = compare(name, Comparison(f"{title}: {where}, over C", ours, peer, local=mode != "coffer"), settings, port)
            rows += [counted(row, [ours, peer], port), *more_instructions(row, f"{title}: {where}, user instructions more than C")]
        return rows

    return measure


# ---- T15: each start is a process; the bare one, which does nothing, is taken off round by round


def starts(commands: list[list[str]], settings: Settings) -> tuple[list[list[float]], list[float]]:
    """For each command its median start of every round, interleaved; and how much longer the second lives than the first."""
    if sys.executable in commands[0]:
        compile_ours()
    medians: list[list[float]] = [[] for _ in commands]
    for _ in range(settings.rounds):
        times: list[list[float]] = [[] for _ in commands]
        for _ in range(STARTS_A_ROUND):
            for index, command in enumerate(commands):
                times[index].append(start_ms(command, client_core(settings)))
        for index, taken in enumerate(times):
            medians[index].append(statistics.median(taken))
    return medians, [second - first for first, second in zip(medians[0], medians[1], strict=True)]


def start_row(what: str, bare: list[str], full: list[str], target: float | None) -> Callable[[str, Settings, int], list[Row]]:
    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        medians, extra = starts([bare, full], settings)
        row = row_of(name, what, extra, ours=" ".join(full[-2:]), peer=" ".join(bare[-2:]), unit="ms", value_unit="ms")
        row.peer_value, row.ours_value = (statistics.median(taken) for taken in medians)
        return [row.judge(target)]

    return measure


FIRST_GETS = {
    "coffer": "import coffer; assert coffer.Cache('redis://127.0.0.1:{port}/0', prefix='bench', raw=True).get('key:1')",
    "redis-py": "import redis; assert redis.Redis(host='127.0.0.1', port={port}).get('bench:_:key:1')",
    "valkey-glide": "from glide_sync import GlideClient as C, GlideClientConfiguration as G, NodeAddress as N;"
    " assert C.create(G([N('127.0.0.1', {port})])).get('bench:_:key:1')",
}


def first_get(peer: str) -> Callable[[str, Settings, int], list[Row]]:
    """Import, open, connect and get once, over a bare start of the same Python; ours over the peer's."""

    def measure(name: str, settings: Settings, port: int) -> list[Row]:
        pythons = [sys.executable, peer_python()]
        gets = [FIRST_GETS[way].replace("{port}", str(port)) for way in ("coffer", peer)]
        commands = [[python, "-c", text] for python, got in zip(pythons, gets, strict=True) for text in ("pass", got)]
        medians, ours = starts(commands, settings)
        theirs = [full - bare for bare, full in zip(medians[2], medians[3], strict=True)]
        row = row_of(name, f"Python: import, open, first GET: {peer} over ours", [b / a for a, b in zip(ours, theirs, strict=True)])
        row.ours, row.peer, row.value_unit = "python/coffer", f"python/{peer}", "ms"
        row.ours_value, row.peer_value = statistics.median(ours), statistics.median(theirs)
        return [row]

    return measure


def connections_of_open(name: str, settings: Settings, port: int) -> list[Row]:
    """Opens a cache on a listener of ours, and asks the listener who came."""
    try:
        import coffer
    except ImportError as fault:
        raise Gap(f"coffer cannot be imported: {fault}") from fault
    with socket.create_server(("127.0.0.1", 0)) as listener, coffer.Cache(f"redis://127.0.0.1:{listener.getsockname()[1]}/0"):
        listener.settimeout(0.1)
        try:
            listener.accept()[0].close()
            came = 1.0
        except TimeoutError:
            came = 0.0
    return [row_of(name, "connections that opening a cache makes", [came], ours="python/coffer", unit="", value_unit="").judge(0)]


LUA_BARE, LUA_FULL = ["-e", "local nothing"], ["-e", "require 'coffer'"]


def parts(*asked: Comparison) -> list[Part]:
    return [(each.what, compared(each)) for each in asked]


ROWS: dict[str, tuple[str, list[Part]]] = {
    "T1": (
        "C, one GET at a time, raw",
        parts(
            Comparison("C, one GET at a time, raw namespace", "c/coffer", "c/rawget", 1.05),
            Comparison("hiredis, for scale", "c/hiredis", "c/rawget", 1.05),
        ),
    ),
    "T1e": (
        "C, one GET at a time, with an envelope",
        parts(Comparison("C, the same with an envelope", "c/coffer-envelope", "c/rawget", 1.10)),
    ),
    "T2": ("C, user instructions of a GET", [("user instructions a GET", instructions_of_a_get)]),
    "T3": (
        "C, 100 keys at once",
        parts(
            Comparison("C, 100 keys: hiredis pipelined over ours", "c/coffer-many", "c/hiredis-pipeline", 1.3, "faster"),
            Comparison("C, 100 keys: hiredis MGET over ours", "c/coffer-many", "c/hiredis-mget", 1.0, "faster"),
        ),
    ),
    "T4": (
        "C, many threads on one cache",
        [
            ("1 thread", many_threads(1, 0.97, None)),
            ("32 threads", many_threads(32, 1.5, 0.7)),
            ("64 threads", many_threads(64, 1.5, 0.7)),
        ],
    ),
    "T5": (
        "Python, one GET at a time",
        parts(
            Comparison("Python, one GET at a time, over the floor", "python/coffer", "c/rawget", 1.2),
            Comparison("Python, over redis-py with its C parser", "python/coffer", "python/redis-py", 1.6, "faster"),
            Comparison("Python, over valkey-glide's sync client", "python/coffer", "python/valkey-glide", 1.0, "faster"),
            Comparison("Python, with an envelope, over redis-py", "python/coffer-envelope", "python/redis-py", 1.4, "faster"),
        ),
    ),
    "T6": (
        "Python, 100 keys at once",
        parts(
            Comparison("Python get_many(100): redis-py mget over ours", "python/coffer-get-many", "python/redis-py-mget", 2.5, "faster"),
            Comparison(
                "Python set_many(100): redis-py pipeline over ours", "python/coffer-set-many", "python/redis-py-pipeline-set", 4.0, "faster"
            ),
        ),
    ),
    "T7": (
        "asyncio, many tasks on one cache",
        [
            tasks_at_once("asyncio, 100 tasks: over redis.asyncio", "asyncio/coffer-100", "asyncio/redis-py-100", 3.0, counted_too=True),
            tasks_at_once("asyncio, 100 tasks: over valkey-glide", "asyncio/coffer-100", "asyncio/valkey-glide-100", 1.5),
            tasks_at_once(
                "asyncio, 100 tasks, with an envelope: over redis.asyncio", "asyncio/coffer-envelope-100", "asyncio/redis-py-100", None
            ),
            tasks_at_once("asyncio, 1 task: over redis.asyncio", "asyncio/coffer-1", "asyncio/redis-py-1", 1.0),
            tasks_at_once("asyncio, mem://, 1 task: over a coroutine that does nothing", "asyncio/coffer-mem-1", "asyncio/empty-1", None),
        ],
    ),
    "T8": (
        "OpenResty, 50 light threads of one worker",
        [
            tasks_at_once("nginx, 50 light threads: over lua-resty-redis", "nginx/coffer-50", "nginx/resty-redis-50", 1.3),
            tasks_at_once("nginx, the same with an envelope", "nginx/coffer-envelope-50", "nginx/resty-redis-50", 1.0),
            tasks_at_once("nginx, over lua-resty-redis as requests use it", "nginx/coffer-50", "nginx/resty-redis-pooled-50", None),
            tasks_at_once("nginx, mem://: over an L1 hit of mlcache", "nginx/coffer-mem-50", "nginx/mlcache-50", None),
        ],
    ),
    "T9": (
        "a hit of the near cache",
        [
            near_hit("c", "C", 120),
            near_hit("luajit", "LuaJIT", 150),
            near_hit("lua5.4", "Lua 5.4", None),
            near_hit("python", "Python", 200),
            near_in_company("C: near hit beside a process that reads", "near-reader", 1.3),
            near_in_company("C: near hit beside a process that writes", "near-writer", None),
            *parts(
                Comparison("C: near hit of this process alone, over shared", "c/coffer-near", "c/coffer-near-shared", local=True),
                Comparison(
                    "Python: cachetools with a lock over a near hit", "python/coffer-near", "python/cachetools", 3.0, "faster", local=True
                ),
                Comparison(
                    "Python: diskcache over a near hit", "python/coffer-near-shared", "python/diskcache", None, "faster", local=True
                ),
                Comparison("Python: a near hit over functools.lru_cache", "python/coffer-near", "python/lru-cache", local=True),
                Comparison(
                    "Python: a near hit of get_or_load over one of get", "python/coffer-near-load", "python/coffer-near", local=True
                ),
                Comparison(
                    "Python: a near hit of @cached over functools.lru_cache", "python/coffer-near-cached", "python/lru-cache", local=True
                ),
                Comparison(
                    "Python: cachetools with a lock over a near hit of @cached",
                    "python/coffer-near-cached",
                    "python/cachetools",
                    None,
                    "faster",
                    local=True,
                ),
            ),
            tasks_at_once(
                "nginx: near hits a second, shared, over mlcache's L2", "nginx/coffer-near-1", "nginx/mlcache-l2-1", 2.0, times=50
            ),
            tasks_at_once(
                "nginx: near hits a second, shared, over lua_shared_dict", "nginx/coffer-near-1", "nginx/shared-dict-1", None, times=50
            ),
        ],
    ),
    "T11": (
        "C, JSON compressed and sealed",
        [
            ("857 bytes of JSON, compressed and sealed", packed_json),
            *parts(Comparison("sealed only, for scale", "c/coffer-json-sealed", "c/hiredis-json", counted=True)),
        ],
    ),
    "T12": (
        "what metrics cost",
        [
            ("C: a GET with metrics over one without", metrics_price("C: a GET with metrics over one without", "c/coffer", "ratio", 1.02)),
            ("C: metrics of a mem:// hit", metrics_price("C: a mem:// hit with metrics, less one without", "c/coffer-mem", "extra", 10)),
        ],
    ),
    "T15": (
        "start: import, open, first GET",
        [
            (
                "import coffer",
                start_row("Python: import coffer over bare", [sys.executable, "-c", "pass"], [sys.executable, "-c", "import coffer"], 50),
            ),
            ("connections of open", connections_of_open),
            ("first GET, over redis-py", first_get("redis-py")),
            ("first GET, over valkey-glide", first_get("valkey-glide")),
            ("Lua 5.4: require", start_row("Lua 5.4: require over bare", ["lua5.4", *LUA_BARE], ["lua5.4", *LUA_FULL], None)),
            ("LuaJIT: require", start_row("LuaJIT: require over bare", ["luajit", *LUA_BARE], ["luajit", *LUA_FULL], None)),
        ],
    ),
    "BINDINGS": (
        "what each language adds to C",
        [
            ("Python over C", binding_price("python", "Python")),
            ("Lua 5.4 over C", binding_price("lua5.4", "Lua 5.4")),
            ("LuaJIT over C", binding_price("luajit", "LuaJIT")),
        ],
    ),
}


def measure(name: str, settings: Settings, port: int) -> list[Row]:
    """All figures of one row; what cannot be had is a gap with its reason."""
    rows = []
    for what, part in ROWS[name][1]:
        try:
            rows += part(name, settings, port)
        except Gap as gap:
            rows.append(Row(name, what, gap=str(gap)))
    return rows
