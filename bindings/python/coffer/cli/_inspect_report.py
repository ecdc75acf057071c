"""What `coffer inspect` found, for a person and as JSON.

JSON (`--json FILE`), schema "coffer-inspect/1". Names are stable; what is not known is null; new names may be added. Times are unix
milliseconds by the server's clock, null where they never end (see `never`).

    schema, name, key (as on the server), bytes
    verdict           OK, PLACEHOLDER, or the reason for which a reader refuses it, the words of the counters of `stats()`
    text              the same in words
    state             fresh, stale, expired, negative, placeholder, refused, or sealed (no key was given that opens it)
    envelope          null, or version, suite, suite_name, flags, key_id, opened, entry_id (16 hex digits), lease_unix_ms
    body              null, or kind, codec, codec_name, format, format_name, tags, payload_bytes, stored_bytes, ratio, pad_bytes,
                      created_unix_ms, fresh_unix_ms, expires_unix_ms, never [names of times], load_cost_ms
    server_ttl_ms     null: for ever, or no server was asked
    value, value_hex  with --value alone: text of formats 1 and 2, hex of all others
"""

from __future__ import annotations

import json
import pathlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ._errors import EXIT_OK, EXIT_UNREACHABLE, UsageError
from ._input import printable, shown_name
from ._run import say

_NEVER: Final = 2**64 - 1
_LAST_SHOWN_MS: Final = 253_402_300_799_999  # the end of the year 9999
_LABEL: Final = 15
_SUITES = {0: "not sealed, CRC-32C", 1: "sealed, XAES-256-GCM", 2: "placeholder: a load is under way"}
_KINDS = {0: "value", 1: "absent"}
_CODECS = {0: "stored as it is", 1: "zstd", 2: "zstd with a dictionary"}
_FORMATS = {0: "bytes", 1: "text", 2: "JSON", 3: "MessagePack"}
_TEXTS = (1, 2)
_KEY_REASONS = ("UNKNOWN_KEY", "REVOKED_KEY", "AUTH_FAILED")
_TIMES = ("created", "fresh", "expires")
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))


@dataclass(frozen=True)
class Inspection:
    """What was looked at, and what the core says of it (see coffer/inspect.h)."""

    name: str
    wire_key: str | None
    size: int
    raw: Any
    server_ttl_ms: int | None
    now_unix_ms: int
    has_key: bool  # some key was given
    has_place: bool  # which key of a cache it belongs to is known

    @property
    def is_sealed_for_us(self) -> bool:
        """Not opened, but nothing says that it is wrong: what would open it was not given."""
        missing = not self.has_key or not self.has_place
        return self.raw["suite"] == 1 and self.raw["verdict"] in _KEY_REASONS and missing

    @property
    def state(self) -> str:
        verdict = self.raw["verdict"]
        if verdict == "PLACEHOLDER":
            return "placeholder"
        if verdict != "OK":
            return "sealed" if self.is_sealed_for_us else "refused"
        if self.now_unix_ms >= self.raw["expires_unix_ms"]:
            return "expired"
        is_fresh = self.now_unix_ms < self.raw["fresh_unix_ms"]
        if self.raw["kind"] == 1:
            return "negative" if is_fresh else "expired"
        return "fresh" if is_fresh else "stale"


