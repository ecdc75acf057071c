"""A clock that the test moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

import coffer
import coffer.testing
from support import wait_until


@pytest.fixture
def memory() -> Iterator[coffer.Cache]:
    with coffer.Cache("mem://", namespace="pages", ttl_jitter=0) as cache:
        yield cache


def test_a_value_is_gone_when_the_test_says_that_its_time_has_passed(memory: coffer.Cache) -> None:
    memory.set("open", "before", ttl="1h")
    with coffer.testing.clock() as clock:
        memory.set("new", "since", ttl="10m")
        clock.move("9m")
        clock.move(59)
        clock.move(timedelta(milliseconds=999))
        assert memory.get("new") == "since"
        clock.move("1ms")
        assert memory.get("new") is None
        assert memory.get("open") == "before"
        clock.move("50m")
    assert memory.get("open") is None
    memory.set("new", "again", ttl="10m")
    assert memory.get("new") == "again"


def test_entries_tell_the_time_of_the_test(memory: coffer.Cache) -> None:
    with coffer.testing.clock() as clock:
        memory.set("a", 1)
        clock.move("2m")
        with coffer.Cache("mem://") as other:
            other.set("b", 1)
            older, newer = memory.get_entry("a"), other.get_entry("b")
    assert older is not None and newer is not None and older.created is not None and newer.created is not None
    assert newer.created - older.created == pytest.approx(120, abs=0.1)


def test_what_a_loader_took_is_told_by_the_same_clock(memory: coffer.Cache) -> None:
    with coffer.testing.clock() as clock:

        def slow(_: str) -> str:
            clock.move("5s")
            return "value"

        assert memory.get_or_load("key", slow) == "value"
        entry = memory.get_entry("key")
    assert entry is not None and entry.load_cost == pytest.approx(5, abs=0.01)


def test_who_waits_for_another_s_loader_notices_at_once(memory: coffer.Cache) -> None:
    begun, done = threading.Event(), threading.Event()

    def never(_: str) -> str:
        begun.set()
        done.wait()
        return "late"

    def wait() -> None:
        try:
            memory.get_or_load("key", never, timeout="1h")
        except coffer.TimeoutError:
            ended.append(time.monotonic())

    ended: list[float] = []
    leader = threading.Thread(target=lambda: memory.get_or_load("key", never))
    follower = threading.Thread(target=wait)
    with coffer.testing.clock() as clock:
        leader.start()
        begun.wait()
        follower.start()
        try:
            time.sleep(0.2)  # it waits, and goes on waiting
            assert not ended
            clock.move("1h")
            moved = time.monotonic()
            wait_until(lambda: bool(ended))
            assert ended[0] - moved < 0.5
        finally:
            done.set()
            leader.join()
            follower.join()


def test_there_is_one_clock_held_once_and_moved_while_it_is_held() -> None:
    with coffer.testing.clock() as clock:
        with pytest.raises(coffer.ArgumentError, match="already"), coffer.testing.clock():
            pass
        for wrong in ("forever", "soon", -1, float("nan")):
            with pytest.raises(coffer.ArgumentError):
                clock.move(wrong)
    with pytest.raises(coffer.ArgumentError, match="within"):
        clock.move("1s")
    with coffer.testing.clock():
        pass
