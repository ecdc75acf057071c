"""A progress line for a person who waits: on a terminal only, ten times a second at most."""

from __future__ import annotations

import time
from typing import TextIO

_WIDTH = 28
_INTERVAL_SECONDS = 0.1


class Progress:
    """One line that is drawn over and over, and gone at the end."""

    def __init__(self, stream: TextIO, enabled: bool) -> None:
        self._stream = stream
        self._enabled = enabled
        self._drawn_at = 0.0
        self._is_drawn = False

    def update(self, what: str, done: int, total: int | None = None) -> None:
        """Shows how far `what` is. A total of None is not known."""
        now = time.monotonic()
        if not self._enabled or now - self._drawn_at < _INTERVAL_SECONDS:
            return
        self._drawn_at = now
        self._draw(f"{what:<24}{_bar(done, total)}")

    def clear(self) -> None:
        """Takes the line away."""
        if self._is_drawn:
            self._draw("")
            self._is_drawn = False

    def _draw(self, text: str) -> None:
        self._is_drawn = True
        try:
            self._stream.write(f"\r{text}\x1b[K")
            self._stream.flush()
        except OSError:
            self._enabled = False


def _bar(done: int, total: int | None) -> str:
    if not total:
        return f"{done:,}"
    full = _WIDTH * done // total
    return f"[{'#' * full}{'.' * (_WIDTH - full)}] {100 * done // total:3d} %  {done:,} of {total:,}"
