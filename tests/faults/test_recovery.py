"""P2: after its server was killed, a cache serves again shortly after the server itself does, as the oracle sees it."""

from __future__ import annotations

import time

import pytest

from tools import Load, Oracle, Outcome, Server, Tell, assert_right, in_time, recovery_us, seconds

RECOVERED_MS, LONGEST_MS, ENOUGH_KILLS = 250, 1000, 200


def kills(small: int) -> int:
    return int(max(small, seconds(0, 0.25) / 0.6))


def late_ms(recoveries: list[int], share: float) -> float:
    return sorted(recoveries)[min(len(recoveries) - 1, int(len(recoveries) * share))] / 1000


def kill_again_and_again(url: str, address: int | str, server: Server, count: int) -> tuple[Outcome, list[int]]:
    """What the load came to, and how much later than the oracle it was answered after each kill."""
    running = Load(f"{url}?pool_max=16", threads=16, ms=(count * 1000 + 20000), pause_us=1000, timeout_ms=1000)
    ups = []
    with Oracle(address) as oracle:
        for _ in range(count):
            time.sleep(0.15)
            server.kill()
            time.sleep(0.05)
            server.start()
            ups.append(oracle.next_up_us())
        time.sleep(0.5)
    running.stop()
    outcome = running.outcome()
    return outcome, [recovery_us(outcome, up) for up in ups]


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_the_server_is_killed_again_and_again(family: str, server: Server, tell: Tell) -> None:
    """Many kills are judged by P2's own measure, the 99th of a hundred. Of ten, one may be unlucky on a busy machine (a breaker waits for
    up to 200 ms and four times as long as the last call took): the worst is left out, and three tries are made. What is late because the
    machine was busy is not late each time."""
    count = kills(10)
    url, address = (server.url, server.port) if family == "tcp" else (server.unix_url, server.path)
    many = count >= ENOUGH_KILLS
    for attempt in range(1 if many else 3):
        outcome, recoveries = kill_again_and_again(url, address, server, count)
        figures = {"recovery_p50_ms": late_ms(recoveries, 0.5), "recovery_max_ms": max(recoveries) / 1000}
        tell(outcome, kills=count, attempt=attempt + 1, **figures)
        assert_right(outcome)
        late = 2 * outcome["control_max_us"] / 1000
        assert max(recoveries) / 1000 <= LONGEST_MS + late
        if late_ms(recoveries, 0.99 if many else 0.8) <= RECOVERED_MS + late and in_time(outcome):
            break
    else:
        pytest.fail(f"late each time: {recoveries}")
