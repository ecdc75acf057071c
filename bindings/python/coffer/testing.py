"""For tests of programs that use Coffer: time passes when the test says so.

with coffer.testing.clock() as clock:
    cache.set("session", "of Ada", ttl="10m")
    clock.move("10m")
    assert cache.get("session") is None
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from coffer import _coffer_core as core
from coffer._errors import ArgumentError
from coffer._values import NEVER_MS, Duration, ttl_ms

__all__ = ["Clock", "clock"]


class Clock:
    """The time of all caches of the process, which stands still until it is moved. What `clock()` answers with."""

    __slots__ = ("_is_held", "_now_us")

    def __init__(self) -> None:
        self._is_held = False
        self._now_us = 0

    def __enter__(self) -> Self:
        if core.clock_is_held():
            raise ArgumentError("a test has the clock already", "ARG")
        self._now_us = core.coffer_now_us()
        core.clock_set(self._now_us)
        self._is_held = True
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._is_held = False
        core.clock_free()

    def move(self, by: Duration) -> None:
        """Lets so much time pass: entries grow old, deadlines come, pauses end. A thread that is inside of a call notices
        within 50 ms."""
        if not self._is_held:
            raise ArgumentError("a clock is moved within its `with`", "ARG")
        ms = ttl_ms(by)
        if ms == NEVER_MS:
            raise ArgumentError("a clock cannot be moved for ever", "ARG")
        self._now_us += ms * 1000
        core.clock_set(self._now_us)


def clock() -> Clock:
    """A context in which the time of all caches of the process is the test's: it begins as it is, and only `move` lets it
    pass. Afterwards it goes on by itself; what was moved stays moved. Processes that share memory (`near=shared`) have to
    agree on the time: move it where nobody else has that memory. A server's own time is its own: with `redis://` the TTLs
    of a real server end when they do."""
    return Clock()
