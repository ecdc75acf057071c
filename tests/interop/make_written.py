"""Golden envelopes as each language wrote them: tests/interop/golden/written/WRITER.json.

    ./dev run python tests/interop/make_written.py                 writes what is missing, and the model's
    ./dev run python tests/interop/make_written.py --replace NAME  writes this one anew in every file

What a language wrote once is kept for ever, because values like it may still be stored somewhere: nothing here changes one that is
there, unless it is told to. C, Python, Lua 5.4 and LuaJIT write on a redis-server of this program's own, through their public API,
and the bytes under the key are fetched. The model (envelope_model.py) writes the same table for its own, with the formats and the
odd envelopes that no language writes; its bytes are the same each time.

Each row of a file is a golden envelope:

    name                              in the table (golden_table.py)
    suite codec format pad kind age   which row of the table it is; not in the odd ones
    options                           of the cache that has to read it
    key, wire_key                     as the caller gives it, and as it stands on the server
    value                             "absent", {"text"}, {"bytes": hex}, {"json"}, {"format", "payload": hex}; null: nobody reads one
    refusal                           the reason for which all refuse it, where they do
    answers                           what a language's peer answers (peer.c) where it is not what follows from the value
    envelope                          hex
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]

from golden_table import Case, cases  # noqa: E402
from model_goldens import model_goldens  # noqa: E402
from peers import LANGUAGES, MAKERS, Peer  # noqa: E402
from support import Resp, redis_server, wait_until  # noqa: E402
from values import to_manifest  # noqa: E402

FOLDER = HERE / "golden" / "written"
MODEL = "model"
WRITERS = (*LANGUAGES, MODEL)
Golden = dict[str, Any]


def load(writer: str) -> list[Golden]:
    """What a writer wrote."""
    file = FOLDER / f"{writer}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def text_of(goldens: list[Golden]) -> str:
    """A line for each."""
    return "[\n" + ",\n".join(json.dumps(golden, ensure_ascii=True) for golden in goldens) + "\n]\n"


def written(peer: Peer, url: str, raw: Resp | None, case: Case) -> Golden:
    """One, by a language."""
    assert raw is not None
    raw.call("FLUSHALL")
    peer.open(url, **case.options)
    peer.set(case.key, case.value, case.ttl)
    found = raw.call("KEYS", "*")
    assert isinstance(found, list)
    assert len(found) == 1
    wire_key = found[0].decode()
    if case.age == "stale":
        wait_until(lambda: peer.get(case.key) == "miss none")
    return row(case.name, case.options, case.key, wire_key, to_manifest(peer.stores(case.value)), raw.get(wire_key), of=case)


def row(name: str, options: dict[str, str], key: str, wire_key: str, value: Any, envelope: bytes, *, of: Case | None = None) -> Golden:
    """As it stands in a file."""
    golden: Golden = {"name": name}
    if of is not None:
        golden |= {"suite": of.suite, "codec": of.codec, "format": of.format, "pad": of.pad, "kind": of.kind, "age": of.age}
    return golden | {"options": options, "key": key, "wire_key": wire_key, "value": value, "envelope": envelope.hex()}


def by_language(name: str, kept: dict[str, Golden], url: str, raw: Resp | None) -> list[Golden]:
    """Its whole file: what is kept, and the others written now."""
    peer = MAKERS[name]()
    try:
        wanted = [case for case in cases() if peer.can_write(case.value)]
        return [kept.get(case.name) or written(peer, url, raw, case) for case in wanted]
    finally:
        peer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replace", action="append", default=[], metavar="NAME", help="write this one anew")
    replaced = parser.parse_args().replace
    FOLDER.mkdir(parents=True, exist_ok=True)
    with redis_server() as server:
        raw = server.client()
        for name in LANGUAGES:
            kept = {golden["name"]: golden for golden in load(name) if golden["name"] not in replaced}
            (FOLDER / f"{name}.json").write_text(text_of(by_language(name, kept, server.url, raw)), encoding="utf-8")
        raw.close()
    (FOLDER / f"{MODEL}.json").write_text(text_of(model_goldens(row)), encoding="utf-8")


if __name__ == "__main__":
    main()
