"""The envelope once more, from docs/envelope.md alone, in Python's standard library only.

It shares no code with the C core and no cryptographic library, so that the golden envelopes
(make_golden.py) are right by two independent readings of the specification. Slow; for tests.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

NEVER = 2**64 - 1


def u(width: int, number: int) -> bytes:
    return number.to_bytes(width, "big")


def xor(a: bytes, b: bytes) -> bytes:
    """As long as the shorter."""
    return bytes(x ^ y for x, y in zip(a, b, strict=False))


# AES-256 (FIPS 197), encryption only.


def _double(byte: int) -> int:
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def _make_sbox() -> bytes:
    box = [0] * 256
    p = q = 1
    while True:  # p runs through the powers of 3, q through their inverses
        p ^= _double(p)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotated = q
        mixed = q
        for _ in range(4):
            rotated = (rotated << 1 | rotated >> 7) & 0xFF
            mixed ^= rotated
        box[p] = mixed ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return bytes(box)


SBOX = _make_sbox()


def _expand(key: bytes) -> list[bytes]:
    words = [key[i : i + 4] for i in range(0, 32, 4)]
    round_constant = 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = bytes(SBOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ round_constant]) + word[1:]
            round_constant = _double(round_constant)
        elif i % 8 == 4:
            word = bytes(SBOX[b] for b in word)
        words.append(xor(words[i - 8], word))
    return [b"".join(words[i : i + 4]) for i in range(0, 60, 4)]


def _mix(column: bytes) -> bytes:
    a, b, c, d = column
    every = a ^ b ^ c ^ d
    pairs = ((a, b), (b, c), (c, d), (d, a))
    return bytes((x ^ every ^ _double(x ^ y)) & 0xFF for x, y in pairs)


def aes(key: bytes, block: bytes) -> bytes:
    rounds = _expand(key)
    state = xor(block, rounds[0])
    for number in range(1, 15):
        state = bytes(SBOX[state[(i * 5) % 16]] for i in range(16))  # SubBytes and ShiftRows
        if number < 14:
            state = b"".join(_mix(state[i : i + 4]) for i in range(0, 16, 4))
        state = xor(state, rounds[number])
    return state


# GCM (NIST SP 800-38D), 96-bit nonces.


def _multiply(x: int, y: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return product


def _ghash(h: int, data: bytes) -> int:
    sum_ = 0
    for i in range(0, len(data), 16):
        sum_ = _multiply(sum_ ^ int.from_bytes(data[i : i + 16], "big"), h)
    return sum_


def gcm_seal(key: bytes, nonce: bytes, aad: bytes, text: bytes) -> bytes:
    stream = b"".join(aes(key, nonce + u(4, 2 + i)) for i in range((len(text) + 15) // 16))
    out = xor(text, stream)
    fill = [bytes(-len(part) % 16) for part in (aad, out)]
    lengths = u(8, len(aad) * 8) + u(8, len(out) * 8)
    h = int.from_bytes(aes(key, bytes(16)), "big")
    tag = _ghash(h, aad + fill[0] + out + fill[1] + lengths)
    return out + u(16, tag ^ int.from_bytes(aes(key, nonce + u(4, 1)), "big"))


# XAES-256-GCM (C2SP), HKDF-SHA256 (RFC 5869), CRC-32C (RFC 3720).


def xaes_message_key(key: bytes, nonce: bytes) -> bytes:
    zero_block = int.from_bytes(aes(key, bytes(16)), "big")
    k1 = u(16, (zero_block << 1) % 2**128 ^ (0x87 if zero_block >> 127 else 0))
    blocks = (bytes([0, i, 0x58, 0]) + nonce[:12] for i in (1, 2))
    return b"".join(aes(key, xor(block, k1)) for block in blocks)


def xaes_seal(key: bytes, nonce: bytes, aad: bytes, text: bytes) -> bytes:
    return gcm_seal(xaes_message_key(key, nonce), nonce[12:], aad, text)


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    assert length <= 32
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)[:length]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# The format.


@dataclass(frozen=True)
class Binding:
    prefix: bytes = b"app"
    name: bytes = b"users"
    version: bytes = b""
    key: bytes = b"42"
    purpose: bytes = b"value"

    def aad(self, header: bytes) -> bytes:
        bound = [self.purpose, self.prefix, self.name, self.version, self.key]
        parts = [b"coffer/1", header[:16], *bound]
        return u(8, len(parts)) + b"".join(u(8, len(part)) + part for part in parts)


@dataclass(frozen=True)
class Entry:
    payload: bytes = b""
    kind: int = 0
    format: int = 0
    tags: tuple[tuple[bytes, int], ...] = ()
    entry_id: int = 0x1122334455667788
    lease: int = 0
    created: int = 1767225600000
    fresh: int = 1767229200000
    expires: int = 1767232800000
    load_cost: int = 0
    stored: bytes | None = None  # the payload as compressed, for codec 1

    def stored_tags(self) -> bytes:
        return b"".join(u(1, len(name)) + name + u(8, version) for name, version in self.tags)

    def body(self) -> bytes:
        codec = 0 if self.stored is None else 1
        times = u(8, self.created) + u(8, self.fresh) + u(8, self.expires)
        fixed = bytes([self.kind, codec, self.format, len(self.tags)])
        payload = self.payload if self.stored is None else self.stored
        head = fixed + u(4, len(self.payload)) + times + u(4, self.load_cost)
        return head + self.stored_tags() + payload

    def header(self, suite: int, key_id: int) -> bytes:
        return bytes([0xC5, 1, suite, 0]) + u(4, key_id) + u(8, self.entry_id) + u(8, self.lease)


def padded_length(length: int, pad: str) -> int:
    if pad == "64":
        return -(-length // 64) * 64
    if pad == "padme":
        exponent = length.bit_length() - 1
        low = 2 ** (exponent - exponent.bit_length()) - 1
        return (length + low) & ~low
    return length


def plain(entry: Entry) -> bytes:
    header = entry.header(0, 0)
    return header + entry.body() + u(4, crc32c(header[:16] + entry.body()))


def key_id_of(master: bytes) -> int:
    return int.from_bytes(hkdf(master, b"coffer v1 kid", 4), "big") or 1


def sealed(entry: Entry, binding: Binding, master: bytes, key_id: int, nonce: bytes, pad: str) -> bytes:
    header = entry.header(1, key_id or key_id_of(master))
    key = hkdf(master, b"coffer v1 seal" + binding.name, 32)
    body = entry.body() + b"\x80"
    body += bytes(padded_length(len(body), pad) - len(body))
    return header + nonce + xaes_seal(key, nonce, binding.aad(header), body)


def placeholder(entry: Entry) -> bytes:
    return entry.header(2, 0)
