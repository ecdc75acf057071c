"""The golden envelopes and the end of docs/envelope.md are what the model of tests/interop makes today."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

INTEROP = Path(__file__).resolve().parents[1] / "interop"
sys.path.insert(0, str(INTEROP))

import envelope_model  # noqa: E402
import make_golden  # noqa: E402


def test_the_model_gives_c2sps_answer() -> None:
    sealed = envelope_model.xaes_seal(b"\x03" * 32, b"ABCDEFGHIJKLMNOPQRSTUVWX", b"c2sp.org/XAES-256-GCM", b"XAES-256-GCM")
    assert sealed.hex() == "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"


def test_the_golden_files_are_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = {file.name: file.read_text() for file in make_golden.FOLDER.glob("*.hex")}
    monkeypatch.setattr(make_golden, "FOLDER", tmp_path)
    make_golden.save_all()
    assert {file.name: file.read_text() for file in tmp_path.glob("*.hex")} == committed


def test_the_specification_shows_them() -> None:
    text = make_golden.DOCUMENT.read_text()
    assert text == make_golden.document(text)
