"""Servers as they are: restarted, away, over TLS, in a cluster, behind sentinels, with users; and what cosockets cannot honour."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clusters import Cluster
from hosting import Load, Nginx
from sentinels import ASKED, Group, ask_server, is_primary, is_promoted, plain_group
from support import RedisServer, free_port, has_redis, make_certificates, redis_server, wait_until

Host = Callable[..., Nginx]


# ---- away ----


@pytest.mark.parametrize("behaviour", ["miss", "error"])
def test_while_the_server_is_away_it_goes_on_as_on_outage_says(host: Host, behaviour: str) -> None:
    nginx = host(f"redis://127.0.0.1:{free_port()}/0", options=f'on_outage = "{behaviour}", timeout = "500ms"')
    get, stored, loaded = 'return cache:get("k")', 'return cache:set("k", nil, 1)', 'return cache:get("k", nil, function() return "db" end)'
    for _ in range(20):
        assert nginx.value(loaded) == "db"
        if behaviour == "miss":
            assert nginx.lua(get) == [None, None, "outage"]
            assert nginx.value(stored) is True
        else:
            assert nginx.lua(get)[2] in ("CONNECT", "BREAKER_OPEN")
            assert nginx.lua(stored)[2] in ("CONNECT", "BREAKER_OPEN")
    assert nginx.value('return cache:health().state == "healthy"') is False
    assert nginx.lua("return cache:ping()")[2] in ("CONNECT", "BREAKER_OPEN")


def test_a_queued_write_that_fails_is_counted_and_logged(host: Host) -> None:
    nginx = host(f"redis://127.0.0.1:{free_port()}/0", workers=1, options='on_outage = "error", timeout = "500ms"')
    assert nginx.lua('return cache:set("k", nil, 1)', "log") == [True, None, "queued"]
    wait_until(lambda: nginx.value("return cache:stats().queue_failed") == 1)
    assert "queued writes failed" in nginx.log()


def test_a_server_that_is_restarted_is_used_again_at_once(host: Host) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="coffer-") as folder:
        first = RedisServer(Path(folder), "--port", str(port))
        nginx = host(f"redis://127.0.0.1:{port}/0", options='timeout = "1s"')
        use = 'local value = cache:get("k", nil, function() return "db" end) assert(value == "db") return true'
        with Load(lambda number, turn: nginx.lua(use)) as load:
            load.wait_for(20)
            first.stop()
            load.wait_for(20)
            second = RedisServer(Path(folder), "--port", str(port))
            try:
                begin = time.monotonic()
                wait_until(lambda: nginx.lua('cache:set("after", nil, 1) return cache:get("after")')[0] == 1, 10)
                assert time.monotonic() - begin < 3
                load.wait_for(20)
            finally:
                second.stop()
        assert load.faults == []


def test_a_unix_socket(host: Host, server: RedisServer) -> None:
    nginx = host(server.unix_url)
    assert nginx.value('cache:set("k", nil, "over a path") return cache:get("k")') == "over a path"


def test_a_name_is_asked_of_the_resolver(host: Host, server: RedisServer) -> None:
    nginx = host(f"redis://localhost:{server.port}/0", options='on_outage = "error"')
    assert nginx.value('assert(cache:set("k", nil, "by name")) return cache:get("k")') == "by name"
    code = 'local far = open("far", {url = "redis://cache.test:1/0", on_outage = "error"}) return far:get("k")'
    _, words, status = nginx.lua(code)
    assert status == "DNS" and "resolve" in words


# ---- who one is ----


def test_a_wrong_password_is_said_and_does_not_show(host: Host) -> None:
    with redis_server("--requirepass", "the-right-one") as server:
        nginx = host(f"redis://:canary-wrong@127.0.0.1:{server.port}/0")
        _, words, code = nginx.lua('return cache:get("k")')
        assert code == "AUTH" and "canary" not in words
        right = f'return open("right", {{url = "redis://:the-right-one@127.0.0.1:{server.port}/0"}}):set("k", nil, 1)'
        assert nginx.value(right) is True
        assert "canary" not in nginx.log() and "the-right-one" not in nginx.log()


def test_credentials_may_yield(host: Host) -> None:
    with redis_server("--requirepass", "asked-for") as server:
        nginx = host(server.url)
        code = """
            local one = open("one", {on_outage = "error", credentials = function() ngx.sleep(0.01) return "asked-for" end})
            local two = open("two", {on_outage = "error", credentials = function() error("canary") end})
            local _, words, code = two:get("k")
            return one:set("k", nil, "well"), code, words
        """
        done, status, words = nginx.lua(code)
        assert (done, status) == (True, "CREDENTIALS") and "canary" not in words


# ---- TLS ----


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    if shutil.which("openssl") is None or not has_redis():
        pytest.skip("openssl or redis-server is not installed")
    folder, port = make_certificates(tmp_path_factory.mktemp("certificates")), free_port()
    files = ["--tls-cert-file", f"{folder}/right.pem", "--tls-key-file", f"{folder}/server.key", "--tls-ca-cert-file", f"{folder}/ca.pem"]
    with redis_server("--tls-port", str(port), *files, "--tls-auth-clients", "optional"):
        yield port, folder


def trusting(folder: Path, authority: str = "ca") -> str:
    return f"lua_ssl_trusted_certificate {folder}/{authority}.pem; lua_ssl_verify_depth 2;"


def test_tls(host: Host, secure: tuple[int, Path]) -> None:
    port, folder = secure
    nginx = host(f"rediss://localhost:{port}/0", options='on_outage = "error"', http_lines=trusting(folder))
    for _ in range(10):
        assert nginx.value('assert(cache:set("k", nil, ("x"):rep(100000))) return #cache:get("k")') == 100000
    code = 'local one = open("one", {url = args.url, tls_server_name = "cache.test"}) one:set("n", nil, 1) return one:get("n")'
    assert nginx.lua(code, url=f"rediss://127.0.0.1:{port}/0")[::2] == [1, "remote"]


def test_our_own_certificate(host: Host, secure: tuple[int, Path]) -> None:
    port, folder = secure
    ours = f'tls_cert_file = "{folder}/client.pem", tls_key_file = "{folder}/client.key"'
    nginx = host(f"rediss://localhost:{port}/0", options=f'on_outage = "error", {ours}', http_lines=trusting(folder))
    assert nginx.value('assert(cache:set("k", nil, 1)) return cache:get("k")') == 1


@pytest.mark.parametrize(
    ("authority", "name", "words"), [("other_ca", "localhost", "certificate"), ("ca", "elsewhere.test", "match")], ids=["authority", "name"]
)
def test_who_is_not_the_server_is_refused(host: Host, secure: tuple[int, Path], authority: str, name: str, words: str) -> None:
    port, folder = secure
    options = f'on_outage = "error", tls_server_name = "{name}"'
    nginx = host(f"rediss://localhost:{port}/0", options=options, http_lines=trusting(folder, authority))
    for _ in range(4):  # nginx may say that all is well where the server is quick (lua-nginx-module #2506)
        _, said, code = nginx.lua('return cache:get("k")')
        assert code == "CERTIFICATE" and words in said, (code, said)


REFUSED = {
    'tls_ca_file = "/tmp/ca.pem"': "lua_ssl_trusted_certificate",
    'tls_ca_dir = "/tmp"': "lua_ssl_trusted_certificate",
    'tls_key_password = "canary"': "encrypted",
    'tls_min_version = "1.3"': "lua_ssl_protocols",
    "lru_size = 100": "Lua memory",
    'ipc_shm = "dict"': "lua_shared_dict",
    "shm_set_tries = 3": "lua_shared_dict",
}


@pytest.mark.parametrize("option", REFUSED)
def test_what_cosockets_cannot_honour_is_refused_by_its_name(nginx: Nginx, option: str) -> None:
    cache, words, code = nginx.lua(f'return coffer.new("things", {{url = "rediss://localhost:1/0", {option}}})')
    assert (cache, code) == (None, "OPTION")
    assert option.split()[0] in words and REFUSED[option] in words and "canary" not in words


def test_an_address_alone_cannot_be_verified(nginx: Nginx) -> None:
    cache, words, code = nginx.lua('return coffer.new("things", {url = "rediss://127.0.0.1:1/0"})')
    assert (cache, code) == (None, "OPTION")
    assert "tls_server_name" in words


def test_an_option_that_is_none_is_refused(nginx: Nginx) -> None:
    cache, words, code = nginx.lua('return coffer.new("things", {url = "mem://", tll = 5})')
    assert (cache, code) == (None, "OPTION")
    assert "tll" in words and "ttl" in words


# ---- many servers ----


def test_a_cluster(host: Host) -> None:
    with contextlib.ExitStack() as stack:
        cluster = Cluster(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffer-"))), stack)
        nginx = host(cluster.url, options='on_outage = "error"')
        code = """
            local values, keys = {}, {}
            for n = 1, 300 do keys[n] = "key" .. n values[keys[n]] = n end
            assert(cache:set_many(values))
            local found, right = assert(cache:get_many(keys)), 0
            for key, value in pairs(values) do if found[key] == value and cache:get(key) == value then right = right + 1 end end
            return right
        """
        assert nginx.value(code) == 300
        read = 'local n = math.random(300) local value, err = cache:get("key" .. n) assert(value == n, tostring(value or err)) return true'
        with Load(lambda number, turn: nginx.lua(read), 2) as load:
            load.wait_for(20)
            for slot in range(0, 16384 // 3, 500):
                cluster.move(slot, 0, 1)
            load.wait_for(20)
        assert load.faults == []


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with plain_group() as made:
        yield made


def keys_of(server: RedisServer) -> int:
    said = ask_server(server, "INFO", "keyspace")
    assert isinstance(said, bytes)
    found = re.search(rb"db3:keys=(\d+)", said)
    return int(found[1]) if found else 0


def test_sentinels_name_the_server_before_and_after_a_failover(host: Host, group: Group) -> None:
    options = f'on_outage = "error", sentinel_password = "{ASKED}", timeout = "5s"'
    nginx = host(group.url(), options=options)
    code = 'assert(cache:set("k" .. args.n, nil, args.n)) return cache:get("k" .. args.n)'
    for n in range(10):
        assert nginx.value(code, n=n) == str(n)
    after = next(server for server in group.servers if not is_primary(server))
    group.ask(group.ports[0], "FAILOVER", "main")
    wait_until(lambda: is_promoted(after), 20)
    for n in range(10, 20):
        assert nginx.value(code, n=n) == str(n)
    known = keys_of(after)
    wait_until(lambda: nginx.value(code, n=known + 100) and keys_of(after) > known)
    old = set(nginx.workers())
    nginx.reload()  # although a sentinel is listened to
    wait_until(lambda: not old & set(nginx.workers()), 15)
