"""TLS and credentials as Python sees them: on a redis-server of its own, with certificates made here."""

from __future__ import annotations

import base64
import contextlib
import gc
import io
import logging
import multiprocessing
import os
import pickle
import shutil
import subprocess
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import coffer
from support import RedisServer, free_port, has_redis, make_certificates, redis_server

pytestmark = pytest.mark.usefixtures("both")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextlib.contextmanager
def tls_server(folder: Path, certificate: str, *more: str) -> Iterator[tuple[RedisServer, int]]:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    port = free_port()
    files = ["--tls-cert-file", f"{folder}/{certificate}.pem", "--tls-key-file", f"{folder}/server.key"]
    with redis_server("--tls-port", str(port), *files, "--tls-ca-cert-file", f"{folder}/ca.pem", *more) as server:
        yield server, port


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[tuple[RedisServer, int]]:
    with tls_server(folder, "right", "--tls-auth-clients", "no") as running:
        yield running


@pytest.fixture
def port(secure: tuple[RedisServer, int]) -> int:
    return secure[1]


def opened(folder: Path, port: int, host: str = "localhost", **options: Any) -> coffer.Cache:
    return coffer.Cache(f"rediss://{host}:{port}/0", **{"tls_ca_file": str(folder / "ca.pem"), "timeout": 10, **options})


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_it_works_over_tls(folder: Path, port: int, scheme: str, host: str) -> None:
    with coffer.Cache(f"{scheme}://{host}:{port}/0", tls_ca_file=str(folder / "ca.pem"), compress="never") as cache:
        values = {f"key{i}": os.urandom(i * 1111) for i in range(100)}
        cache.set_many(values)
        assert cache.get_many(list(values)) == values
        large = os.urandom(3_000_000)
        cache.set("large", large)
        assert cache.get("large") == large
        assert cache.increment("n") == cache.counter("n")
        assert cache.get_or_load("loaded", lambda _: {"a": 1}) == {"a": 1}
        cache.reset_counter("n")
        cache.delete_many([*values, "large", "loaded"])


