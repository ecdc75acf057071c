"""The transcripts of tests/transcripts over TCP: a fake server at one end, each driver at the other, the same body for all."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator

import pytest

from drivers import BUILD, DRIVERS, Driver
from play import Play
from transcript import Line, Transcript, all_of_them, split
from unplayable import ROWS, UNPLAYABLE

TRANSCRIPTS = {transcript.name: transcript for transcript in all_of_them()}
PLAYABLE = [(driver.name, name) for driver in DRIVERS for name in TRANSCRIPTS if (driver.name, name) not in UNPLAYABLE]


@pytest.fixture(scope="module")
def driver_named() -> Iterator[Callable[[str], Driver]]:
    """A player, which plays one transcript after the other, until it gets stuck."""
    players: dict[str, Driver] = {}

    def get(name: str) -> Driver:
        if name not in players or players[name].process.poll() is not None:
            kind = next(driver for driver in DRIVERS if driver.name == name)
            if why := kind.missing():
                pytest.skip(why)
            players[name] = kind()
        return players[name]

    yield get
    for player in players.values():
        player.stop()


@pytest.mark.parametrize(("driver", "name"), PLAYABLE)
def test_a_transcript(driver: str, name: str, driver_named: Callable[[str], Driver]) -> None:
    player = driver_named(driver)
    try:
        Play(TRANSCRIPTS[name], player, BUILD, player.piece).run()
    except BaseException:
        player.stop()
        raise


def test_what_cannot_be_played_is_there_and_told_once() -> None:
    pairs = [pair for row in ROWS for pair in row.pairs()]
    assert {name for _, name in pairs} <= set(TRANSCRIPTS)
    assert {driver for driver, _ in pairs} <= {driver.name for driver in DRIVERS}
    told_twice = {pair for pair, count in collections.Counter(pairs).items() if count > 1}
    assert {name for _, name in told_twice} <= {"load_handed_on"}  # for two reasons


WRONG = {
    "another command": ("op get key=42", "> a GET app:users:43"),
    "a command too few": ("op get key=42", "> a GET app:users:42", "< a $-1", "= op MISS", "> a GET app:users:42"),
    "another status": ("op get key=42", "> a GET app:users:42", "< a $-1", "= op OK"),
    "another value": ("options raw=true", "op get key=42", "> a GET app:users:42", '< a "hello"', "= op OK value=world"),
    "an operation that has not ended": ("op get key=42", "> a GET app:users:42", "= op MISS"),
    "an operation that has ended": ("op get key=42", "> a GET app:users:42", "< a $-1", "wants op REPLY"),
    "too early a deadline": ("op get key=42 timeout_ms=501", "> a GET app:users:42", "~ 500", "= op TIMEOUT"),
    "another count": ("op get key=42", "> a GET app:users:42", "< a $-1", "count misses 2"),
    "a connection that is used on": (
        "op get key=42",
        "> a GET app:users:42",
        "< a $-1",
        "conn a PROTO",
        "op get key=42",
        "> a GET app:users:42",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_as_told_is_noticed(what: str, driver_named: Callable[[str], Driver]) -> None:
    lines = tuple(Line(number, split(line)) for number, line in enumerate(WRONG[what], 1))
    with pytest.raises(AssertionError, match=f"^wrong.txt:({len(lines)}|{len(lines) - 1}) "):
        Play(Transcript("wrong", lines), driver_named("C"), BUILD, patience_s=0.3).run()
