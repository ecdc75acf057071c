"""The files of tests/transcripts as lines of words; tests/c/support/transcript.h tells what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "transcripts"
SCRIPTS = Path("scripts/scripts_embedded.h")  # in the folder of a build


@dataclass(frozen=True)
class Word:
    text: bytes
    is_quoted: bool = False

    def __str__(self) -> str:
        return self.text.decode("latin-1")


@dataclass(frozen=True)
class Line:
    number: int
    words: tuple[Word, ...]

    @property
    def verb(self) -> str:
        return str(self.words[0])

    def word(self, index: int) -> str:
        return str(self.words[index])

    def option(self, name: str) -> bytes | None:
        """What stands behind name=; None where it does not stand there, or nothing behind it."""
        start = name.encode() + b"="
        for word in self.words[1:]:
            if word.text.startswith(start):
                return word.text[len(start) :] or None
        return None

    def option_text(self, name: str) -> str | None:
        value = self.option(name)
        return None if value is None else value.decode("latin-1")


@dataclass(frozen=True)
class Transcript:
    name: str
    lines: tuple[Line, ...]

    def verbs(self, *wanted: str) -> list[Line]:
        return [line for line in self.lines if line.verb in wanted]

    @property
    def url(self) -> str | None:
        found = [line.option_text("url") for line in self.verbs("options")]
        return next((url for url in found if url), None)

    @property
    def is_greeted_by_hand(self) -> bool:
        return bool(self.verbs("greet"))


def _escaped(text: str, at: int) -> tuple[str, int]:
    letter = text[at + 1]
    if letter == "x":
        return chr(int(text[at + 2 : at + 4], 16)), at + 4
    return {"r": "\r", "n": "\n"}.get(letter, letter), at + 2


def split(line: str) -> tuple[Word, ...]:
    words, at = [], 0
    while at < len(line):
        if line[at] == " ":
            at += 1
            continue
        is_quoted, is_inside, text = line[at] == '"', False, ""
        while at < len(line) and (is_inside or line[at] != " "):
            if line[at] == '"':
                is_inside = not is_inside
                at += 1
            elif is_inside and line[at] == "\\":
                letter, at = _escaped(line, at)
                text += letter
            else:
                text += line[at]
                at += 1
        words.append(Word(text.encode("latin-1"), is_quoted))
    return tuple(words)


def read(path: Path) -> Transcript:
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = () if text.startswith("#") else split(text.partition("  # ")[0])
        if words:
            lines.append(Line(number, words))
    return Transcript(path.stem, tuple(lines))


@cache
def all_of_them() -> tuple[Transcript, ...]:
    return tuple(read(path) for path in sorted(FOLDER.glob("*.txt")))


@cache
def scripts(build: Path) -> dict[str, tuple[bytes, bytes]]:
    """Each script's SHA1 and text, as the core sends them."""
    header = (build / SCRIPTS).read_text(encoding="utf-8")
    found = re.findall(r'X\((\w+), "([0-9a-f]{40})", "((?:[^"\\]|\\.)*)"\)', header)
    return {name: (sha.encode(), text.encode().decode("unicode_escape").encode()) for name, sha, text in found}