def publish(seen: Inspection, json_name: str | None, *, with_value: bool) -> int:
    """Says it, and answers the exit status."""
    if json_name is None:
        say(as_text(seen, with_value=with_value))
    elif json_name == "-":
        say(_json_text(seen, with_value))
    else:
        try:
            pathlib.Path(json_name).write_text(_json_text(seen, with_value) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {shown_name(json_name)}: {error.strerror}") from error
    return EXIT_UNREACHABLE if seen.state == "refused" else EXIT_OK


# ---- JSON ----


def _json_text(seen: Inspection, with_value: bool) -> str:
    return json.dumps(as_json(seen, with_value=with_value), indent=2, ensure_ascii=True)


def as_json(seen: Inspection, *, with_value: bool) -> dict[str, Any]:
    """Every field, by the names in this module's description."""
    raw = seen.raw
    found = {
        "schema": "coffer-inspect/1",
        "name": seen.name,
        "key": seen.wire_key,
        "bytes": seen.size,
        "verdict": raw["verdict"],
        "text": raw["text"],
        "state": seen.state,
        "envelope": _header_json(raw) if raw["has_header"] else None,
        "body": _body_json(raw) if raw["has_body"] else None,
        "server_ttl_ms": seen.server_ttl_ms,
    }
    if with_value and raw["verdict"] == "OK" and raw["kind"] == 0:
        is_text = raw["format"] in _TEXTS
        found |= {"value": raw["payload"].decode("utf-8", "replace")} if is_text else {"value_hex": raw["payload"].hex()}
    return found


def _header_json(raw: Any) -> dict[str, Any]:
    return {
        "version": raw["version"],
        "suite": raw["suite"],
        "suite_name": _SUITES.get(raw["suite"]),
        "flags": raw["flags"],
        "key_id": raw["key_id"] or None,
        "opened": raw["has_body"] if raw["suite"] == 1 else None,
        "entry_id": f"{raw['entry_id']:016x}",
        "lease_unix_ms": raw["lease_unix_ms"] or None,
    }


def _body_json(raw: Any) -> dict[str, Any]:
    times = {f"{name}_unix_ms": _time_or_none(raw[f"{name}_unix_ms"]) for name in _TIMES}
    return {
        "kind": _KINDS.get(raw["kind"], raw["kind"]),
        "codec": raw["codec"],
        "codec_name": _CODECS.get(raw["codec"]),
        "format": raw["format"],
        "format_name": format_name(raw["format"]),
        "tags": raw["tag_count"],
        "payload_bytes": raw["payload_bytes"],
        "stored_bytes": raw["stored_bytes"],
        "ratio": round(raw["payload_bytes"] / raw["stored_bytes"], 3) if raw["stored_bytes"] else None,
        "pad_bytes": raw["pad_bytes"],
        **times,
        "never": [name for name in _TIMES if raw[f"{name}_unix_ms"] == _NEVER],
        "load_cost_ms": raw["load_cost_ms"] or None,
    }


def _time_or_none(unix_ms: int) -> int | None:
    return None if unix_ms == _NEVER else unix_ms


# ---- for a person ----


def as_text(seen: Inspection, *, with_value: bool) -> str:
    """A line for each field."""
    raw = seen.raw
    rows = [("bytes", f"{seen.size:,}"), ("verdict", _verdict(seen))]
    if raw["has_header"]:
        rows += _header_rows(seen)
    if raw["has_body"]:
        rows += _body_rows(seen)
    if seen.wire_key is not None:
        left = "none: for ever" if seen.server_ttl_ms is None else _span(seen.server_ttl_ms)
        rows.append(("server's TTL", left))
    lines = [seen.name, "", *(f"  {label:<{_LABEL}}{text}" for label, text in rows)]
    return "\n".join(lines + (_value_lines(seen) if with_value else []))


def _verdict(seen: Inspection) -> str:
    raw, state = seen.raw, seen.state
    words = {
        "fresh": "OK, fresh",
        "stale": "OK, stale: past its freshness, served where a loader fails",
        "expired": "OK, but expired: a miss to every reader",
        "negative": "OK, known to be absent",
        "placeholder": "a load of this key is under way; there is no value yet",
        "refused": f"refused: {raw['verdict']}, {raw['text']}",
    }
    if state != "sealed":
        return words[state]
    if not seen.has_key:
        return "sealed, and no key was given (COFFER_SEAL_KEY, --seal-key-file)"
    return f"sealed; not opened ({raw['verdict']}): --key, --prefix and --namespace say what the seal is bound to"


def _header_rows(seen: Inspection) -> list[tuple[str, str]]:
    raw = seen.raw
    rows = [("envelope", f"version {raw['version']}"), ("suite", f"{raw['suite']}, {_SUITES.get(raw['suite'], 'unknown')}")]
    if raw["suite"] == 1:
        opened = "the key at hand opens it" if raw["has_body"] else f"not opened: {raw['verdict']}"
        rows.append(("key id", f"{raw['key_id']}, {opened}"))
    rows += [("flags", f"{raw['flags']}"), ("entry id", f"{raw['entry_id']:016x}")]
    lease = raw["lease_unix_ms"]
    return [*rows, ("lease", _moment(seen, lease) if lease else "none: nobody loads it")]


def _body_rows(seen: Inspection) -> list[tuple[str, str]]:
    raw = seen.raw
    rows = [("kind", "known to be absent" if raw["kind"] == 1 else "value" if raw["kind"] == 0 else f"{raw['kind']}, unknown")]
    rows += [
        ("format", f"{raw['format']}, {format_name(raw['format'])}"),
        ("codec", f"{raw['codec']}, {_CODECS.get(raw['codec'], 'unknown')}"),
    ]
    rows.append(("payload", _sizes(raw["payload_bytes"], raw["stored_bytes"])))
    if raw["suite"] == 1:
        rows.append(("padding", f"{raw['pad_bytes']:,} bytes" if raw["pad_bytes"] > 1 else "none"))
    rows += [
        (label, _moment(seen, raw[f"{name}_unix_ms"]))
        for label, name in (("created", "created"), ("fresh until", "fresh"), ("expires", "expires"))
    ]
    rows.append(("load cost", f"{raw['load_cost_ms']:,} ms" if raw["load_cost_ms"] else "unknown"))
    return [*rows, ("tags", str(raw["tag_count"]))]


def format_name(number: int) -> str:
    """What a payload is, in a word."""
    return _FORMATS.get(number) or ("the application's own" if number >= 128 else "reserved")


def _sizes(plain: int, stored: int) -> str:
    if plain == stored or not stored:
        return "1 byte" if plain == 1 else f"{plain:,} bytes"
    return f"{plain:,} bytes, stored in {stored:,}: {plain / stored:.1f} x smaller"


def _moment(seen: Inspection, unix_ms: int) -> str:
    if unix_ms == _NEVER:
        return "never"
    if unix_ms > _LAST_SHOWN_MS:
        return f"{unix_ms} ms, after the year 9999"
    away = unix_ms - seen.now_unix_ms
    relative = f"in {_span(away)}" if away >= 0 else f"{_span(-away)} ago"
    seconds, milliseconds = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{milliseconds:03d} UTC, {relative}"


def _span(milliseconds: int) -> str:
    for unit_ms, unit in _UNITS:
        if milliseconds >= unit_ms:
            return f"{milliseconds / unit_ms:.1f} {unit}"
    return f"{milliseconds} ms"


def _value_lines(seen: Inspection) -> list[str]:
    raw = seen.raw
    if raw["verdict"] != "OK" or raw["kind"] != 0:
        return ["", "  there is no value to show"]
    payload: bytes = raw["payload"]
    return ["", printable(payload.decode("utf-8", "backslashreplace")) if raw["format"] in _TEXTS else payload.hex()]
