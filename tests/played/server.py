"""The fake servers: sockets on loopback that do nothing by themselves but greet. Whoever plays a transcript pumps them.

A host of a transcript is an address of loopback of its own, and a port of it the same real port on each of them; so what a server
says of another is rewritten word by word: `"b" :6379` becomes `"127.6.0.2" :43211`.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

GREETING = (b"HELLO", b"AUTH", b"CLIENT", b"SELECT", b"TIME", b"READONLY", b"INFO", b"SUBSCRIBE")
NETWORK = itertools.count(1)


class Wrong(AssertionError):
    """The driver did something that the transcript does not say."""


@dataclass(eq=False)
class Sent:
    """A command of the client's."""

    number: int  # of those on its connection
    words: list[bytes]


def top_level(parts: list[bytes]) -> Iterator[bytes]:
    """Whole replies: an array and what it holds are one."""
    parts = list(parts)
    while parts:
        whole, missing = b"", 1
        while missing and parts:
            part = parts.pop(0)
            array = re.fullmatch(rb"\*(\d{1,4})\r\n", part)
            whole, missing = whole + part, missing - 1 + (int(array[1]) if array else 0)
        yield whole


@dataclass(eq=False)
class Conn:
    """One connection that was accepted."""

    socket: socket.socket
    host: str
    seen: bytes = b""
    commands: list[Sent] = field(default_factory=list)  # that the transcript has not told of yet
    asked: list[int] = field(default_factory=list)  # those it has told of and not answered, in its order
    held: dict[int, bytes] = field(default_factory=dict)  # replies to commands that came later than the transcript says
    count: int = 0
    said: bytes = b""  # to it
    is_greeting: bool = True
    is_replica: bool = False  # said READONLY
    listens: bool = False
    is_over: bool = False  # the client has closed it
    is_dead: bool = False  # it may not be used any more
    name: str | None = None  # that the transcript has for it

    @property
    def is_open(self) -> bool:
        return not self.is_over and self.socket.fileno() >= 0

    def read(self) -> bool:
        """Whether anything came."""
        got: bytes | None = None
        with suppress(BlockingIOError):
            try:
                got = self.socket.recv(1 << 20)
            except ConnectionResetError:
                got = b""
        if got is None:
            return False
        self.is_over = not got
        self.seen += got
        self.commands += self._whole_commands()
        if self.is_dead and self.commands:
            raise Wrong(f"a connection that has failed is used again: {self.commands[0].words}")
        return True

    def _whole_commands(self) -> Iterator[Sent]:
        while (command := self._command()) is not None:
            self.is_replica = self.is_replica or command[0] == b"READONLY"
            self.listens = self.listens or command[0] == b"SUBSCRIBE"
            self.count += 1
            yield Sent(self.count, command)

    def _command(self) -> list[bytes] | None:
        head = re.match(rb"\*(\d+)\r\n", self.seen)
        at, words = head.end() if head else 0, []
        for _ in range(int(head[1]) if head else 0):
            size = re.compile(rb"\$(\d+)\r\n").match(self.seen, at)
            if size is None or len(self.seen) < size.end() + int(size[1]) + 2:
                return None
            words.append(self.seen[size.end() : size.end() + int(size[1])])
            at = size.end() + int(size[1]) + 2
        if head is None:
            if self.seen:
                raise Wrong(f"that is no command: {self.seen!r}")
            return None
        self.seen = self.seen[at:]
        return words

    def say(self, data: bytes, piece: int = 0) -> None:
        self.said += data
        for at in range(0, len(data), piece or len(data) or 1):
            with suppress(ConnectionError):
                self.socket.sendall(data[at : at + piece] if piece else data)

    def answer(self, parts: list[bytes], piece: int) -> None:
        """Several that wait at once may have asked in another order than the transcript says: then they are answered in theirs."""
        if self.asked == sorted(self.asked) and not self.held:
            self.say(b"".join(parts), piece)
            del self.asked[: len(list(top_level(parts)))]
            return
        for reply in top_level(parts):
            self.held[self.asked.pop(0)] = reply
        while self.held and min(self.held) < min([*self.asked, *(sent.number for sent in self.commands), self.count + 1]):
            self.say(self.held.pop(min(self.held)), piece)

    def close(self) -> None:
        self.socket.close()


class Servers:
    """All servers of a transcript."""

    def __init__(self, hosts: Iterable[str], ports: Iterable[int], is_greeting: bool) -> None:
        network = f"127.{60 + os.getpid() % 150}.{next(NETWORK) % 250}"
        self.is_greeting = is_greeting
        self.conns: list[Conn] = []
        self.most_conns: int | None = None  # who comes after them finds nobody
        self.addresses = {host: f"{network}.{number}" for number, host in enumerate(dict.fromkeys(hosts), 1)}
        self.ports: dict[int, int] = {}
        self.listeners: dict[tuple[str, int], socket.socket] = {}
        for port in dict.fromkeys(ports):
            for host in self.addresses:
                self._listen(host, port)

    def _listen(self, host: str, port: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.addresses[host], self.ports.get(port, 0)))
        listener.listen()
        listener.setblocking(False)
        self.ports.setdefault(port, listener.getsockname()[1])
        self.listeners[host, port] = listener

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.close()
        for conn in self.conns:
            conn.close()

    def turn(self, hosts: set[str], is_up: bool) -> None:
        """Servers that are down refuse connections, and those they had are gone."""
        for host, port in itertools.product(hosts, self.ports):
            if is_up and (host, port) not in self.listeners:
                self._listen(host, port)
            elif not is_up and (host, port) in self.listeners:
                self.listeners.pop((host, port)).close()
        for conn in self.conns:
            if not is_up and conn.host in hosts and conn.is_open:
                conn.read()
                conn.close()

    # ---- words ----

    def rewrite(self, text: str) -> str:
        """host:port, and the `host port` of announcements, as they really are."""
        for host, address in self.addresses.items():
            for port, real in self.ports.items():
                text = re.sub(rf"(?<![\w.:]){re.escape(host)}([: ]){port}\b", rf"{address}\g<1>{real}", text)
        return text

    # ---- sockets ----

    def pump(self, unix_us: int) -> bool:
        """Accepts and reads whatever there is, and greets. Whether anything happened."""
        sockets = [*self.listeners.values(), *(conn.socket for conn in self.conns if conn.is_open)]
        ready, _, _ = select.select(sockets, [], [], 0)
        for (host, _), listener in list(self.listeners.items()):
            if listener in ready:
                self._accept(listener, host)
        has_happened = bool(ready)
        for conn in self.conns:
            while conn.is_open and conn.read():
                has_happened = True
            self._greet(conn, unix_us)
        return has_happened

    def _accept(self, listener: socket.socket, host: str) -> None:
        with suppress(BlockingIOError):
            while True:
                accepted, _ = listener.accept()
                if self.most_conns is not None and len(self.conns) >= self.most_conns:
                    accepted.close()
                    continue
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.conns.append(Conn(accepted, host, is_greeting=self.is_greeting))

    def _greet(self, conn: Conn, unix_us: int) -> None:
        while conn.is_greeting and conn.commands:
            if conn.commands[0].words[0] not in GREETING:
                conn.is_greeting = False
                return
            command = conn.commands.pop(0).words
            time = f"*2\r\n$10\r\n{unix_us // 1_000_000:010}\r\n$6\r\n{unix_us % 1_000_000:06}\r\n".encode()
            conn.say(time if command[0] == b"TIME" else b"+OK\r\n")
