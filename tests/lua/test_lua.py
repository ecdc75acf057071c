"""Runs the Lua tests and examples by each Lua, on mem:// and on a redis-server."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interpreters import INTERPRETERS, MODULES, ROOT, Interpreter, every_interpreter
from support import RedisServer, free_port, has_redis, make_certificates, redis_server

HERE = Path(__file__).parent
FENCE = re.compile(r"^```lua\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("script", sorted(HERE.glob("test_*.lua")), ids=lambda path: path.stem)
@every_interpreter
def test_a_script(lua: Interpreter, script: Path, url: str) -> None:
    output = lua.run(script, url)
    assert re.search(r"^[1-9][0-9]* tests, 0 failed$", output, re.MULTILINE)


@pytest.mark.parametrize("script", sorted(ROOT.glob("examples/lua/*.lua")), ids=lambda path: path.name)
@every_interpreter
def test_an_example(lua: Interpreter, script: Path, url: str) -> None:
    assert lua.run(script, url)


@every_interpreter
def test_the_fences_of_the_documents_run(lua: Interpreter, tmp_path: Path, url: str) -> None:
    fences = [code for name in ("README.md", "docs/near.md") for code in FENCE.findall((ROOT / name).read_text(encoding="utf-8"))]
    assert fences
    for code in fences:
        script = tmp_path / "fence.lua"
        script.write_text(code.replace("redis://localhost/0", url), encoding="utf-8")
        lua.run(script)


# LuaJIT's own allocator is left alone: where it runs dry LuaJIT ends, or not, by rules of its own.
@pytest.mark.parametrize(("lua", "whose"), [(INTERPRETERS[0], "lua"), *itertools.product(INTERPRETERS, ["core", "libraries"])], ids=str)
def test_want_of_memory_is_told_and_loses_nothing(lua: Interpreter, whose: str, url: str) -> None:
    program = MODULES / lua.version / "starved"
    if not program.exists():
        pytest.skip("the tests are not built (./dev build)")
    environment = {name: value for name, value in lua.environment().items() if name != "LD_PRELOAD"}
    command = [str(program), "starved.lua", url, whose]
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = re.fullmatch(r"(\d+) allocations failed once, (\d+) allocations failed for good\n", done.stdout)
    assert said is not None and min(int(count) for count in said.groups()) > 300, done.stdout


@pytest.mark.parametrize("lua", INTERPRETERS, ids=lambda one: one.name)
def test_a_module_exports_its_entry_only(lua: Interpreter) -> None:
    module = MODULES / lua.version / "coffer" / "core.so"
    if not module.exists():
        pytest.skip(f"the module for Lua {lua.version} is not built (./dev build)")
    assert exported(module) == {"luaopen_coffer_core"}


def exported(module: Path) -> set[str]:
    listed = subprocess.run(["nm", "-D", "--defined-only", str(module)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in listed.splitlines()}


@pytest.fixture(scope="module")
def shared_secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, str, Path]]:
    """A server that speaks TLS, its address and the folder of its certificates."""
    if shutil.which("openssl") is None or not has_redis():
        pytest.skip("openssl or redis-server is not installed")
    folder, port = make_certificates(tmp_path_factory.mktemp("certificates")), free_port()
    files = ["--tls-cert-file", f"{folder}/right.pem", "--tls-key-file", f"{folder}/server.key", "--tls-ca-cert-file", f"{folder}/ca.pem"]
    with redis_server("--tls-port", str(port), *files, "--tls-auth-clients", "no") as server:
        yield server, f"rediss://localhost:{port}/0", folder


@pytest.fixture
def secure(shared_secure: tuple[RedisServer, str, Path]) -> tuple[RedisServer, str, Path]:
    """The same, empty."""
    client = shared_secure[0].client()
    client.call("FLUSHALL")
    client.close()
    return shared_secure


@every_interpreter
def test_tls_and_credentials(lua: Interpreter, secure: tuple[RedisServer, str, Path]) -> None:
    server, url, folder = secure
    client = server.client()
    client.call("ACL", "SETUSER", "app", "on", ">canary-right", "~*", "+@all")
    client.close()
    assert lua.run(HERE / "tls.lua", url, f"{folder}/ca.pem", f"{folder}/other_ca.pem") == "all was well\n"


def forks(lua: Interpreter, *arguments: str) -> None:
    if not (MODULES / lua.version / "forks.so").exists():
        pytest.skip("the tests are not built (./dev build)")
    output = lua.run(HERE / "forking.lua", *arguments)
    assert re.search(r"^[1-9][0-9]* tests, 0 failed$", output, re.MULTILINE)


@every_interpreter
def test_parent_and_children_go_on(lua: Interpreter, url: str) -> None:
    forks(lua, url)


@every_interpreter
def test_parent_and_children_go_on_over_tls(lua: Interpreter, secure: tuple[RedisServer, str, Path]) -> None:
    _, url, folder = secure
    forks(lua, url, f"{folder}/ca.pem")
