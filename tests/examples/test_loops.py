"""The services of examples/c on libuv and libev, and the smallest driver: many visitors at once, and a server that breaks in each way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sentinels import ASKED, plain_group
from support import Command, RedisServer, Resp, ScriptedServer, free_port, has_redis, make_certificates, redis_server, wait_until

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("COFFER_EXAMPLES_BUILD", ROOT / "build" / "release"))
TIMEOUT_S = 20
MANY = 200


@dataclass(frozen=True)
class Answer:
    status: int
    source: str
    body: str


def program(name: str) -> str:
    path = BUILD / "examples" / "c" / name
    if not path.exists():
        pytest.skip(f"{name} is not built (./dev deps --all, ./dev build)")
    return str(path)


class Service:
    """One that was started, and what it answers."""

    def __init__(self, command: list[str], **more: str) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **more})
        assert self.process.stdout is not None
        address = self.process.stdout.readline()
        if not address:
            pytest.fail(f"it ended with {self.process.wait(TIMEOUT_S)}: {self.stop()}")
        self.port = int(address.rstrip("/\n").rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)

    def begin(self, key: str) -> socket.socket:
        one = self.connect()
        one.sendall(f"GET /{key} HTTP/1.0\r\n\r\n".encode())
        return one

    def ask(self, *keys: str) -> list[Answer]:
        """All at once."""
        return [finish(one) for one in [self.begin(key) for key in keys]]

    def stop(self) -> str:
        """It ends as it should; what it has said on the way."""
        self.process.terminate()
        said = self.process.communicate(timeout=TIMEOUT_S)[1]
        assert self.process.returncode == 0, said
        return said


def finish(one: socket.socket) -> Answer:
    with one, one.makefile("rb") as file:
        text = file.read().decode()
    head, _, body = text.partition("\r\n\r\n")
    lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert len(body) == int(fields["Content-Length"])
    return Answer(int(lines[0].split()[1]), fields["X-Source"], body)


@pytest.fixture(params=["on_libuv", "on_libev"])
def command(request: pytest.FixtureRequest) -> str:
    return program(request.param)


@contextlib.contextmanager
def running(command: str, url: str, **more: str) -> Iterator[Service]:
    service = Service([command, url], **more)
    try:
        yield service
        if service.process.returncode is None:
            service.stop()
    finally:
        service.process.kill()
        service.process.communicate()


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A redis-server of a test's own, to be stopped and killed."""
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="coffer-") as folder:
        server = RedisServer(Path(folder))
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()


def keys(count: int = MANY) -> list[str]:
    return [f"key-{number}" for number in range(count)]


def assert_own_pages(asked: Sequence[str], answers: Sequence[Answer]) -> None:
    assert len(asked) == len(answers)
    for key, answer in zip(asked, answers, strict=True):
        assert answer.status == 200
        assert answer.body.startswith(f"page {key}, query ")


def clients_of(raw: Resp) -> int:
    listed = raw.call("CLIENT", "LIST")
    assert isinstance(listed, bytes)
    return listed.count(b" name=coffer ")


def test_many_at_once_get_each_their_own_page_over_one_connection(command: str, server_url: str, raw: Resp) -> None:
    with running(command, server_url) as service:
        first = service.ask(*keys())
        again = service.ask(*keys())
        assert clients_of(raw) == 1
    assert_own_pages(keys(), first)
    assert [answer.body for answer in again] == [answer.body for answer in first]
    assert {answer.source for answer in again} == {"remote"}


def test_one_query_serves_all_who_ask_for_a_page_at_once(command: str, server: RedisServer) -> None:
    with running(command, server.url) as service:
        answers = service.ask(*["same"] * MANY)
    assert {answer.body for answer in answers} == {"page same, query 1\n"}


def test_without_a_server_too(command: str) -> None:
    with running(command, "mem://") as service:
        assert_own_pages(keys(), service.ask(*keys()))
        assert service.ask("key-1")[0].source == "near"


def test_that_there_is_no_such_page_is_remembered(command: str, server: RedisServer) -> None:
    with running(command, server.url) as service:
        for _ in range(2):
            assert service.ask("none")[0].status == 404
        assert service.ask("one")[0].body == "page one, query 2\n"