def test_many_threads_over_tls(folder: Path, port: int) -> None:
    wrong: list[str] = []

    def work(number: int, cache: coffer.Cache) -> None:
        for i in range(100):
            cache.set(f"{number}", f"{number}:{i}" * 50)
            if cache.get(f"{number}") != f"{number}:{i}" * 50:
                wrong.append(f"{number}:{i}")

    with opened(folder, port, pool_max=4) as cache:
        threads = [threading.Thread(target=work, args=(number, cache)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not wrong


@pytest.mark.parametrize(
    ("certificate", "host", "words"),
    [
        ("other_name", "localhost", "not for the name 'localhost'"),
        ("cn", "localhost", "not for the name 'localhost'"),
        ("name", "127.0.0.1", "IP address mismatch"),
        ("expired", "localhost", "expired"),
        ("self_signed", "localhost", "self-signed"),
    ],
)
def test_a_wrong_certificate_is_refused(folder: Path, certificate: str, host: str, words: str) -> None:
    with tls_server(folder, certificate, "--tls-auth-clients", "no") as (_, port), opened(folder, port, host) as cache:
        with pytest.raises(coffer.CertificateError, match=words):
            cache.get("key")
        with opened(folder, port, host, tls_insecure_skip_verify=True) as careless:
            assert careless.get("key") is None


def test_an_unknown_authority_is_refused(folder: Path, port: int) -> None:
    with opened(folder, port, tls_ca_file=str(folder / "other_ca.pem")) as cache, pytest.raises(coffer.CertificateError):
        cache.set("key", 1)


def test_a_folder_of_authorities(folder: Path, port: int, tmp_path: Path) -> None:
    shutil.copy(folder / "ca.pem", tmp_path)
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    with opened(folder, port, tls_ca_file="", tls_ca_dir=str(tmp_path)) as cache:
        assert cache.get("key") is None


def test_the_systems_authorities_are_the_default(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder, port, tls_ca_file="") as cache, pytest.raises(coffer.CertificateError):
        cache.get("key")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    with opened(folder, port, tls_ca_file="") as cache:
        assert cache.get("key") is None


def test_the_server_may_want_a_certificate(folder: Path) -> None:
    with tls_server(folder, "right", "--tls-auth-clients", "yes") as (_, port):
        with opened(folder, port) as cache, pytest.raises(coffer.TlsError, match="client certificate"):
            cache.get("key")
        ours = {"tls_cert_file": str(folder / "client.pem"), "tls_key_file": str(folder / "locked.key")}
        with opened(folder, port, **ours, tls_key_password="opensesame") as cache:
            assert cache.get("key") is None
        with pytest.raises(coffer.OptionError, match="tls_key_file") as caught:
            opened(folder, port, **ours, tls_key_password="canary-key-password")
        assert "canary" not in str(caught.value)


def test_tls_to_a_port_without_it_ends_by_the_deadline(folder: Path, secure: tuple[RedisServer, int]) -> None:
    with opened(folder, secure[0].port, timeout=0.3, on_outage="error") as cache, pytest.raises((coffer.TlsError, coffer.TimeoutError)):
        cache.get("key")


def test_no_tls_to_a_port_with_it_is_a_protocol_error(port: int) -> None:
    with coffer.Cache(f"redis://127.0.0.1:{port}") as cache, pytest.raises((coffer.ProtocolError, coffer.ConnectionError)):
        cache.ping()


def test_options_of_tls_without_tls_are_refused() -> None:
    with pytest.raises(coffer.OptionError, match="rediss://"):
        coffer.Cache("redis://localhost", tls_ca_file="/etc/ssl/ca.pem")


def _child(cache: coffer.Cache, number: int, queue: multiprocessing.SimpleQueue[bool]) -> None:
    for i in range(50):
        cache.set(f"child{number}", i)
        assert cache.get(f"child{number}") == i
    queue.put(True)


def test_forked_children_have_connections_of_their_own(folder: Path, port: int) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with opened(folder, port) as cache:
        cache.set("parent", 0)
        children = [context.Process(target=_child, args=(cache, number, queue)) for number in range(4)]
        for child in children:
            child.start()
        for i in range(200):
            cache.set("parent", i)
            assert cache.get("parent") == i
        assert all(queue.get() for _ in children)
        for child in children:
            child.join(30)
            assert child.exitcode == 0
        assert cache.stats().pool.made == 1


# ---- credentials


@pytest.fixture
def guarded(secure: tuple[RedisServer, int]) -> Iterator[Callable[[str], None]]:
    """Sets the password of the user `app`, and takes that user's connections away."""
    client = secure[0].client()

    def rotate(password: str) -> None:
        client.call("ACL", "SETUSER", "app", "on", "resetpass", f">{password}", "~*", "+@all")
        with contextlib.suppress(RuntimeError):
            client.call("CLIENT", "KILL", "USER", "app")

    yield rotate
    client.call("ACL", "DELUSER", "app")
    client.close()


def test_a_function_is_asked_at_each_connect(folder: Path, port: int, guarded: Callable[[str], None]) -> None:
    passwords = ["canary-first", "canary-second"]
    asked: list[str] = []

    def credentials() -> tuple[str, str]:
        asked.append(passwords[0])
        return "app", passwords[0]

    guarded("canary-first")
    with opened(folder, port, credentials=credentials) as cache:
        assert not asked
        cache.set("key", 1)
        users = cache.namespace("users")
        users.set("key", 2)
        assert asked == ["canary-first"]
        del passwords[0]
        guarded("canary-second")
        assert cache.get("key") == 1
        assert users.get("key") == 2
        assert asked == ["canary-first", "canary-second"]


def test_a_namespace_asks_too(folder: Path, port: int, guarded: Callable[[str], None]) -> None:
    guarded("secret")
    with opened(folder, port, credentials=lambda: ("app", "secret")) as cache:
        cache.namespace("users").set("key", 2)


def test_many_threads_ask(folder: Path, port: int, guarded: Callable[[str], None]) -> None:
    guarded("secret")
    failed: list[BaseException] = []

    def work(cache: coffer.Cache, number: int) -> None:
        try:
            for i in range(20):
                cache.set(f"{number}", i)
        except BaseException as error:
            failed.append(error)

    with opened(folder, port, credentials=lambda: ("app", "secret"), pool_max=8) as cache:
        threads = [threading.Thread(target=work, args=(cache, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not failed


def test_what_the_function_raises_is_raised(folder: Path, port: int) -> None:
    class VaultError(Exception):
        pass

    def credentials() -> str:
        raise VaultError("the vault is closed")

    with opened(folder, port, credentials=credentials) as cache:
        for _ in range(3):
            with pytest.raises(VaultError):
                cache.get("key")
        assert cache.stats().pool.in_use == 0


@pytest.mark.parametrize("answer", [None, 1, b"bytes", ("one",), ("canary", 1), ("canary", "canary", "canary"), ["canary", "canary"]])
def test_what_is_no_password_is_refused(folder: Path, port: int, answer: Any) -> None:
    with opened(folder, port, credentials=lambda: answer) as cache:
        with pytest.raises(coffer.ValueTypeError) as caught:
            cache.get("key")
        assert "canary" not in str(caught.value)
        with pytest.raises(coffer.CredentialsError):
            opened(folder, port, credentials=lambda: "x" * 70000).get("key")


def test_credentials_is_a_function() -> None:
    with pytest.raises(coffer.ValueTypeError):
        coffer.Cache("mem://", credentials="secret")  # type: ignore[arg-type]


def test_the_function_goes_with_the_cache(folder: Path, port: int) -> None:
    class Vault:
        def __call__(self) -> str:
            return "secret"

    vault = Vault()
    gone = weakref.ref(vault)
    cache = opened(folder, port, credentials=vault)
    cache.close()
    del vault, cache
    gc.collect()
    assert gone() is None


def test_a_file_is_read_at_each_connect(folder: Path, port: int, guarded: Callable[[str], None], tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("canary-first\n")
    guarded("canary-first")
    with opened(folder, port, username="app", password_file=str(file)) as cache:
        cache.set("key", 1)
        file.write_text("canary-second")
        guarded("canary-second")
        assert cache.get("key") == 1
        file.unlink()
        guarded("canary-third")
        with pytest.raises(coffer.CredentialsError, match="No such file") as caught:
            cache.get("key")
        assert "canary" not in str(caught.value)


def test_a_password_from_the_environment(folder: Path, port: int, guarded: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    guarded("canary-environment")
    monkeypatch.setenv("COFFER_URL", f"rediss://localhost:{port}/0")
    monkeypatch.setenv("COFFER_TLS_CA_FILE", str(folder / "ca.pem"))
    monkeypatch.setenv("COFFER_USERNAME", "app")
    monkeypatch.setenv("COFFER_PASSWORD", "canary-environment")
    with coffer.Cache(from_environment=True) as cache:
        cache.set("key", 1)


# ---- secrets are nowhere


def shown(things: list[object]) -> str:
    """Everything that a program may print of them."""
    out = io.StringIO()
    for thing in things:
        print(repr(thing), str(thing), file=out)
        if isinstance(thing, BaseException):
            traceback.print_exception(thing, file=out)
            with contextlib.suppress(Exception):
                out.write(repr(pickle.loads(pickle.dumps(thing)).__dict__))
    return out.getvalue()


def refused(folder: Path, port: int, canary: str, **options: Any) -> list[object]:
    """What there is to see of a cache that is refused."""
    try:
        cache = opened(folder, port, **options)
    except coffer.Error as error:
        return [error]
    seen: list[object] = []
    with cache:
        for call in (lambda: cache.get(canary), lambda: cache.set(canary, canary), cache.ping, lambda: cache.get_many([canary])):
            try:
                call()
            except coffer.Error as error:
                seen.append(error)
        seen += [cache, cache.stats(), cache.health(), *(cache.option(row.name) for row in coffer.options())]
    return [*seen, cache]


def test_secrets_are_nowhere(
    folder: Path, port: int, guarded: Callable[[str], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "canary-7f3a"
    guarded("another")
    wrong_file, torn_file = tmp_path / "wrong", tmp_path / "torn"
    wrong_file.write_text(canary)
    torn_file.write_text(f"{canary}\n{canary}")
    sealed = base64.b64encode(canary.encode().ljust(32)).decode()
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    for options in (
        {"username": "app", "password": canary},
        {"username": "app", "password_file": str(wrong_file)},
        {"username": "app", "password_file": str(torn_file)},
        {"credentials": lambda: ("app", canary)},
        {"credentials": lambda: canary},
        {"credentials": lambda: (canary,)},
        {"password": canary, "password_file": str(wrong_file)},
        {"tls_cert_file": str(folder / "client.pem"), "tls_key_file": str(folder / "locked.key"), "tls_key_password": canary},
        {"tls_cert_file": str(folder / "client.pem"), "tls_key_file": str(wrong_file)},
        {"tls_cert_file": str(torn_file)},
        {"seal_key": sealed, "password": canary},
        {"seal_key": canary},
        {"password": canary, "tls_ca_file": str(folder / "other_ca.pem")},
    ):
        seen += refused(folder, port, "canary-7f3a-key", **options)
    text = shown(seen) + caplog.text
    key_lines = [line for line in (folder / "client.key").read_text().splitlines() if "-----" not in line]
    for secret in (canary, base64.b64encode(canary.encode()).decode().rstrip("="), canary.encode().hex(), sealed, *key_lines):
        assert secret not in text
    assert "CREDENTIALS" in text or "CredentialsError" in text
