"""Fixtures of the fault suites, and the figures that they print at their end: build/results/faults.txt holds them too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import ROOT, Figure, Outcome, Proxy, Server, Tell, server_of_its_own

FIGURES: list[str] = []


@pytest.fixture
def server() -> Iterator[Server]:
    with server_of_its_own() as running:
        yield running


@pytest.fixture
def tls_server() -> Iterator[Server]:
    with server_of_its_own(tls=True) as running:
        yield running


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as running:
        yield running


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Adds a line of figures: tell(outcome, proxy, name=figure ...)."""

    def add(outcome: Outcome | None = None, through: Proxy | None = None, **more: Figure) -> None:
        figures: dict[str, Figure] = {}
        if outcome is not None:
            names = ["operations", "values", "cancelled", "timed_out", "wrong", "hangs"]
            figures |= {name: outcome[name] for name in names}
            if outcome["deadlines"]:
                names = ["overshoot_max_us", "overshoot_p999_us", "control_max_us", "control_p999_us"]
                figures |= {name.replace("_us", "_ms"): outcome[name] / 1000 for name in names}
        if through is not None:
            figures["faults"] = through.faults()
        words = ", ".join(f"{name} {value}" for name, value in (figures | more).items())
        FIGURES.append(f"{request.node.name}: {words}")

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("figures")
    for line in FIGURES:
        terminalreporter.write_line(line)
    folder = Path(os.environ.get("COFFER_FAULTS_FIGURES", ROOT / "build" / "log"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.txt").write_text("".join(f"{line}\n" for line in FIGURES), encoding="utf-8")