def test_who_leaves_in_the_midst_of_a_load_harms_nobody(command: str, server: RedisServer) -> None:
    with running(command, server.url) as service:
        leaving = [service.begin(key) for key in keys()]
        staying = [service.begin(key) for key in keys()]
        for one in leaving:
            one.close()
        assert_own_pages(keys(), [finish(one) for one in staying])


def preloading(source: str, folder: Path) -> dict[str, str]:
    """The environment of a program whose calls `source` answers."""
    library = folder / "preloaded.so"
    path = Path(__file__).with_name(source)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", str(path), "-o", str(library), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": f"verify_asan_link_order=0:{os.environ.get('ASAN_OPTIONS', '')}"}


def test_a_name_is_looked_up_and_each_of_its_addresses_tried(command: str, server: RedisServer, tmp_path: Path) -> None:
    with running(command, f"redis://server.test:{server.port}", **preloading("names.c", tmp_path)) as service:
        service.ask("one")
        assert service.ask("one")[0].source == "remote"


def test_a_name_that_nobody_knows(command: str, tmp_path: Path) -> None:
    with running(command, "redis://nobody.test", **preloading("names.c", tmp_path)) as service:
        assert_own_pages(keys(), service.ask(*keys()))
        assert "nobody.test:6379: Name or service not known" in service.stop()


def test_bytes_that_the_kernel_does_not_take_at_once_are_kept(command: str, server: RedisServer, tmp_path: Path) -> None:
    with running(command, f"{server.url}?timeout=15s", **preloading("short_sends.c", tmp_path)) as service:
        first = service.ask(*keys())
        again = service.ask(*keys())
    assert_own_pages(keys(), first)
    assert [answer.body for answer in again] == [answer.body for answer in first]


def test_requests_that_are_none_are_refused(command: str) -> None:
    with running(command, "mem://") as service:
        assert service.ask("")[0].status == 400
        with service.connect() as one:
            one.sendall(b"x" * 5000)
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(100) == b""
        assert service.ask("fine")[0].status == 200


def test_a_server_that_is_away_at_first_and_comes(command: str, mortal: RedisServer) -> None:
    mortal.stop()
    with running(command, mortal.url) as service:
        assert_own_pages(keys(), service.ask(*keys()))
        start_again(mortal)
        wait_until(lambda: service.ask("one")[0].source == "remote")


def test_a_server_that_is_killed_again_and_again(command: str, mortal: RedisServer) -> None:
    with running(command, mortal.url) as service:
        for _ in range(3):
            under_way = [service.begin(key) for key in keys()]
            mortal.process.kill()
            mortal.process.wait()
            assert_own_pages(keys(), [finish(one) for one in under_way])
            assert_own_pages(keys(), service.ask(*keys()))
            start_again(mortal)
            wait_until(lambda: service.ask("one")[0].source == "remote")


def start_again(server: RedisServer) -> None:
    server.process = RedisServer(Path(server.path).parent, "--port", str(server.port)).process


def test_a_server_that_stands_still_holds_up_nobody_past_the_deadline(command: str, mortal: RedisServer) -> None:
    with running(command, f"{mortal.url}?timeout=300ms") as service:
        service.ask("one")
        mortal.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert_own_pages(keys(), service.ask(*keys()))
        assert time.monotonic() - begun < 5
        mortal.process.send_signal(signal.SIGCONT)
        wait_until(lambda: service.ask("one")[0].source == "remote")


def test_a_connection_that_is_cut_in_the_midst_of_a_reply(command: str) -> None:
    def cut(words: Command) -> bytes | None:
        if words[0] == b"PING":
            return b"+PONG\r\n"
        scripted._connections[-1].sendall(b"$1000\r\nhalf of it")
        raise ValueError

    with ScriptedServer(cut) as scripted, running(command, f"{scripted.url}?breaker=false") as service:
        for _ in range(3):
            assert_own_pages(keys(), service.ask(*keys()))


def test_a_cluster_is_asked_for_its_map(command: str) -> None:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with redis_server("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as node:
        client = node.client()
        client.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: b"cluster_state:ok" in bytes_of(client.call("CLUSTER", "INFO")))
        client.close()
        with running(command, f"redis+cluster://127.0.0.1:{node.port}") as service:
            first = service.ask(*keys())
            assert {answer.source for answer in service.ask(*keys())} == {"remote"}
        assert_own_pages(keys(), first)


