"""What a driver cannot play over TCP by its nature, and why. What is not here is played by all."""

from __future__ import annotations

from dataclasses import dataclass

LUA = ("Lua 5.4", "LuaJIT")
BLOCKING = ("C", "Python", *LUA)
LOOPS = ("asyncio", "cosockets")
ALL = (*BLOCKING, *LOOPS)


@dataclass(frozen=True)
class Row:
    why: str
    drivers: tuple[str, ...]
    names: str

    def pairs(self) -> list[tuple[str, str]]:
        return [(driver, name) for driver in self.drivers for name in self.names.split()]


ROWS = (
    Row(
        "what is heard for near copies is told by the player in memory",
        ALL,
        "near_absent near_expire near_hit near_many near_own_writes near_race near_raw near_stale near_untracked",
    ),
    Row(
        "a call whose connection has failed goes to a new one; the player in memory has no other",
        ALL,
        "a_reply_too_many framing other_protocols",
    ),
    Row(
        "the servers are on loopback, where a sentinel that names a server there is believed",
        ALL,
        "sentinel_announced_others sentinel_lies",
    ),
    Row("announcements are looked for in passing, and what they lead to is done in passing", BLOCKING, "sentinel_announced_in_vain"),
    Row("one sentinel is listened to at a time", ALL, "sentinel_listening_refused"),
    Row("nothing is connected before the first operation", LOOPS, "sentinel_announced_in_vain"),
    Row(
        "one connection to a server is everybody's, and its replies come in their order",
        LOOPS,
        "load_ended_before load_overtaken_late load_overtaken_late_raw load_overtaken_midway load_stale_deleted owed_being_deleted",
    ),
    Row(
        "who waits looks again from time to time, for which some has to pass: what is due to the millisecond comes in another order",
        ("asyncio",),
        "cluster_circle cluster_down cluster_second_opinion",
    ),
    Row("what is to be ended goes on until it is", LOOPS, "replica_load"),
    Row("a light thread that was killed says nothing; who waits for it notices when he looks again", ("cosockets",), "load_handed_on"),
    Row(
        "a connection that nobody uses any more is closed where replies are due on it",
        BLOCKING,
        "clear_deadline cluster_ask deadline deadline_freed outage_breaker",
    ),
    Row("which of several connections a call takes is the pool's to say", BLOCKING, "owed_being_deleted"),
    Row("which of several threads goes on first is theirs to say", ("C", "Python"), "load_handed_on"),
    Row(
        "nothing ends a call in mid-flight but its deadline",
        ("Python", *LUA),
        "freed_in_flight replica_load replica_reads sentinel_replicas",
    ),
    Row(
        "values have the format of their type, and arguments are looked at before an operation is made",
        ("Python", *LOOPS, *LUA),
        "bad_keys ttls",
    ),
    Row("a table has no order, so that nobody knows which was the first", (*LUA, "cosockets"), "odd_replies set_many_lost"),
    Row(
        "a thread is inside of one call at a time",
        LUA,
        "broken clear_load cluster_breaker cluster_map cluster_moved cluster_node_lost cluster_second_opinion cluster_to_itself load "
        "load_ended_before load_fails load_handed_on load_overtaken_late load_overtaken_late_raw load_overtaken_midway load_stale_deleted "
        "outage_loading outage_of_others sentinel_no_primary sentinel_readonly sentinel_readonly_named_again sentinel_wrong_role",
    ),
)

UNPLAYABLE = {pair: row.why for row in ROWS for pair in row.pairs()}
