"""Sentinel over TLS, with real servers: the certificates of the sentinels are by another authority than those of the servers."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import coffer
from sentinels import ASKED, SECRET, Group, ask_server, is_primary, is_promoted, tls_group
from support import has_redis, make_certificates, wait_until

pytestmark = pytest.mark.usefixtures("both")

DEADLINE = 2.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def group(certificates: Path) -> Iterator[Group]:
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with tls_group(certificates) as made:
        yield made


@pytest.fixture
def mortal(certificates: Path) -> Iterator[Group]:
    """One of a test's own, for it to kill."""
    if not has_redis():
        pytest.skip("redis-server is not installed")
    with tls_group(certificates) as made:
        yield made


def opened(url: str, certificates: Path, authority: str = "two_ca", **options: Any) -> coffer.Cache:
    return coffer.Cache(url, **{"sentinel_password": ASKED, "tls_ca_file": f"{certificates}/{authority}.pem", "timeout": 10, **options})


def test_sentinels_and_servers_over_tls(group: Group, certificates: Path) -> None:
    with opened(group.tls_url(), certificates) as cache:
        cache.set("key", "value")
        assert cache.get("key") == "value"
        wait_until(lambda: cache.get("key") == "value" and any(map(group.is_listened_to, group.ports)))
    with opened(group.tls_url(), certificates, sentinel_password="wrong") as cache, pytest.raises(coffer.AuthenticationError):
        cache.get("key")


@pytest.mark.parametrize(("authority", "port_of"), [("ca", "sentinel"), ("other_ca", "server")])
def test_both_certificates_are_verified(group: Group, certificates: Path, authority: str, port_of: str) -> None:
    with opened(group.tls_url(), certificates, authority) as cache, pytest.raises(coffer.CertificateError) as caught:
        cache.get("key")
    told = [str(port) in str(caught.value) for port in group.tls_ports]
    assert any(told) == (port_of == "sentinel"), caught.value


def test_plain_sentinels_of_servers_over_tls(group: Group, certificates: Path) -> None:
    url = group.url().replace("redis+", "rediss+")
    with opened(url, certificates, "ca", sentinel_tls="off") as cache:
        cache.set("key", "plain asked")
        assert cache.get("key") == "plain asked"


def test_sentinels_over_tls_of_plain_servers(group: Group, certificates: Path) -> None:
    url = group.tls_url().replace("rediss+", "redis+").replace("/main/", "/plain/")
    with opened(url, certificates, "other_ca", sentinel_tls="on") as cache:
        cache.set("key", "plain served")
        assert cache.get("key") == "plain served"


class Load:
    """Calls without end, and what came of them."""

    def __init__(self, cache: coffer.Cache) -> None:
        self.written = 0
        self.longest = 0.0
        self.errors: list[str] = []
        self._cache = cache
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)

    def _work(self) -> None:
        while not self._stopping.wait(0.002):
            began = time.monotonic()
            try:
                self._cache.set("load", self.written)
                self.written += 1
            except coffer.Error as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            self.longest = max(self.longest, time.monotonic() - began)


def test_a_sentinel_is_killed(mortal: Group, certificates: Path) -> None:
    with opened(mortal.tls_url(), certificates, timeout=DEADLINE) as cache, Load(cache) as load:
        wait_until(lambda: load.written > 50)
        mortal.processes[0].kill()
        mortal.processes[0].wait(10)
        time_killed, before = time.monotonic(), load.written
        wait_until(lambda: load.written > before + 200 and time.monotonic() > time_killed + 2.5)  # the others are asked meanwhile
        assert load.errors == []
        with opened(mortal.tls_url(), certificates) as another:  # one that never knew it
            assert another.get("load") is not None


def test_the_primary_is_killed(mortal: Group, certificates: Path) -> None:
    old = next(server for server in mortal.servers if is_primary(server))
    new = next(server for server in mortal.servers if server is not old)
    with opened(mortal.tls_url(), certificates, timeout=DEADLINE, breaker=False) as cache, Load(cache) as load:
        wait_until(lambda: load.written > 50)
        old.process.kill()
        old.process.wait(10)
        wait_until(lambda: is_promoted(new), 20)
        before = load.written
        wait_until(lambda: load.written > before + 200)
        assert load.longest < DEADLINE + 1  # a busy machine
        cache.set("after", "failover")
        assert cache.get("after") == "failover"
        assert str(ask_server(new, "INFO", "keyspace")).count("db3:keys=") == 1
    assert all(SECRET not in error and ASKED not in error for error in load.errors)