def test_sentinels_say_where_the_server_is_and_who_takes_over(command: str) -> None:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with plain_group() as group, running(command, f"{group.url()}?sentinel_password={ASKED}") as service:
        assert_own_pages(keys(), service.ask(*keys()))
        assert {answer.source for answer in service.ask(*keys())} == {"remote"}
        group.servers[0].process.kill()
        assert_own_pages(keys(), service.ask(*keys()))
        wait_until(lambda: service.ask("one")[0].source == "remote", 20)


def bytes_of(reply: object) -> bytes:
    assert isinstance(reply, bytes)
    return reply


def test_it_ends_cleanly_whoever_is_under_way(command: str, mortal: RedisServer) -> None:
    with running(command, f"{mortal.url}?timeout=10s") as service:
        service.ask("one")
        mortal.process.send_signal(signal.SIGSTOP)
        waiting = [service.begin(key) for key in keys()] + [service.connect()]
        begun = time.monotonic()
        service.stop()
        assert time.monotonic() - begun < 5
        for one in waiting:
            one.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None or not has_redis():
        pytest.skip("openssl or redis-server is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_address(certificates: Path) -> Iterator[str]:
    port = free_port()
    names = {"cert-file": "right.pem", "key-file": "server.key", "ca-cert-file": "ca.pem"}
    files = [word for name, file in names.items() for word in (f"--tls-{name}", str(certificates / file))]
    with redis_server("--tls-port", str(port), "--tls-auth-clients", "no", *files):
        yield f"rediss://127.0.0.1:{port}"


@pytest.mark.parametrize("preloaded", [None, "short_sends.c"])
def test_tls(command: str, tls_address: str, certificates: Path, preloaded: str | None, tmp_path: Path) -> None:
    more = {} if preloaded is None else preloading(preloaded, tmp_path)
    with running(command, f"{tls_address}?timeout=15s&tls_ca_file={certificates}/ca.pem", **more) as service:
        first = service.ask(*keys())
        again = service.ask(*keys())
    assert_own_pages(keys(), first)
    assert [answer.body for answer in again] == [answer.body for answer in first]


def test_a_certificate_that_is_not_trusted_is_told_at_once(command: str, tls_address: str, certificates: Path) -> None:
    url = f"{tls_address}?tls_ca_file={certificates}/other_ca.pem"
    done = subprocess.run([command, url], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "certificate" in done.stderr and not done.stdout


def test_the_smallest_driver_refuses_tls_in_a_sentence(server: RedisServer) -> None:
    command = [program("drive"), f"rediss://127.0.0.1:{server.port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "this driver has no TLS" in done.stderr and not done.stdout


def test_the_password_is_read_from_its_file(command: str, mortal: RedisServer, tmp_path: Path) -> None:
    client = mortal.client()
    client.call("CONFIG", "SET", "requirepass", "right")
    client.close()
    (tmp_path / "password").write_text("right\n", encoding="utf-8")
    with running(command, f"{mortal.url}?password_file={tmp_path}/password") as service:
        service.ask("one")
        assert service.ask("one")[0].source == "remote"


def test_a_wrong_password_is_told_at_once(command: str, mortal: RedisServer) -> None:
    client = mortal.client()
    client.call("CONFIG", "SET", "requirepass", "right")
    client.close()
    url = f"redis://:wrong@127.0.0.1:{mortal.port}"
    done = subprocess.run([command, url], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "password" in done.stderr and "wrong" not in done.stderr.partition("password")[0]


def test_the_smallest_driver_gives_up_at_the_deadline(mortal: RedisServer) -> None:
    command = [program("drive"), f"{mortal.url}?timeout=300ms"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout.endswith("(remote)\n")
    mortal.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout.endswith("(loaded)\n")
    assert 0.3 < time.monotonic() - begun < 5


def test_the_smallest_driver_without_a_server() -> None:
    command = [program("drive"), f"redis://127.0.0.1:{free_port()}"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout.count("(loaded)") == 2
