"""Every method in every phase of nginx: where it may wait it works; elsewhere what reads says that the phase cannot, what writes is
queued and done soon, and what asks no server works. With mem:// all works everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hosting import RUN_ONCE, YIELDING, Nginx, program, running
from support import RedisServer, make_certificates, wait_until

OTHERS = ("init", "init_worker", "exit_worker", "set", "header_filter", "body_filter", "log", "balancer")
PHASES = (*YIELDING, *OTHERS)
NO_QUEUE = ("init", "exit_worker")  # no timers any more, or yet


@dataclass(frozen=True)
class Call:
    """Pieces of Lua, in which K is the key."""

    code: str
    answer: object  # where it may wait
    before: str = ""
    after: str = ""  # what it gives once a queued write was done
    then: object = None


STORED = 'cache:set(K, nil, "old")'
OWN = 'local own = cache:namespace((K:gsub("%W", "-"))) '
FIRST = "local value, err, code = %s return value and %s, err, code"

READS = {
    "get": Call("return cache:get(K)", "old", STORED),
    "get with a callback": Call('return cache:get(K, nil, function() return "new" end)', "old", STORED),
    "get, which loads": Call('return cache:get(K, nil, function(...) return table.concat({...}, "-") end, "a", "b")', "a-b"),
    "get_or_load": Call("return cache:get_or_load(K, function(key) return key end)", "old", STORED),
    "get_entry": Call(FIRST % ("cache:get_entry(K)", "value.value"), "old", STORED),
    "peek": Call("local left, err, value = cache:peek(K) return left and value, err, value", "old", STORED),
    "exists": Call("return cache:exists(K)", True, STORED),
    "ttl": Call(FIRST % ("cache:ttl(K)", "value > 50 and value <= 66"), True, 'cache:set(K, {ttl = 60}, "old")'),
    "counter": Call("return cache:counter(K)", 7, "cache:increment(K, 7)"),
    "get_many": Call(FIRST % ("cache:get_many({K, K .. '.none'})", "value[K]"), "old", STORED),
    "get_bulk": Call(
        "local bulk = coffer.new_bulk(2) bulk:add(K) bulk:add(K .. '.new', nil, function(given) return given end, 'given')\n"
        + FIRST % ("cache:get_bulk(bulk)", "value[1] .. value[4]"),
        "oldgiven",
        STORED,
    ),
    "ping": Call("return cache:ping()", True),
    "add": Call('return cache:add(K, "new")', True),
    "replace": Call('return cache:replace(K, "new")', True, STORED),
    "compare_and_set": Call(
        'local entry = cache:get_entry(K)\nreturn cache:compare_and_set(K, entry and entry.entry_id or "0123456789abcdef", "new")',
        True,
        STORED,
    ),
    "cached": Call('local double = cache:cached(K, function(n) return "of " .. n end) return double(3)', "of 3"),
}

WRITES = {
    "set": Call('return cache:set(K, nil, "new")', True, "", "return cache:get(K)", "new"),
    "set, of an absence": Call("return cache:set(K, nil, nil)", True, "", "local _, _, source = cache:get(K) return source", "negative"),
    "delete": Call("return cache:delete(K)", True, STORED, "return cache:exists(K)", False),
    "touch": Call("return cache:touch(K)", True, 'cache:set(K, {ttl = 60}, "old")', "return cache:ttl(K) > 100", True),
    "expire": Call("return cache:expire(K, 1000)", True, 'cache:set(K, {ttl = 60}, "old")', "return cache:ttl(K) > 900", True),
    "increment": Call("return cache:increment(K, 5)", 12, "cache:increment(K, 7)", "return cache:counter(K)", 12),
    "reset_counter": Call("return cache:reset_counter(K)", True, "cache:increment(K)", "return cache:counter(K) == nil", True),
    "set_many": Call(
        "return cache:set_many({[K] = 1, [K .. '.b'] = 2})", True, "", "local n = cache:get_many({K, K .. '.b'}) return n[K .. '.b']", 2
    ),
    "delete_many": Call("return cache:delete_many({K, K .. '.b'})", 1, STORED, "return cache:exists(K)", False),
    "purge": Call(OWN + "return own:purge()", True, OWN + 'own:set("k", nil, 1)', OWN + 'return own:exists("k")', False),
    "clear": Call(OWN + "return own:clear()", 1, OWN + 'own:set("k", nil, 1)', OWN + 'return own:exists("k")', False),
    "invalidate": Call(
        "return cache:cached(K, tostring).invalidate(1)", True, 'cache:set(K .. ":1", nil, 1)', "return cache:exists(K .. ':1')", False
    ),
    "refresh": Call("return (cache:cached(K, tostring).refresh(1))", "1", "", "return cache:get(K .. ':1')", "1"),
}

AT_HAND = {
    "stats": Call("return type(cache:stats().hits)", "number"),
    "health": Call("return type(cache:health().state)", "string"),
    "option": Call('return cache:option("namespace")', "things"),
    "closed": Call("return cache:closed()", False),
    "key": Call('return cache:key("a", "b:c")', "a:b%3Ac"),
    "coffer.key": Call('return coffer.key("a", 1)', "a:1"),
    "coffer.new": Call('return tostring(coffer.new("others", {url = url}))', "resty.coffer.Cache (namespace=others)"),
    "namespace and close": Call('local other = cache:namespace("more") other:close() return other:closed()', True),
    "set_share": Call("return cache:set_share(100)", True),
    "turn_off and turn_on": Call('return cache:turn_off({operation = "touch"}) and cache:turn_on({operation = "touch"})', True),
}

CALLS = READS | WRITES | AT_HAND


def key_of(phase: str, name: str) -> str:
    return f"{phase}/{name}".replace(" ", "_").replace(",", "")


def with_key(code: str, phase: str, name: str) -> str:
    return f'local K = "{key_of(phase, name)}"\n{code}'


def all_of(phase: str) -> str:
    """A piece for a phase that runs but once: what each call answers, in the order of CALLS; its raised errors as (false, words)."""
    parts = [f"pack(pcall(function() {with_key(call.code, phase, name)} end))" for name, call in CALLS.items()]
    return f"return {{{', '.join(parts)}}}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def phases(shared_server: RedisServer, certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    program()
    client = shared_server.client()
    client.call("FLUSHALL")
    client.close()
    pieces = {phase: all_of(phase) for phase in RUN_ONCE}
    folder = tmp_path_factory.mktemp("nginx")
    with running(Nginx(folder, shared_server.url, options="ttl = 300", workers=1, certificates=certificates, **pieces)) as nginx:
        first = nginx.workers()
        nginx.reload()  # so that one has exited
        wait_until(lambda: first[0] not in nginx.workers())
        yield nginx


@pytest.fixture(scope="module")
def memory(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    program()
    with running(Nginx(tmp_path_factory.mktemp("nginx"), "mem://", options="ttl = 300", workers=1, certificates=certificates)) as nginx:
        yield nginx


def asked(nginx: Nginx, phase: str, name: str) -> list[Any]:
    """What the call answered in that phase."""
    call = CALLS[name]
    if phase in RUN_ONCE:
        answer: list[Any]
        is_done, *answer = nginx.value("", phase)[list(CALLS).index(name)]
        assert is_done, answer
        return answer + [None] * (3 - len(answer))
    if call.before:
        nginx.lua(with_key(call.before, phase, name))
    return nginx.lua(with_key(call.code, phase, name), phase)


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("phase", OTHERS)
def test_what_reads_says_that_the_phase_cannot(phases: Nginx, phase: str, name: str) -> None:
    value, words, code = asked(phases, phase, name)
    assert (value, code) == (None, "UNSUPPORTED")
    assert phase in words and "cannot" in words


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("phase", YIELDING)
def test_all_works_where_nginx_can_wait(phases: Nginx, phase: str, name: str) -> None:
    assert asked(phases, phase, name)[0] == CALLS[name].answer
    if CALLS[name].after:
        assert phases.value(with_key(CALLS[name].after, phase, name)) == CALLS[name].then


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("phase", [phase for phase in OTHERS if phase not in NO_QUEUE])
def test_what_writes_is_queued_and_done_soon(phases: Nginx, phase: str, name: str) -> None:
    call = CALLS[name]
    answer = asked(phases, phase, name)
    if name == "refresh":
        assert answer[0] == "1"
    else:
        assert answer == [True, None, "queued"]
    if phase == "init_worker" and call.before:
        return  # there was nothing yet
    wait_until(lambda: phases.value(with_key(call.after, phase, name)) == call.then)


@pytest.mark.parametrize("name", [name for name in WRITES if name != "refresh"])
@pytest.mark.parametrize("phase", NO_QUEUE)
def test_where_there_are_no_timers_nothing_is_queued(phases: Nginx, phase: str, name: str) -> None:
    value, words, code = asked(phases, phase, name)
    assert (value, code) == (None, "UNSUPPORTED")
    assert phase in words and "cannot" in words


@pytest.mark.parametrize("name", AT_HAND)
@pytest.mark.parametrize("phase", OTHERS)
def test_what_asks_no_server_works_everywhere(phases: Nginx, phase: str, name: str) -> None:
    assert asked(phases, phase, name)[0] == CALLS[name].answer


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in RUN_ONCE])
def test_memory_works_everywhere(memory: Nginx, phase: str) -> None:
    parts = []
    for name, call in CALLS.items():
        if name not in ("coffer.new",):
            before = f"do {call.before} end" if call.before else ""
            parts.append(f"(function() {with_key(before + ' ' + call.code, phase, name)} end)()")
    wanted = [call.answer for name, call in CALLS.items() if name not in ("coffer.new",)]
    found = memory.value(f"return {{{', '.join(f'({part})' for part in parts)}}}", phase)
    assert found == wanted
