"""Every fence of code in README.md and docs/ is run, and so are the examples: what users copy works.

A fence is a program of its own: it is written to a file and run in an empty folder; it has to end with status 0.
C is compiled against the library in build/release. Where it says redis://localhost, it is given a server of this test's own.
A fence whose info string ends in `no-run` (```python no-run) is only shown: for fragments, signatures and what needs something else.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build" / "release"
SERVER = "redis://localhost"
FENCE = re.compile(r"^```(\w+)[ ]*([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 60


@dataclass(frozen=True)
class Fence:
    document: str
    line: int
    language: str
    marker: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"


def fences_of(document: str, text: str) -> list[Fence]:
    return [Fence(document, text.count("\n", 0, match.start()) + 1, match[1], match[2], match[3]) for match in FENCE.finditer(text)]


def all_fences() -> list[Fence]:
    documents = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
    return [fence for path in documents for fence in fences_of(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))]


def runnable(language: str) -> list[Fence]:
    return [fence for fence in all_fences() if fence.language == language and fence.marker != "no-run"]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def more_libraries(source: Path) -> list[str]:
    """Of an example that is named *_sqlite.c: how to compile and link SQLite."""
    if not source.stem.endswith("_sqlite"):
        return []
    done = subprocess.run(["pkg-config", "--cflags", "--libs", "sqlite3"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("SQLite's headers are not installed (./dev deps)")
    return done.stdout.split()


def compile_c(source: Path, program: Path) -> None:
    if not (LIBRARY / "libcoffer.so").exists():
        pytest.skip("the library is not built (./dev build)")
    strict = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror"]
    where = [f"-I{ROOT / 'core' / 'include'}", f"-L{LIBRARY}", f"-Wl,-rpath,{LIBRARY}"]
    run(["cc", *strict, *where, str(source), "-o", str(program), "-lcoffer", *more_libraries(source)], source.parent)


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A redis-server of this module's own, on a free port of the loopback."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (./dev deps)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--logfile", "", "--dir", str(folder)]
    # A sanitizer that was preloaded is for us, not for the server.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        ready = any("Ready to accept connections" in line for line in server.stdout)
        assert ready, "redis-server ended before it was ready"
        yield f"redis://127.0.0.1:{port}"
        server.terminate()
        server.stdout.close()


def with_server(code: str, request: pytest.FixtureRequest) -> str:
    if SERVER not in code:
        return code
    url: str = request.getfixturevalue("server_url")
    return re.sub(rf"{SERVER}(:6379)?", url, code)


@pytest.mark.parametrize("fence", runnable("python"), ids=lambda fence: fence.name)
def test_a_python_fence_runs(fence: Fence, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    script = tmp_path / "fence.py"
    script.write_text(with_server(fence.code, request), encoding="utf-8")
    run([sys.executable, "-X", "dev", "-W", "error", str(script)], tmp_path)


@pytest.mark.parametrize("fence", runnable("c"), ids=lambda fence: fence.name)
def test_a_c_fence_compiles_and_runs(fence: Fence, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = tmp_path / "fence.c"
    source.write_text(with_server(fence.code, request), encoding="utf-8")
    compile_c(source, tmp_path / "fence")
    run([str(tmp_path / "fence")], tmp_path)


@pytest.mark.parametrize("script", sorted(ROOT.glob("examples/python/*.py")), ids=lambda path: path.name)
def test_a_python_example_runs_without_and_with_a_server(script: Path, tmp_path: Path, server_url: str) -> None:
    for url in ("mem://", server_url):
        assert run([sys.executable, "-X", "dev", str(script), url], tmp_path)


# The services (on_*) do not end by themselves: tests/examples runs them.
@pytest.mark.parametrize(
    "source", sorted(set(ROOT.glob("examples/c/*.c")) - set(ROOT.glob("examples/c/on_*.c"))), ids=lambda path: path.name
)
def test_a_c_example_runs_without_and_with_a_server(source: Path, tmp_path: Path, server_url: str) -> None:
    program = tmp_path / source.stem
    compile_c(source, program)
    for url in ("mem://", server_url):
        assert run([str(program), url], tmp_path)


def test_what_the_document_for_authors_of_drivers_shows_is_what_the_examples_do() -> None:
    examples = [path.read_text(encoding="utf-8") for path in ROOT.glob("examples/c/*.[ch]")]
    shown = [fence for fence in all_fences() if fence.document == "docs/drivers.md" and fence.language == "c"]
    assert len(shown) >= 2
    assert [fence.name for fence in shown if not any(fence.code in example for example in examples)] == []


def test_fences_are_found_and_markers_kept() -> None:
    text = "a\n```python\nx = 1\n```\n```c no-run\nint a;\n```\n```\nplain\n```\n"
    found = [(fence.line, fence.language, fence.marker, fence.code) for fence in fences_of("a.md", text)]
    assert found == [(2, "python", "", "x = 1\n"), (5, "c", "no-run", "int a;\n")]


def test_the_readme_shows_both_languages() -> None:
    languages = {fence.language for fence in runnable("python") + runnable("c") if fence.document == "README.md"}
    assert languages == {"python", "c"}
