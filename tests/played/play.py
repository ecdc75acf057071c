"""Plays a transcript over TCP: the lines in their order, to a driver and to fake servers."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

from drivers import Driver
from server import Conn, Sent, Servers, Wrong, top_level
from transcript import Line, Transcript, Word, scripts

PATIENCE_S = 5.0
TIME = re.compile(r"17000\d{5}")  # what a transcript has for the unix time
LOOK_MS = 10
LOOKS_AT_LEAST = 3  # before time has to pass for what has to come
REDIS_PORT, SENTINEL_PORT = 6379, 26379
OPEN_STATES = ("READY", "IDLE", "GREETING")
DEFAULTS = {
    "url": "redis://scripted/0?timeout=2s",
    "prefix": "app",
    "namespace": "users",
    "ttl": "300s",
    "ttl_jitter": "0",
    "pool_idle_timeout": "1d",
}
# What the player in memory says itself, and a driver in other words.
SAYS = {"is down": "connection refused"}
PASS_ON = ("key", "value")


def hosts_of(transcript: Transcript) -> Iterator[str]:
    """Who is a server."""
    if transcript.url is None or "//scripted" in transcript.url or "@scripted" in transcript.url:
        yield "scripted"
        return
    yield from seeds_of(transcript.url)
    listening = {line.word(1) for line in transcript.verbs("listen")}
    for line in transcript.verbs(">", "<", "down", "up", "break", "conn"):
        if line.word(1) not in listening:
            yield line.word(1).removesuffix("/r")
    for line in transcript.verbs("<"):
        for before, word in zip(line.words, line.words[1:], strict=False):
            if before.is_quoted and re.fullmatch(r":\d+", str(word)) and re.fullmatch(r"\w+", str(before)):
                yield str(before)


def seeds_of(url: str) -> list[str]:
    return re.sub(r"^.*?//(.*@)?", "", url).split("/")[0].split("?")[0].split(",")


def ports_of(transcript: Transcript) -> Iterator[int]:
    is_sentinel = "sentinel" in (transcript.url or "")
    yield SENTINEL_PORT if is_sentinel else REDIS_PORT
    for line in transcript.verbs("<"):
        text = " ".join(map(str, line.words))
        for found in re.findall(r"\bport (\d)\b|switch-master \w+ \S+ (\d) \S+ (\d)$" if is_sentinel else r":(6\d{3})\b", text):
            yield from (int(port) for port in ([found] if isinstance(found, str) else found) if port)


class Play:
    def __init__(self, transcript: Transcript, driver: Driver, build: Path, piece: int = 0, patience_s: float = PATIENCE_S) -> None:
        self.transcript, self.driver, self.piece, self.patience_s = transcript, driver, piece, patience_s
        self.scripts = scripts(build)
        self.options = dict(DEFAULTS)
        self.is_open = False
        self.in_use = "a"
        self.used = {"a"}
        self.named: dict[str, Conn] = {}
        self.captured: dict[str, bytes] = {}
        self.servers = Servers(hosts_of(transcript), ports_of(transcript), not transcript.is_greeted_by_hand)
        self.is_single = "scripted" in self.servers.addresses
        self.servers.most_conns = 1 if self.is_single else None
        self.line = Line(0, ())
        self.turned: list[Line] = []
        driver.ended.clear()
        self.looks = 0
        self.listening: set[str] = set()
        self.began_us = driver.unix_us()

    def run(self) -> None:
        verbs = {
            "options": self.set_options,
            "op": self.begin,
            ">": self.expect,
            "<": self.answer,
            "~": self.wait,
            "wants": self.expect_want,
            "supply": self.tell_loader,
            "supply_absent": self.tell_loader,
            "abort": self.tell_loader,
            "free": self.free,
            "break": self.break_conn,
            "=": self.expect_end,
            "conn": self.expect_conn,
            "count": self.expect_count,
            "greet": lambda: None,
            "use": self.use,
            "down": self.turn,
            "up": self.turn,
            "listen": self.listen,
        }
        try:
            for line in self.transcript.lines:
                self.line, self.looks = line, 0
                verbs[line.verb]()
        except AssertionError as wrong:
            raise AssertionError(f"{self.transcript.name}.txt:{self.line.number} ({self.driver.name}, {self.piece}): {wrong}") from None
        finally:
            self.finish()

    def finish(self) -> None:
        """Lets all operations come to their ends."""
        self.servers.close()
        end = time.monotonic() + self.patience_s
        self.driver.hear()
        while self.driver.threads and time.monotonic() < end:
            for name in list(self.driver.loading):
                self.driver.tell_loader(name, "interrupt")
            self.driver.move(60_000)
            self.driver.hear()
        if self.driver.threads:
            self.driver.stop()

    # ---- time, and what happens by itself ----

    def pump(self) -> bool:
        has_happened = self.servers.pump(self.driver.unix_us())
        for name, conn in list(self.named.items()):
            if conn.commands and conn.commands[0].words[0] == b"SUBSCRIBE" and name not in self.listening:
                self.take_other(name, conn)
        return has_happened

    def take_other(self, name: str, conn: Conn) -> None:
        """The connection that was greeted is one to listen on: the transcript means the other that was made at the same time."""
        other = next((one for one in self.candidates(name) if one is not conn and one.name is None and one.commands), None)
        said = conn.said
        conn.commands.clear()
        conn.say(b"+OK\r\n")
        conn.name = None
        del self.named[name]
        if other is not None:
            other.name, self.named[name] = name, other
            del other.commands[: conn.count - 1]
            other.say(said)

    def settle(self) -> None:
        """Until everybody waits for something."""
        end = time.monotonic() + self.patience_s
        while time.monotonic() < end:
            has_happened = self.pump()
            self.driver.hear()
            if not has_happened and self.driver.is_asleep() and not self.pump() and not self.pass_by():
                return

    def go_on(self) -> None:
        """The same for something that has to come: whoever looks again from time to time does."""
        self.settle()
        if not self.driver.passes_by:
            self.looks += 1
            if self.looks > 1:
                self.driver.look_again()
                self.settle()
            if self.looks > LOOKS_AT_LEAST and self.looks % 2 == 0:
                self.driver.move(1)
                self.settle()

    def pass_by(self) -> bool:
        """Somebody calls in passing; whether that led to anything."""
        if not self.is_open or not self.driver.passes_by:
            return False
        self.driver.pass_by()
        return self.pump()

    def look_again(self) -> None:
        if self.driver.passes_by and not self.is_single:
            self.driver.look_again()
            self.settle()

    def wait(self) -> None:
        self.look_again()
        ms = int(self.line.word(1))
        self.driver.move(ms)
        self.settle()

    def next_line(self) -> Line:
        at = self.transcript.lines.index(self.line) + 1
        return self.transcript.lines[at] if at < len(self.transcript.lines) else Line(0, (Word(b"end"),))

    # ---- operations ----

    def set_options(self) -> None:
        for word in self.line.words[1:]:
            name, _, value = str(word).partition("=")
            self.options["namespace" if name == "ns" else name] = value

    def open(self) -> None:
        if self.is_open:
            return
        self.is_open = True
        self.options.setdefault("pool_max", str(self.most_at_once()))
        self.driver.ask("open", *(f"{name}={self.real_url(value).encode('latin-1').hex()}" for name, value in self.options.items()))

    def most_at_once(self) -> int:
        """How many connections to a server are in use at once: those that are spoken of again when another has been."""
        spoken = [line.word(1) for line in self.transcript.verbs(">", "<")] if self.is_single else []
        return max((len({name for name in spoken[:at] if name in spoken[at:]} | {name}) for at, name in enumerate(spoken)), default=1)

    def real_url(self, value: str) -> str:
        if "://" not in value:
            return value
        port = self.servers.ports[SENTINEL_PORT if "sentinel" in value else REDIS_PORT]
        hosts = ",".join(f"{self.servers.addresses[host]}:{port}" for host in seeds_of(value))
        return re.sub(r"(//(?:[^/?]*@)?)[^/?]*", lambda found: found[1] + hosts, value, count=1)

    def begin(self) -> None:
        self.open()
        words = []
        for word in self.line.words[2:]:
            name, _, value = word.text.partition(b"=")
            if name != b"as":
                words.append(f"{name.decode()}={value.hex() if name.decode() in PASS_ON else value.decode()}")
        name = self.line.option_text("as") or "op"
        self.await_end_before(name)
        self.driver.begin(name, self.line.word(1), *words)
        self.settle()
        self.look_again()

    def await_end_before(self, name: str) -> None:
        """An operation whose end no line asks for ends before the next of its name begins, or its end would be taken for the next one's."""
        end = time.monotonic() + self.patience_s
        while self.driver.is_running(name) and time.monotonic() < end:
            self.go_on()

    def tell_loader(self) -> None:
        name = self.line.word(1)
        self.await_load(name)
        verb = {"supply": "supply", "supply_absent": "absent"}.get(self.line.verb, "abort" if len(self.line.words) == 2 else "interrupt")
        self.driver.tell_loader(name, verb, *([self.line.words[2].text.hex()] if verb == "supply" else []))
        self.settle()

    def await_load(self, name: str) -> None:
        end = time.monotonic() + self.patience_s
        while name not in self.driver.loading:
            self.go_on()
            if time.monotonic() > end:
                raise Wrong(f"{name} does not want its loader to run: {self.driver.ended.get(name)}")

    def free(self) -> None:
        name = self.line.word(1)
        if self.driver.is_running(name):
            self.driver.free(name)
        self.settle()

    def expect_want(self) -> None:
        name, want = self.line.word(1), self.line.word(2)
        if want == "LOAD":
            self.await_load(name)
            return
        self.settle()
        if not self.driver.is_running(name) or name in self.driver.loading:
            raise Wrong(f"{name} does not wait: {self.driver.ended.get(name, 'LOAD')}")

    def expect_end(self) -> None:
        name, status = self.line.word(1), self.line.word(2)
        end = time.monotonic() + self.patience_s
        while name not in self.driver.ended:
            self.go_on()
            if time.monotonic() > end:
                raise Wrong(f"{name} has not ended")
        got = self.driver.ended[name]
        says = bytes.fromhex(got.get("says", "")).decode("utf-8", "replace")
        self.same("status", got["status"], status, says)
        for field in ("integer", "source"):
            if field in got:
                self.same(field, got[field], self.line.option_text(field), says)
        value = self.line.option("value")
        if value is not None and "value" in got:
            self.same("value", got["value"], value.hex(), says)
        items = self.line.option_text("items")
        if items is not None and "items" in got:
            for one, other in zip(got["items"].split(","), items.split(","), strict=True):
                self.same("items", one, None if one == "-" else other, says)
        self.expect_text(says)

    def same(self, what: str, got: str, wanted: str | None, says: str) -> None:
        if wanted is not None and wanted not in got.split("|"):
            raise Wrong(f"the {what} is {got}, not {wanted} ({says})")

    def expect_text(self, got: str) -> None:
        says, hides = self.line.option_text("says"), self.line.option_text("hides")
        if says is not None and got != "" and self.servers.rewrite(SAYS.get(says, says)) not in got:
            raise Wrong(f"it says: {got}")
        if hides is not None and hides in got:
            raise Wrong(f"it tells {hides}: {got}")

    def expect_count(self) -> None:
        got = self.driver.ask("count", self.line.word(1))
        if got[1] not in ("-", self.line.word(2)):
            raise Wrong(f"{self.line.word(1)} is {got[1]}")

    # ---- connections ----

    def use(self) -> None:
        """From here on there may be one more connection; one that is not spoken of again has gone."""
        name = self.line.word(1)
        rest = self.transcript.lines[self.transcript.lines.index(self.line) :]
        before = self.named.get(self.in_use)
        if before is not None and not any(line.word(1) == self.in_use for line in rest if line.verb in ("use", ">", "<", "break", "conn")):
            before.close()
        self.in_use = name
        self.used.add(name)
        self.servers.most_conns = len(self.used)

    def candidates(self, name: str) -> list[Conn]:
        """The open connections that may be the one of that name, the likeliest first. Which of several to one server an operation takes
        is the driver's to say, and which sentinel is listened to."""
        own = self.named.get(name)
        if self.is_single:
            found = [conn for conn in reversed(self.servers.conns) if conn.is_open and not conn.is_dead]
            return sorted(found, key=lambda conn: (conn is not own, conn.name is not None))
        host = name.removesuffix("/r")
        found = [conn for conn in reversed(self.servers.conns) if conn.is_open and not conn.is_dead]
        found = [conn for conn in found if conn.host == host or name in self.listening]
        found = [conn for conn in found if conn.listens == (name in self.listening) or (not self.servers.is_greeting and not conn.listens)]
        if name in self.listening:
            found.reverse()  # the older: it listens
            return sorted(found, key=lambda conn: (conn is not own, not conn.listens))
        found = [conn for conn in found if conn.name not in self.listening]
        return sorted(found, key=lambda conn: conn.is_replica != name.endswith("/r"))

    def conn(self, name: str) -> Conn:
        found = self.candidates(name)
        if not found:
            raise Wrong(f"there is no connection {name}")
        return found[0]

    def expect(self) -> None:
        name = self.line.word(1)
        end = time.monotonic() + self.patience_s
        while True:
            self.go_on()
            self.look_at(name)
            found, sent = self.find_command(name)
            if sent is not None:
                break
            if time.monotonic() > end or (found is not None and not self.is_unordered()):
                others = {conn.name or conn.host: [sent.words for sent in conn.commands] for conn in self.servers.conns if conn.commands}
                raise Wrong(f"nothing was sent on {name}, but {others}; ended: {self.driver.ended}")
        assert found is not None
        found.name, self.named[name] = name, found
        found.commands.remove(sent)
        found.asked.append(sent.number)
        for wanted, got in zip(self.line.words[2:], sent.words, strict=True):
            if (name_of := self.kept_as(wanted)) is not None:
                self.captured[name_of] = got

    def find_command(self, name: str) -> tuple[Conn | None, Sent | None]:
        """The first connection that says anything, or the one that says what it should; and that. Operations that wait at once
        may send in any order."""
        speaking = [conn for conn in self.candidates(name) if conn.commands]
        for conn in speaking:
            for sent in conn.commands if self.is_unordered() else conn.commands[:1]:
                if self.is_wanted(sent.words):
                    return conn, sent
        return (speaking[0] if speaking else None), None

    def is_unordered(self) -> bool:
        return len(self.driver.threads) > 1 or not self.driver.has_order

    def kept_as(self, wanted: Word) -> str | None:
        """What <e1> keeps an argument as."""
        text = str(wanted)
        return text[1:-1] if text.startswith("<") and not wanted.is_quoted and ":" not in text else None

    def is_wanted(self, command: list[bytes]) -> bool:
        wanted = self.line.words[2:]
        return len(command) == len(wanted) and all(map(self.is_argument, wanted, command))

    def is_argument(self, wanted: Word, got: bytes) -> bool:
        if wanted.is_quoted or not wanted.text.startswith(b"<"):
            return wanted.text == got
        kind, _, name = str(wanted)[1:-1].partition(":")
        return not name or self.scripts[name][kind == "text"] == got

    def answer(self) -> None:
        name = self.line.word(1)
        conn = self.named.get(name)
        if conn is None or not conn.is_open:
            conn = self.conn(name)
        parts = list(self.replies())
        # Of several threads that are woken at once any may be the first.
        for some in ([part] for part in top_level(parts)) if len(self.driver.threads) > 1 else [parts]:
            conn.answer(some, self.piece)
            self.settle()
        self.look_at(name)

    def look_at(self, name: str, ms: int = LOOK_MS) -> None:
        """Announcements are looked for in passing, from time to time."""
        if name in self.listening and self.driver.passes_by:
            self.driver.move(ms)
            self.settle()

    def replies(self) -> Iterator[bytes]:
        words = list(self.line.words[2:])
        while words:
            word = words.pop(0)
            text = str(word)
            if word.is_quoted:
                yield bulk(self.real_word(text, words).encode("latin-1"))
            elif text.startswith("<"):
                yield bulk(self.kept(text[1:-1]))
            elif text.startswith("hex:"):
                yield bytes.fromhex(text[4:])
            elif text.startswith("-"):
                line = " ".join([text, *map(str, words)])
                yield self.real_line(line).encode("latin-1") + b"\r\n"
                words.clear()
            else:
                yield text.encode("latin-1") + b"\r\n"

    def real_word(self, text: str, after: list[Word]) -> str:
        """A quoted word; where it is a host, what comes after is its port."""
        if TIME.fullmatch(text):
            return str(math.ceil(self.began_us / 1_000_000) + int(text) - 1_700_000_000)
        if not after or text not in self.servers.addresses:
            return self.servers.rewrite(text)
        if (port := re.fullmatch(r":(\d+)", str(after[0]))) and int(port[1]) in self.servers.ports:
            after[0] = Word(f":{self.servers.ports[int(port[1])]}".encode())
            return self.servers.addresses[text]
        if str(after[0]) == "port" and int(str(after[1])) in self.servers.ports:
            after[1] = Word(str(self.servers.ports[int(str(after[1]))]).encode(), True)
            return self.servers.addresses[text]
        return text

    def real_line(self, line: str) -> str:
        """An error: -MOVED 2855 b:6379, -MOVED 2855 :6380."""
        moved = re.fullmatch(r"(-(?:MOVED|ASK) \d+ )(.*):(\d+)", line)
        if moved is None or int(moved[3]) not in self.servers.ports or moved[2] not in ("", *self.servers.addresses):
            return line
        return f"{moved[1]}{self.servers.addresses.get(moved[2], '')}:{self.servers.ports[int(moved[3])]}"

    def kept(self, name: str) -> bytes:
        """<e1> or <e1+9>: what was captured, with a bit flipped."""
        name, _, flip = name.partition("+")
        data = bytearray(self.captured[name])
        if flip:
            data[int(flip)] ^= 1
        return bytes(data)

    def break_conn(self) -> None:
        self.settle()
        if self.is_single and self.next_line().verb == "use":
            self.servers.most_conns = len(self.used) + 1
        for conn in self.candidates(self.line.word(1))[:1]:  # it may have gone with its server
            conn.close()
        self.settle()

    def turn(self) -> None:
        """Those that go down together go at once."""
        if self.line in self.turned:
            return
        self.settle()
        at = self.transcript.lines.index(self.line)
        self.turned = list(itertools.takewhile(lambda line: line.verb == self.line.verb, self.transcript.lines[at:]))
        self.servers.turn({line.word(1).removesuffix("/r") for line in self.turned}, self.line.verb == "up")
        self.settle()

    def listen(self) -> None:
        self.listening.add(self.line.word(1))
        self.open()
        end = time.monotonic() + self.patience_s
        while not self.candidates(self.line.word(1)) and time.monotonic() < end:
            self.look_at(self.line.word(1), 1)

    def expect_conn(self) -> None:
        name, state = self.line.word(1), self.line.word(2)
        self.settle()
        conn = self.named.get(name)
        if conn is None:
            return
        if state in OPEN_STATES:
            if not conn.is_open:
                raise Wrong(f"{name} was closed")
            return
        conn.is_dead = True
        conn.commands.clear()


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)
