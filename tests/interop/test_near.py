"""C, Python, Lua 5.4 and LuaJIT read one another's near copies, in shared memory that they find by its name. (nginx:
tests/nginx/test_near.py.)"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import coffer
from peers import LANGUAGES, Peer
from support import wait_until
from values import ABSENT, Json, Value

PeerOf = Callable[[str], Peer]
NUMBERS = itertools.count(1)
VALUES: dict[str, Value] = {
    "text": "Ada Lovelace ä 😀",
    "bytes": b"\xff\x00\r\n",
    "json": Json({"list": [1, None, {"deep": True}], "text": "ä"}),
    "large": "coffer " * 3000,
    "absent": ABSENT,
}
WAYS: dict[str, dict[str, str]] = {"plain": {}, "sealed": {"seal_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "seal_key_id": "7"}}


@pytest.fixture
def name() -> Iterator[str]:
    """Of shared memory that is nobody else's, and is gone afterwards."""
    given = f"coffer-interop-{os.getpid()}-{next(NUMBERS)}"
    yield given
    for path in Path("/dev/shm").glob(f"{given}.*"):
        path.unlink()


def opened(peer: PeerOf, url: str, name: str, **options: str) -> list[Peer]:
    """All of them, on one memory; whoever listens does."""
    peers = [peer(language) for language in LANGUAGES]
    for one in peers:
        one.open(url, prefix="interop", namespace="near", near="shared", near_name=name, near_bytes="4MiB", **options)

    def is_live() -> bool:
        peers[0].set("probe", "value")
        return [one.get("probe") for one in peers][1:] == [one.reads("value", "near") for one in peers][1:]

    wait_until(is_live, 20)
    return peers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", range(len(LANGUAGES)), ids=LANGUAGES)
def test_what_one_has_read_all_have_near(peer: PeerOf, server_url: str, name: str, first: int, way: str) -> None:
    peers = opened(peer, server_url, name, **WAYS[way])
    with coffer.Cache(server_url, prefix="interop", namespace="near", **WAYS[way]) as elsewhere:
        for key, value in VALUES.items():
            elsewhere.set(key, value.value if isinstance(value, Json) else coffer.ABSENT if value is ABSENT else value)

    def all_have(key: str, value: Value) -> bool:
        """Behind the first, unless whoever listens heard of the write only then: what was read is let go of once."""
        peers[first].get(key)
        return {one.name: one.get(key) for one in peers} == {one.name: one.reads(value, "near") for one in peers}

    for key, value in VALUES.items():
        wait_until(lambda key=key, value=value: all_have(key, value), 5)  # type: ignore[misc]


@pytest.mark.parametrize("writing", range(len(LANGUAGES)), ids=LANGUAGES)
def test_what_one_writes_no_other_has_an_older_copy_of(peer: PeerOf, server_url: str, name: str, writing: int) -> None:
    peers = opened(peer, server_url, name)
    for number in range(30):
        value = f"value {number}"
        peers[writing].set("key", value)
        assert all(one.get("key").endswith(one.form(value)) for one in peers)
    assert peers[writing].ask("delete", b"key".hex()) == "ok"
    assert {one.get("key").split(" ")[0] for one in peers} == {"miss"}


def test_memory_is_shared_by_mem_too(peer: PeerOf, name: str) -> None:
    """Without a server: one process stores, the others have it."""
    peers = [peer(language) for language in LANGUAGES]
    for one in peers:
        one.open("mem://", prefix="interop", namespace="near", near="shared", near_name=name, memory="4MiB")
    for number, writer in enumerate(peers):
        writer.set("key", f"value {number}")
        assert {one.name: one.get("key") for one in peers} == {one.name: one.reads(f"value {number}", "near") for one in peers}
