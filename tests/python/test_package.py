"""The package as others get it: typed, and built by pip."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import coffer

ROOT = Path(__file__).resolve().parents[2]

TYPED = """
from typing import assert_type
import coffer
import coffer.aio

cache = coffer.Cache("mem://", ttl="10m")
users: coffer.Cache = cache.namespace("users", ttl=30)

@cache.cached(ttl="1h", key="user:{id}")
def user(id: int, full: bool = False) -> dict[str, str]:
    return {}

class Store:
    @cache.cached()
    def price(self, item: str) -> float:
        return 1.0

assert_type(user(1, full=True), dict[str, str])
assert_type(user.refresh(1), dict[str, str])
assert_type(user.invalidate(1), bool)
assert_type(Store().price("a"), float)
assert_type(Store().price.invalidate("a"), bool)
assert_type(cache.increment("key"), int)
assert_type(cache.get_or_load("key", lambda key: key.upper()), str | None)
assert_type(cache.get_entry("key"), coffer.Entry | None)
assert_type(cache.stats().hits, int)

things = coffer.aio.Cache("mem://", ttl="10m")

@things.cached(ttl="1h", key="user:{id}")
async def thing(id: int, full: bool = False) -> dict[str, str]:
    return {}

@things.cached()
def plain(id: int) -> float:
    return 1.0

class Things:
    @things.cached()
    async def price(self, item: str) -> float:
        return 1.0

async def load(key: str) -> bytes:
    return b""

async def main() -> None:
    async with things as opened:
        assert_type(opened, coffer.aio.Cache)
    assert_type(await thing(1, full=True), dict[str, str])
    assert_type(await thing.refresh(1), dict[str, str])
    assert_type(await thing.invalidate(1), bool)
    assert_type(await plain(1), float)
    assert_type(await Things().price("a"), float)
    assert_type(await things.namespace("a").increment("key"), int)
    assert_type(await things.get_or_load("key", load), bytes | None)
    assert_type(await things.get_or_load("key", lambda key: key.upper()), str | None)
    await thing("not an int")  # type: ignore[arg-type]

user("not an int")  # type: ignore[arg-type]
Store().price(1)  # type: ignore[arg-type]
cache.get(1)  # type: ignore[arg-type]
"""


def test_types_are_what_a_user_expects(tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    (tmp_path / "sample.py").write_text(TYPED, encoding="utf-8")
    assert coffer.__file__ is not None
    package = Path(coffer.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "sample.py")]
    environment = {**os.environ, "MYPYPATH": str(package)}
    environment.pop("LD_PRELOAD", None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stub_names_what_the_native_module_has() -> None:
    tree = ast.parse((ROOT / "bindings/python/coffer/_coffer_core.pyi").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} | {"Reader"}  # which is a type in both
    constants = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    native = {name for name, thing in vars(coffer._coffer_core).items() if not name.startswith(("_", "SWIG", "Swig")) and callable(thing)}
    assert functions == native
    assert {name for name in constants if name.isupper()} == {name for name in vars(coffer._coffer_core) if name.startswith("COFFER_")}


def test_every_public_header_is_named_in_wrapped_md() -> None:
    text = (ROOT / "bindings/swig/WRAPPED.md").read_text(encoding="utf-8")
    for header in (ROOT / "core/include/coffer").glob("*.h"):
        assert f"| `{header.name}` |" in text


@pytest.mark.slow
def test_pip_installs_it_into_a_fresh_environment(tmp_path: Path) -> None:
    """With the registry's SWIG, CMake and Ninja; skipped where the registry cannot be reached."""
    if os.environ.get("LD_PRELOAD"):
        pytest.skip("not under a sanitizer")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    python = str(tmp_path / "venv/bin/python")
    probe = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:none:", "-d", str(tmp_path / "probe"), "setuptools"]
    if subprocess.run(probe, capture_output=True, timeout=120, check=False).returncode != 0:
        pytest.skip("no package registry can be reached")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CFLAGS", "LDFLAGS")}
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(ROOT)]
    done = subprocess.run(install, capture_output=True, text=True, env=environment, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    code = "import coffer; c = coffer.Cache(); c.set('k', [1]); assert c.get('k') == [1]; print(coffer._coffer_core.__file__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(".abi3.so")
    assert (tmp_path / "venv/bin/coffer").exists()
