"""For the tests of the command: the package, the fake beside them, a server."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

sys.path.insert(0, str(HERE))  # cli_fake, also for the programs that the tests start
if importlib.util.find_spec("coffer") is None:
    sys.path.insert(0, str(ROOT / "bindings" / "python"))  # the command without the compiled part


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """The folder of real traces, which are no part of the project."""
    folder = Path(os.environ.get("COFFER_SHARED", ROOT.parent / "shared")) / "data" / "traces"
    if not folder.is_dir():
        pytest.skip("needs the real traces of ../shared/data (or COFFER_SHARED)")
    return folder
