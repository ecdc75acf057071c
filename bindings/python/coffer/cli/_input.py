"""Bytes of a trace: a file or standard input, plain, gzip or zstd, as lines.

What a file is, is told by its first bytes and never by its name, so standard input works alike.
Everything is a stream; at most one block and one line are held at a time.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import os
import shutil
import subprocess
import threading
import zlib
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from ._errors import TraceError

Blocks = Generator[bytes, None, None]

MAX_LINE_BYTES = 64 * 1024
_BLOCK_BYTES = 256 * 1024
_SMALL_BLOCK_BYTES = 8 * 1024  # zstd may make 32,000 bytes of one
_SNIFF_BYTES = 6

_REFUSED = (
    (b"BZh", "bzip2 data", "bzip2 -dc"),
    (b"\xfd7zXZ\x00", "xz data", "xz -dc"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"\xff\xfe", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
)


@contextlib.contextmanager
def open_blocks(name: str) -> Iterator[Iterator[bytes]]:
    """The decompressed bytes of the file `name` (`-`: standard input), block by block."""
    raw = _open_raw(name)
    try:
        first = _read_first(raw)
        with contextlib.closing(_decompressed(name, first, raw)) as blocks:
            yield blocks
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"cannot read {shown_name(name)}: {_reason(error)}") from error
    finally:
        raw.close()


def shown_name(name: str) -> str:
    """The name of a trace for a message: no control characters reach the terminal."""
    return "standard input" if name == "-" else printable(name)


def printable(text: str) -> str:
    """The text with everything that is not printable escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def split_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines without their line feed. Of a line longer than MAX_LINE_BYTES enough is given
    that its length shows it, and the rest may be missing."""
    rest = b""
    skipping = False
    for block in blocks:
        pieces = (rest + block).split(b"\n")
        rest = pieces.pop()
        if skipping and pieces:
            del pieces[0]
            skipping = False
        yield from pieces
        if skipping:
            rest = b""
        elif len(rest) > MAX_LINE_BYTES:
            yield rest
            rest = b""
            skipping = True
    if rest:
        yield rest


def _open_raw(name: str) -> io.FileIO:
    """Unbuffered, because a thread may read it, and a buffer's lock would be held at exit."""
    if name == "-":
        return io.FileIO(0, "rb", closefd=False)
    try:
        return io.FileIO(name, "rb")
    except (OSError, ValueError) as error:
        raise TraceError(f"cannot read {shown_name(name)}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, (EOFError, zlib.error)):
        return "the gzip data is damaged or ends early"
    return str(error)


def _read_first(raw: io.FileIO) -> bytes:
    first = b""
    while len(first) < _SNIFF_BYTES:
        more = raw.read(_SNIFF_BYTES - len(first))
        if not more:
            break
        first += more
    return first


class _Chain(io.RawIOBase):
    """The bytes that were read to find out what they are, then the rest."""

    def __init__(self, first: bytes, raw: io.FileIO) -> None:
        self._first = first
        self._raw = raw

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._first:
            data, self._first = self._first, b""
            return data
        return self._raw.read(_BLOCK_BYTES if size < 0 else size) or b""

    def readinto(self, buffer: Any) -> int:
        data = self.read(min(len(buffer), _BLOCK_BYTES))
        buffer[: len(data)] = data
        return len(data)


def _decompressed(name: str, first: bytes, raw: io.FileIO) -> Blocks:
    for magic, what, program in _REFUSED:
        if first.startswith(magic):
            raise TraceError(f"cannot read {shown_name(name)}: it is {what}; try: {program} FILE | coffer replay -")
    if first.startswith(b"\x1f\x8b"):
        return _read_blocks(gzip.GzipFile(fileobj=io.BufferedReader(_Chain(first, raw))))
    if first.startswith(b"\x28\xb5\x2f\xfd") or _is_skippable_frame(first):
        return _unzstd(name, _Chain(first, raw))
    return _read_blocks(_Chain(first, raw))


def _is_skippable_frame(first: bytes) -> bool:
    return len(first) >= 4 and first[0] & 0xF0 == 0x50 and first[1:4] == b"\x2a\x4d\x18"


def _read_blocks(source: Any) -> Blocks:
    while block := source.read(_BLOCK_BYTES):
        yield block


def _unzstd(name: str, source: _Chain) -> Blocks:
    """By the standard library (3.14), else the package zstandard, else the program zstd."""
    for module, how in (("compression.zstd", _by_stdlib), ("zstandard", _by_zstandard)):
        try:
            library = importlib.import_module(module)
        except ImportError:
            continue
        return how(name, library, source)
    return _by_program(name, source)


def _by_stdlib(name: str, library: Any, source: _Chain) -> Blocks:
    try:
        with library.open(io.BufferedReader(source), "rb") as stream:
            yield from _read_blocks(stream)
    except library.ZstdError as error:
        raise TraceError(f"cannot read {shown_name(name)}: {error}") from error


def _by_zstandard(name: str, library: Any, source: _Chain) -> Blocks:
    """Frame by frame: the package's own reader would take a file that ends early for whole."""
    frame = library.ZstdDecompressor().decompressobj()
    try:
        while data := source.read(_SMALL_BLOCK_BYTES):
            while data:
                if frame.eof:
                    frame = library.ZstdDecompressor().decompressobj()
                yield frame.decompress(data)
                data = frame.unused_data if frame.eof else b""
    except library.ZstdError as error:
        raise TraceError(f"cannot read {shown_name(name)}: {error}") from error
    if not frame.eof:
        raise TraceError(f"cannot read {shown_name(name)}: the zstd data ends early")


def _by_program(name: str, source: _Chain) -> Blocks:
    program = shutil.which("zstd")
    if program is None:
        raise TraceError(
            f"cannot read {shown_name(name)}: it is zstd data; install the program zstd (apt install zstd) or the Python package zstandard"
        )
    process = subprocess.Popen(
        [program, "-d", "-c", "-q"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    feeder = threading.Thread(target=_feed, args=(source, process), daemon=True)
    feeder.start()
    try:
        assert process.stdout is not None and process.stderr is not None
        yield from _read_blocks(process.stdout)
        said = process.stderr.read().decode("utf-8", "backslashreplace").strip()
        if process.wait() != 0:
            reason = printable(said) or "bad zstd data"
            raise TraceError(f"cannot read {shown_name(name)}: {reason}")
    finally:
        _end(process, feeder)


def _feed(source: _Chain, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        while block := source.read(_BLOCK_BYTES):
            process.stdin.write(block)
            process.stdin.flush()
    with contextlib.suppress(OSError, ValueError):
        process.stdin.close()


def _end(process: subprocess.Popen[bytes], feeder: threading.Thread) -> None:
    """Ends a program whose output is not wanted any more (--limit, Ctrl-C, an error)."""
    if process.poll() is None:
        process.kill()
    process.wait()
    feeder.join(timeout=1)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def is_terminal(descriptor: int) -> bool:
    """Whether a person is looking at it."""
    with contextlib.suppress(OSError):
        return os.isatty(descriptor)
    return False
