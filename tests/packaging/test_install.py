"""`cmake --install` as others use it: what it lays down, what the libraries export, and two consumers built against a copy that was moved.

The copy is of build/release (./dev build). Every program is run against mem://.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "release"
HEADERS = sorted((ROOT / "core/include/coffer").glob("*.h"))
EXPORTS = ROOT / "core/exports.txt"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only"]
TIMEOUT_S = 120
# What the programs find has to come from the copy, and not from this tree or the machine.
CLEAN = {name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "LD_PRELOAD", "CMAKE_PREFIX_PATH", "CFLAGS")}


def run(command: list[str], folder: Path, **more: str) -> str:
    done = subprocess.run(command, cwd=folder, env={**CLEAN, **more}, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (./dev deps)")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that was moved after it was made."""
    if not (BUILD / "cmake_install.cmake").exists():
        pytest.skip("the library is not built (./dev build)")
    folder = tmp_path_factory.mktemp("install")
    run(["cmake", "--install", str(BUILD), "--prefix", str(folder / "first place")], folder)
    return (folder / "first place").rename(folder / "second")


def library_folder(installed: Path) -> Path:
    return next(path.parent for path in installed.glob("lib*/**/libcoffer.a"))


def listed_exports() -> list[str]:
    return EXPORTS.read_text(encoding="utf-8").split()


def symbols(*arguments: str) -> list[tuple[str, str]]:
    """(type, name) of what `nm` tells, in its order."""
    lines = run(["nm", "--defined-only", *arguments], ROOT).splitlines()
    return [(fields[1], fields[2]) for fields in map(str.split, lines) if len(fields) == 3]


def test_the_headers_and_nothing_else_are_installed(installed: Path) -> None:
    found = {str(path.relative_to(installed / "include")) for path in installed.glob("include/**/*") if path.is_file()}
    assert found == {f"coffer/{header.name}" for header in HEADERS}


def test_nothing_installed_names_the_folder_it_was_made_in(installed: Path) -> None:
    texts = [path for path in installed.rglob("*") if path.suffix in (".cmake", ".pc", ".h")]
    assert len(texts) > len(HEADERS)
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert str(ROOT) not in text and "first place" not in text and str(installed) not in text, path.name


def test_the_shared_library_has_a_name_of_its_version(installed: Path) -> None:
    header = (ROOT / "core/include/coffer/coffer.h").read_text(encoding="utf-8")
    version = re.findall(r'define COFFER_VERSION "([0-9.]+)"', header)[0]
    folder = library_folder(installed)
    names = {path.name for path in folder.glob("libcoffer.so*")}
    soname = f"libcoffer.so.{'.'.join(version.split('.')[:2])}"
    assert names == {"libcoffer.so", soname, f"libcoffer.so.{version}"}
    need("readelf")
    assert f"[{soname}]" in run(["readelf", "-d", str(folder / "libcoffer.so")], folder)


def test_the_shared_library_exports_what_is_listed_and_nothing_else(installed: Path) -> None:
    need("nm")
    exported = sorted(name for _, name in symbols("-D", str(library_folder(installed) / "libcoffer.so")))
    hint = f"if it is meant: nm -D --defined-only libcoffer.so | awk '{{print $3}}' | LC_ALL=C sort > {EXPORTS.relative_to(ROOT)}"
    assert exported == listed_exports(), hint


def test_what_is_listed_is_what_the_headers_declare() -> None:
    declared: set[str] = set()
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(encoding="utf-8"), flags=re.DOTALL)
        declared |= set(re.findall(r"^COFFER_API[^;(]*?\b(coffer_\w+)\(", text, re.MULTILINE))
    assert sorted(declared) == listed_exports()


def test_the_archive_takes_no_names_but_its_own(installed: Path) -> None:
    need("nm")
    public = set(listed_exports())
    external = {name for kind, name in symbols("-g", str(library_folder(installed) / "libcoffer.a")) if kind != "U"}
    assert public <= external
    assert {name for name in external - public if not name.startswith("coffer__")} == set()


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
@pytest.mark.parametrize(("compiler", "standard", "language"), [("cc", "c11", "c"), ("c++", "c++17", "c++")], ids=["c11", "c++17"])
def test_a_header_compiles_alone(header: Path, compiler: str, standard: str, language: str, tmp_path: Path) -> None:
    need(compiler)
    source = tmp_path / "alone"
    source.write_text(f"#include <coffer/{header.name}>\n#include <coffer/{header.name}>\n", encoding="utf-8")
    run([compiler, f"-std={standard}", *STRICT, f"-I{ROOT / 'core/include'}", "-x", language, str(source)], tmp_path)


def assert_works(program: Path) -> None:
    assert re.fullmatch(r"coffer [0-9.]+ works\n", run([str(program), "mem://"], program.parent))


def test_a_cmake_project_finds_the_package_and_its_programs_run(installed: Path, tmp_path: Path) -> None:
    need("cmake", "c++")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    found = [f"-DCMAKE_PREFIX_PATH={installed}", "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF"]
    run(["cmake", "-S", str(HERE / "cmake_consumer"), "-B", str(tmp_path), *generator, *found], tmp_path)
    assert f"coffer_DIR:PATH={library_folder(installed)}" in (tmp_path / "CMakeCache.txt").read_text(encoding="utf-8")
    run(["cmake", "--build", str(tmp_path)], tmp_path)
    for name in ("with_shared", "with_static", "with_cxx"):
        assert_works(tmp_path / name)


def test_a_cmake_project_that_wants_another_minor_version_is_told(installed: Path, tmp_path: Path) -> None:
    need("cmake")
    project = (
        'cmake_minimum_required(VERSION 3.22)\nproject(p LANGUAGES C)\nfind_package(coffer 0.99)\nmessage(STATUS "found=${coffer_FOUND}")\n'
    )
    (tmp_path / "CMakeLists.txt").write_text(project, encoding="utf-8")
    said = run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), f"-DCMAKE_PREFIX_PATH={installed}"], tmp_path)
    assert "found=0" in said


def test_a_compiler_and_pkg_config_are_enough(installed: Path, tmp_path: Path) -> None:
    need("make", "pkg-config")
    where = str(library_folder(installed) / "pkgconfig")
    run(["make", "-f", str(HERE / "pkgconfig_consumer/Makefile")], tmp_path, PKG_CONFIG_PATH=where)
    for name in ("with_shared", "with_static"):
        assert_works(tmp_path / name)


def test_pkg_config_tells_users_of_the_shared_library_of_no_other(installed: Path) -> None:
    need("pkg-config")
    where = {"PKG_CONFIG_PATH": str(library_folder(installed) / "pkgconfig")}
    libraries = re.compile(r"(?<!\S)-l(\S+)")
    alone = {"PKG_CONFIG_LIBDIR": where["PKG_CONFIG_PATH"]}  # whoever has the shared library alone
    assert libraries.findall(run(["pkg-config", "--cflags", "--libs", "coffer"], installed, **alone)) == ["coffer"]
    whole = libraries.findall(run(["pkg-config", "--static", "--libs", "coffer"], installed, **where))
    assert {"coffer", "hiredis", "zstd", "crypto"} <= set(whole)
