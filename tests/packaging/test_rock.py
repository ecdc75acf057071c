"""The rock and the CMake component `lua`, as a Lua user installs them: built, found by each Lua in a clean environment, and removed.

`luarocks make` works on a copy of what git knows, with no server to fetch from. The component is that of build/release (./dev build).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import RedisServer

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"
LUA_FILES = {str(path.relative_to(ROOT / "bindings/lua/lib")) for path in ROOT.glob("bindings/lua/lib/**/*.lua")}
TIMEOUT_S = 300
VERSIONS = ["5.4", "5.1"]
INTERPRETERS = [("lua5.4", "5.4"), ("luajit", "5.1"), ("lua5.1", "5.1")]  # LuaJIT runs modules that were compiled for 5.1
every_interpreter = pytest.mark.parametrize(("lua", "version"), INTERPRETERS, ids=[name for name, _ in INTERPRETERS])
NOBODY = "http://127.0.0.1:9"  # a proxy that is not there: what wants to fetch fails

SCRIPT = """
local coffer = require "coffer"
local cache = assert(coffer.open(arg[1], {prefix = "rock", namespace = arg[2], ttl = "5m"}))
assert(cache:set("text", "a\\0b") and cache:get("text") == "a\\0b")
assert(cache:set("table", {id = 42, hosts = {"a", "b"}}))
local read, err, source = cache:get("table")
assert(err == nil and read.id == 42 and #read.hosts == 2 and read.hosts[2] == "b", err)
assert(cache:get_or_load("loaded", function(key) return key .. "!" end) == "loaded!")
cache:close()
print(coffer.version, source)
"""


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (./dev deps)")


def run(command: list[str], folder: Path, **environment: str) -> str:
    """In an environment of nothing but PATH and what is given."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    done = subprocess.run(
        command, cwd=folder, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def header_version() -> str:
    header = (ROOT / "core/include/coffer/coffer.h").read_text(encoding="utf-8")
    return re.findall(r'define COFFER_VERSION "([0-9.]+)"', header)[0]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git knows or would add, alone."""
    need("git")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git repository")
    folder = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def luarocks(checkout: Path, version: str, tree: Path, *arguments: str) -> str:
    need("luarocks", "cmake", "swig", f"lua{version}")
    nothing = checkout.parent / "no server"
    nothing.mkdir(exist_ok=True)
    command = ["luarocks", "--lua-version", version, "--only-server", str(nothing), "--tree", str(tree), *arguments]
    return run(command, checkout, http_proxy=NOBODY, https_proxy=NOBODY)


Installer = Callable[[str], Path]


@pytest.fixture(scope="module")
def rock(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Installer:
    """For a version of Lua, the folder that its rock was installed into; one for all of them."""
    tree = tmp_path_factory.mktemp("trees") / "a tree"
    made: set[str] = set()

    def install(version: str) -> Path:
        if version not in made:
            luarocks(checkout, version, tree, "make")
            made.add(version)
        return tree

    return install


@pytest.fixture(scope="module")
def component(tmp_path_factory: pytest.TempPathFactory) -> Installer:
    def install(version: str) -> Path:
        if not (BUILD / "cmake_install.cmake").exists():
            pytest.skip("the library is not built (./dev build)")
        if not (ROOT / "build/lua" / version).exists():
            pytest.skip(f"the module for Lua {version} is not built (./dev deps, ./dev build)")
        if not (folder / "share").exists():
            run(["cmake", "--install", str(BUILD), "--component", "lua", "--prefix", str(folder)], ROOT)
        return folder

    folder = tmp_path_factory.mktemp("component")
    return install


@pytest.fixture(params=["rock", "component"])
def installed(request: pytest.FixtureRequest) -> Installer:
    installer: Installer = request.getfixturevalue(request.param)
    return installer


def try_it(lua: str, version: str, folder: Path, work: Path, url: str) -> list[str]:
    """What SCRIPT prints, run by a Lua that looks for modules in `folder` and nowhere else."""
    need(lua)
    script = work / "script.lua"
    script.write_text(SCRIPT, encoding="utf-8")
    paths = {"LUA_PATH": f"{folder}/share/lua/{version}/?.lua", "LUA_CPATH": f"{folder}/lib/lua/{version}/?.so"}
    return run([lua, str(script), url, f"by-{lua}"], work, **paths).split()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_the_rockspec_has_the_version_of_the_header() -> None:
    (spec,) = ROOT.glob("*.rockspec")
    version = f"{header_version()}-1"
    assert spec.name == f"coffer-{version}.rockspec"
    assert re.findall(r'^version = "(.+)"$', spec.read_text(encoding="utf-8"), re.MULTILINE) == [version]


@every_interpreter
def test_it_runs_without_a_server(lua: str, version: str, installed: Installer, tmp_path: Path) -> None:
    assert try_it(lua, version, installed(version), tmp_path, "mem://") == [header_version(), "near"]


@every_interpreter
def test_it_runs_with_a_server(lua: str, version: str, installed: Installer, server: RedisServer, tmp_path: Path) -> None:
    assert try_it(lua, version, installed(version), tmp_path, server.url) == [header_version(), "remote"]
    client = server.client()
    stored = client.call("DBSIZE")
    client.close()
    assert stored == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_but_the_module_is_installed(version: str, installed: Installer) -> None:
    folder = installed(version)
    assert files(folder / "share/lua" / version) == LUA_FILES
    assert files(folder / "lib/lua" / version) == {"coffer/core.so"}
    assert not (folder / "include").exists() and not list(folder.rglob("libcoffer*"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_core_is_inside_and_the_systems_libraries_are_not(version: str, installed: Installer) -> None:
    need("nm", "readelf")
    module = str(installed(version) / "lib/lua" / version / "coffer/core.so")
    exported = run(["nm", "-D", "--defined-only", module], ROOT).split()
    assert exported[2::3] == ["luaopen_coffer_core"]
    needed = set(re.findall(r"\(NEEDED\).*\[lib(\w+)\.", run(["readelf", "-d", module], ROOT)))
    assert {"hiredis", "zstd", "crypto"} <= needed
    assert not [name for name in needed if name.startswith(("coffer", "lua"))]
    assert "RUNPATH" not in run(["readelf", "-d", module], ROOT)


@pytest.mark.parametrize(("lua", "version"), INTERPRETERS[:2], ids=["lua5.4", "luajit"])
def test_a_packed_rock_installs_without_a_compiler(lua: str, version: str, checkout: Path, tmp_path: Path) -> None:
    luarocks(checkout, version, tmp_path / "unused", "make", "--pack-binary-rock")
    (packed,) = checkout.glob("*.rock")
    assert "all" not in packed.name.split(".")
    packed = packed.rename(tmp_path / packed.name)
    luarocks(checkout, version, tmp_path / "tree", "install", str(packed))
    assert try_it(lua, version, tmp_path / "tree", tmp_path, "mem://") == [header_version(), "near"]
    assert files(tmp_path / "unused") == set()


def test_a_build_for_one_lua_is_not_taken_for_another_and_removing_them_leaves_nothing(checkout: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for lua, version in (*INTERPRETERS[:2], INTERPRETERS[0]):
        luarocks(checkout, version, tree, "make")
        assert try_it(lua, version, tree, tmp_path, "mem://")
    assert len(list(tree.rglob("core.so"))) == len(VERSIONS)
    for version in VERSIONS:
        luarocks(checkout, version, tree, "remove", "coffer")
    assert {Path(name).name for name in files(tree)} <= {"manifest"}  # LuaRocks' own list, now empty


def test_making_the_rock_adds_nothing_to_the_checkout_but_a_build(checkout: Path, rock: Installer) -> None:
    rock("5.4")
    known = {path.name for path in ROOT.iterdir()}
    assert {path.name for path in checkout.iterdir()} - known <= {"build"}


def test_luarocks_finds_no_fault_with_the_rockspec(checkout: Path, tmp_path: Path) -> None:
    luarocks(checkout, "5.4", tmp_path, "lint", next(checkout.glob("*.rockspec")).name)
