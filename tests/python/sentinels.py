"""Two servers of our own, and three sentinels that watch them."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support import RedisServer, Resp, free_port, redis_server, wait_until

SECRET = "servers-password"
ASKED = "sentinels-password"


class Group:
    """The master is called "main". With TLS the servers' is on `tls_port` and the sentinels' on `tls_ports`, beside the plain ports."""

    def __init__(self, folder: Path, servers: list[RedisServer], watched: int, more: str = "") -> None:
        self.servers = servers
        self.ports = [free_port() for _ in range(3)]
        self.tls_ports = [free_port() for _ in range(3)]
        self.processes: list[subprocess.Popen[bytes]] = []
        for port, tls_port in zip(self.ports, self.tls_ports, strict=True):
            home = folder / str(port)
            home.mkdir()
            config = home / "sentinel.conf"
            config.write_text(
                f"bind 127.0.0.1\nport {port}\ndir {home}\nrequirepass {ASKED}\nsentinel sentinel-pass {ASKED}\n"
                f"sentinel monitor main 127.0.0.1 {watched} 2\nsentinel auth-pass main {SECRET}\n"
                "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
                + more.replace("TLS_PORT", str(tls_port))
            )
            self.processes.append(subprocess.Popen(["redis-server", str(config), "--sentinel"], stdout=subprocess.DEVNULL))
        wait_until(self.is_complete)

    def is_complete(self) -> bool:
        try:
            return all(self._sees_all(port) for port in self.ports)
        except (OSError, RuntimeError):
            return False

    def call(self, port: int, *words: str) -> object:
        with contextlib.closing(Resp(("127.0.0.1", port))) as client:
            client.call("AUTH", ASKED)
            return client.call(*words)

    def ask(self, port: int, *words: str) -> object:
        return self.call(port, "SENTINEL", *words)

    def is_listened_to(self, port: int) -> bool:
        return any("name=coffer" in line and "sub=1" in line for line in str(self.call(port, "CLIENT", "LIST")).split("\\n"))

    def _sees_all(self, port: int) -> bool:
        fields = self.ask(port, "MASTER", "main")
        assert isinstance(fields, list)
        seen = dict(zip(fields[::2], fields[1::2], strict=True))
        return (seen[b"num-slaves"], seen[b"num-other-sentinels"]) == (b"1", b"2")

    def url(self, master: str = "main", password: str = SECRET) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://:{password}@{hosts}/{master}/3"

    def tls_url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.tls_ports)
        return f"rediss+sentinel://:{SECRET}@{hosts}/main/3"

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)


@contextlib.contextmanager
def plain_group() -> Iterator[Group]:
    login = ["--requirepass", SECRET, "--masterauth", SECRET, "--repl-diskless-sync-delay", "0"]
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(redis_server(*login))
        second = stack.enter_context(redis_server(*login, "--replicaof", f"127.0.0.1 {first.port}"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffer-")))
        made = Group(folder, [first, second], first.port)
        stack.callback(made.stop)
        yield made


@contextlib.contextmanager
def tls_group(certificates: Path) -> Iterator[Group]:
    """The servers' certificates are by one authority, the sentinels' by another; both trust both."""
    login = ["--requirepass", SECRET, "--masterauth", SECRET, "--repl-diskless-sync-delay", "0"]
    trust = ["--tls-replication", "yes", "--tls-auth-clients", "no", "--tls-ca-cert-file", f"{certificates}/two_ca.pem"]
    files = ["--tls-cert-file", f"{certificates}/right.pem", "--tls-key-file", f"{certificates}/server.key", *trust]
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(redis_server(*login, *files, "--tls-port", str(ports[0])))
        second = stack.enter_context(redis_server(*login, *files, "--tls-port", str(ports[1]), "--replicaof", f"127.0.0.1 {ports[0]}"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffer-")))
        more = (
            f"tls-port TLS_PORT\ntls-replication yes\ntls-auth-clients no\ntls-ca-cert-file {certificates}/two_ca.pem\n"
            f"tls-cert-file {certificates}/other.pem\ntls-key-file {certificates}/server.key\n"
            f"sentinel monitor plain 127.0.0.1 {first.port} 2\nsentinel auth-pass plain {SECRET}\n"
        )
        made = Group(folder, [first, second], ports[0], more)
        stack.callback(made.stop)
        yield made


def ask_server(server: RedisServer, *words: str) -> object:
    with contextlib.closing(server.client()) as client:
        client.call("AUTH", SECRET)
        return client.call(*words)


def is_primary(server: RedisServer) -> bool:
    role = ask_server(server, "ROLE")
    assert isinstance(role, list)
    return role[0] == b"master"


def is_promoted(server: RedisServer) -> bool:
    """The sentinel that promotes a server closes its connections: one that asks just then is among them."""
    with contextlib.suppress(OSError):
        return is_primary(server)
    return False
