"""P1: whatever happens on the way, a caller gets the value of its key or an error."""

from __future__ import annotations

import pytest

from tools import ALL_ON_THE_WIRE, SEALED, Load, Outcome, Proxy, Server, Tell, a_little, assert_right, load, seconds


def storm(url: str, server: Server, small: float = 6, share: float = 0.1, **settings: int | str) -> Outcome:
    given: dict[str, int | str] = {"threads": 24, "ms": int(seconds(small, share) * 1000), "cancel_permille": 200, "short_permille": 100}
    given |= {"count_permille": 50, "check_url": server.url, "timeout_ms": 2000}
    return load(url, **(given | settings))


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_calls_that_are_cancelled_and_timed_out_while_replies_are_late(family: str, server: Server, tell: Tell) -> None:
    backend, listen = (server.port, 0) if family == "tcp" else (server.path, str(server.folder / "proxy.sock"))
    with Proxy(backend, listen) as proxy:
        proxy.set("down", "latency", ms=0, max_ms=50, permille=200)
        outcome = storm(f"{proxy.url}?pool_max=8&{ALL_ON_THE_WIRE}", server)
        proxy.clear()
        tell(outcome, proxy)
    assert_right(outcome)
    assert outcome["operations"] > 1000
    assert outcome["cancelled"] > 100


CUTS = {
    "slices": [("down", "slicer", {"bytes": 40, "max_ms": 1}), ("up", "slicer", {"bytes": 40, "max_ms": 1})],
    "resets": [("down", "reset", {"permille": 10}), ("up", "reset", {"permille": 10})],
    "bandwidth": [("down", "bandwidth", {"bytes": 400000})],
    "slow_ends": [("down", "slow_close", {"ms": 30}), ("down", "reset", {"permille": 5})],
    "half_closes": [("down", "half_close", {"bytes": 20000})],
}


@pytest.mark.parametrize("name", CUTS)
def test_broken_connections(name: str, server: Server, proxy: Proxy, tell: Tell) -> None:
    for direction, toxic, numbers in CUTS[name]:
        proxy.set(direction, toxic, **numbers)
    outcome = storm(f"{proxy.url}?{ALL_ON_THE_WIRE}", server, 3, 0.04, threads=8, timeout_ms=500)
    tell(outcome, proxy)
    assert_right(outcome)
    assert proxy.faults() > 0


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_cut_after_any_number_of_bytes_counts_once(direction: str, server: Server, proxy: Proxy, tell: Tell) -> None:
    """F06: each counter ends between what was acknowledged and that with what may have been applied."""
    settings = {"threads": 4, "ms": int(seconds(4, 0.04) * 1000), "count_permille": 600, "write_permille": 200, "timeout_ms": 500}
    running = Load(f"{proxy.url}?{ALL_ON_THE_WIRE}", check_url=server.url, **settings)
    cut_at = 0
    while running.is_running:
        proxy.set(direction, "limit_data", bytes=cut_at * 37 % 1500, ms=cut_at % 2)
        cut_at += 1
        a_little()
    outcome = running.outcome()
    tell(outcome, proxy, counted=outcome["counted_sure"], counted_perhaps=outcome["counted_maybe"])
    assert_right(outcome)
    assert outcome["counted_sure"] > 100
    assert outcome["counted_maybe"] > 20
    assert proxy.faults() > 50


BAD_BYTES = {
    "corrupt_down": [("down", "corrupt", {"permille": 50})],
    "garbage_down": [("down", "garbage", {"permille": 20})],
    "ghosts": [("down", "ghost", {"permille": 50, "max_ms": 3})],
    "corrupt_up": [("up", "corrupt", {"permille": 20})],
    "duplicates": [("down", "duplicate", {"permille": 50})],
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bytes_that_no_server_sent(name: str, server: Server, proxy: Proxy, tell: Tell) -> None:
    """Sealed: only a seal binds a value to its key, and a reply that comes twice looks like the next one's (SECURITY.md)."""
    for direction, toxic, numbers in BAD_BYTES[name]:
        proxy.set(direction, toxic, **numbers)
    outcome = storm(f"{proxy.url}?{SEALED}&{ALL_ON_THE_WIRE}", server, 2.5, 0.04, threads=8, timeout_ms=500, count_permille=0)
    tell(outcome, proxy)
    assert_right(outcome)
    assert proxy.faults() > 10


def test_ghosts_on_idle_connections(server: Server, proxy: Proxy, tell: Tell) -> None:
    """F02: a reply that came while nobody asked is nobody's. Sealed, for one may come just behind a request."""
    running = Load(f"{proxy.url}?{SEALED}&{ALL_ON_THE_WIRE}", threads=4, ms=int(seconds(3, 0.02) * 1000), pause_us=20000, timeout_ms=500)
    said = 0
    while running.is_running:
        said += int(proxy.say("ghost").split()[1])
        a_little()
    outcome = running.outcome()
    tell(outcome, proxy, ghosts=said)
    assert_right(outcome)
    assert said > 50
