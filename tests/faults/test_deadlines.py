"""P5: whatever the other side does, a call ends by its deadline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tools import Outcome, Proxy, Server, Tell, assert_right, in_time, load, seconds

Mute = Callable[[Server, Proxy], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def stopped(server: Server, proxy: Proxy) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


def toxic(direction: str, name: str, **numbers: int) -> Mute:
    @contextlib.contextmanager
    def held(server: Server, proxy: Proxy) -> Iterator[None]:
        proxy.set(direction, name, **numbers)
        yield
        proxy.clear()

    return held


MUTES: dict[str, Mute] = {
    "server_stopped": stopped,
    "black_hole_up": toxic("up", "black_hole"),
    "black_hole_down": toxic("down", "black_hole"),
    "trickle_down": toxic("down", "trickle", ms=30),
    "trickle_up": toxic("up", "trickle", ms=30),
    "withheld": toxic("down", "withhold"),
    "accept_hangs": toxic("up", "accept_hang"),
}


def measure(server: Server, proxy: Proxy, mute: Mute, breaker: str) -> Outcome:
    with mute(server, proxy):
        settings = {"threads": 8, "ms": int(seconds(1.5, 0.01) * 1000), "timeout_ms": 100, "short_permille": 300, "short_ms": 100}
        return load(f"{proxy.url}?pool_max=4&acquire_timeout=1s&breaker={breaker}", **settings)


@pytest.mark.parametrize(("name", "breaker"), [*((name, "false") for name in MUTES), ("server_stopped", "true")])
def test_a_call_ends_by_its_deadline(name: str, breaker: str, server: Server, proxy: Proxy, tell: Tell) -> None:
    """Three tries: what is late because the machine was busy is not late each time."""
    for attempt in range(3):
        outcome = measure(server, proxy, MUTES[name], breaker)
        tell(outcome, proxy, attempt=attempt + 1)
        assert_right(outcome)
        if in_time(outcome):
            break
    else:
        pytest.fail(f"late three times: {outcome.figures}")
    assert outcome["deadlines"] > (20 if breaker == "false" else 0)
    after = load(proxy.url, threads=2, ms=300, timeout_ms=5000)
    assert_right(after)
    assert after.errors == {}, "everything is as before"
