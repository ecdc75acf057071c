"""P3: after a failover a cache serves again shortly after the new primary does, as an oracle sees it, and nobody whose deadline is longer
than the failover was told an error meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools import Load, Oracle, Outcome, Server, Tell, assert_right, recovery_us, seconds
from topologies import SHARDS, Cluster, Group, Witness, ask, cluster_of_its_own, group_of_its_own, slot_of, wait_a_moment

RECOVERED_MS, ENOUGH = 1000, 50
LONG_MS = 15000  # longer than any failover takes
WAYS = ("kill", "order")
HONEST = {"MAYBE_APPLIED"}  # a write was on its way to a server that died: nobody can know


def failovers(small: int) -> int:
    """100 in an hour."""
    return int(max(small, seconds(0, 0.2) / 7.2))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of_its_own() as running:
        yield running


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    with group_of_its_own() as running:
        yield running


def late_ms(recoveries: list[int], share: float) -> float:
    return sorted(recoveries)[min(len(recoveries) - 1, int(len(recoveries) * share))] / 1000


def judge(recoveries: list[int], outcome: Outcome) -> None:
    late = 2 * outcome["control_max_us"] / 1000
    assert late_ms(recoveries, 0.99 if len(recoveries) >= ENOUGH else 1) <= RECOVERED_MS + late


def load_of(cluster: Cluster, shard: int, **settings: int | str) -> Load:
    """A load on keys of this shard alone, so that what it waits for is this shard's failover."""
    keys = [n for n in range(200) if cluster.shard_of(slot_of(f"_:_:key{n}")) == shard]
    given: dict[str, int | str] = {"threads": 4, "ms": 3_600_000, "pause_us": 4000, "timeout_ms": LONG_MS, "hang_ms": 3000}
    return Load(f"{cluster.url}?on_outage=error&pool_max=4", only=",".join(map(str, keys)), **(given | settings))


def fail_over(cluster: Cluster, shard: int, way: str) -> int:
    """The moment at which the shard's other node took writes."""
    primary, replica = cluster.pair(shard)
    with cluster.oracle(shard, replica) as oracle:
        if way == "kill":
            primary.kill()
        else:
            ask(replica, "CLUSTER", "FAILOVER")
        up_us = oracle.next_up_us()
    wait_a_moment(0.5)
    if way == "kill":
        primary.start()
    cluster.wait_until_well()
    return up_us


@pytest.mark.parametrize("way", WAYS)
def test_a_primary_of_a_cluster(way: str, cluster: Cluster, tell: Tell) -> None:
    count = failovers(1 if way == "kill" else 2)
    running = [load_of(cluster, shard) for shard in range(SHARDS)]
    ups: list[tuple[int, int]] = []
    wait_a_moment(0.5)
    for number in range(count):
        shard = number % SHARDS
        ups.append((shard, fail_over(cluster, shard, way)))
    wait_a_moment(0.5)
    for one in running:
        one.stop()
    outcomes = [one.outcome() for one in running]
    recoveries = [recovery_us(outcomes[shard], up) for shard, up in ups]
    figures = {"recovery_p50_ms": late_ms(recoveries, 0.5), "recovery_max_ms": max(recoveries) / 1000}
    for shard, outcome in enumerate(outcomes):
        mine = figures if shard == 0 else {}
        tell(outcome, shard=shard, failovers=count, errors=str(outcome.errors), **mine)
    for outcome in outcomes:
        assert_right(outcome)
        assert set(outcome.errors) <= (HONEST if way == "kill" else set())
        judge(recoveries, outcome)


def fail_over_group(group: Group, way: str) -> tuple[int, int]:
    """The moments at which the other server took writes, and at which a sentinel named it too."""
    primary, replica = group.pair()
    with Oracle(replica.port, "SET probe x", "+OK") as oracle:
        if way == "kill":
            primary.kill()
        else:
            group.order_failover()
        named_us = group.first_named_us(replica)
        up_us = oracle.next_up_us()
    wait_a_moment(0.5)
    return up_us, max(up_us, named_us)


def come_back(group: Group, old: Server, new: Server) -> int:
    """A killed primary comes back and has heard of nothing. How many writes it is given until it is told: nobody has named it."""
    old.extra = group.follow
    old.start()
    old.wait()
    witness = Witness(old, {new.port})
    wait_a_moment(0.3)
    ask(old, "REPLICAOF", "127.0.0.1", new.port)
    witness.end()
    return len(witness.writes)


@pytest.mark.parametrize("way", WAYS)
def test_a_primary_that_sentinels_watch(way: str, group: Group, tell: Tell) -> None:
    count = failovers(1)
    url = f"{group.url}?on_outage=error&pool_max=4"
    running = Load(url, threads=8, ms=3_600_000, pause_us=4000, timeout_ms=LONG_MS, hang_ms=3000)
    writable, named, to_nobody, after_no, told_no = [], [], 0, 0, 0
    wait_a_moment(0.5)
    for _ in range(count):
        primary, replica = group.pair()
        witness = Witness(primary, {replica.port}) if way == "order" else None
        up_us, named_us = fail_over_group(group, way)
        writable.append(up_us)
        named.append(named_us)
        if witness is not None:
            after_no += witness.end()
            told_no += witness.was_refused
        else:
            to_nobody += come_back(group, primary, replica)
        group.wait_until_well()
    wait_a_moment(0.5)
    running.stop()
    outcome = running.outcome()
    recoveries = [recovery_us(outcome, up) for up in named]
    over_writable = [recovery_us(outcome, up) for up in writable]
    tell(
        outcome,
        failovers=count,
        errors=str(outcome.errors),
        recovery_p50_ms=late_ms(recoveries, 0.5),
        recovery_max_ms=max(recoveries) / 1000,
        over_the_first_write_max_ms=max(over_writable) / 1000,
        written_to_who_was_not_named=to_nobody,
        failovers_with_READONLY=told_no,
        written_after_READONLY=after_no,
    )
    assert_right(outcome)
    assert set(outcome.errors) <= HONEST
    assert to_nobody == 0
    assert after_no == 0
    judge(recoveries, outcome)
