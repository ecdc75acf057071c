"""P1 and P7 over TLS: connections that are cut inside of records, and bytes that somebody else put there, with no seal on the values."""

from __future__ import annotations

import json
import subprocess

import pytest

from tools import ALL_ON_THE_WIRE, Proxy, Server, Tell, assert_right, load, program, seconds

Toxics = list[tuple[str, str, dict[str, int]]]
BREAKS: dict[str, Toxics] = {
    "late_in_slices": [("down", "slicer", {"bytes": 200, "max_ms": 1}), ("down", "latency", {"max_ms": 20, "permille": 50})],
    "cut_in_records": [("down", "limit_data", {"bytes": 5000}), ("up", "limit_data", {"bytes": 9001, "ms": 1})],
    "corrupt": [("down", "corrupt", {"permille": 20}), ("up", "corrupt", {"permille": 20})],
    "doubled": [("down", "duplicate", {"permille": 20}), ("up", "duplicate", {"permille": 20})],
    "ghosts": [("down", "ghost", {"permille": 20, "max_ms": 2})],
    "garbage": [("down", "garbage", {"permille": 20}), ("up", "garbage", {"permille": 20})],
}


@pytest.mark.parametrize("name", BREAKS)
def test_broken_tls(name: str, tls_server: Server, tell: Tell) -> None:
    with Proxy(tls_server.tls_port) as proxy:
        for direction, toxic, numbers in BREAKS[name]:
            proxy.set(direction, toxic, **numbers)
        url = f"{tls_server.tls_url(proxy.port)}&{ALL_ON_THE_WIRE}"
        settings = {"threads": 8, "ms": int(seconds(2, 0.02) * 1000), "cancel_permille": 100, "short_permille": 50, "timeout_ms": 500}
        outcome = load(url, count_permille=50, check_url=tls_server.url, **settings)
        tell(outcome, proxy)
        assert_right(outcome)
        assert outcome["values"] > 20
        assert proxy.faults() > 10


@pytest.mark.parametrize("threads", [0, 4])
def test_children_over_tls(threads: int, tls_server: Server, tell: Tell) -> None:
    forks = int(max(40, seconds(0, 0.02) * 20))
    command = [program("fault_forks"), f"{tls_server.tls_url(tls_server.tls_port)}&timeout=20s", str(forks), str(threads)]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 + forks).stdout)
    tell(None, None, **figures)
    assert figures["right"] == forks
    assert figures["parent_errors"] == figures["parent_wrong"] == 0
    assert figures["parent_links_made"] <= max(1, threads), "the parent's connections lived through all of it"
