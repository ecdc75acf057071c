"""What `./dev wheel` put into dist/: one wheel for every CPython from 3.11 on, with its libraries inside and their names hidden, and a
source distribution that needs no SWIG. Each is installed into clean environments and has to work there."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from pythons import EXPECTED, ROOT, TIMEOUT_S, Environment, Interpreter, found

from support import RedisServer

DIST = ROOT / "dist"
TOOLS = ROOT / "build/wheel-tools/bin"
PROGRAM = Path(__file__).with_name("wheel_program.py")
INTERPRETERS = found()
EVERY_PYTHON = [pytest.param(one, id=one.version) for one in INTERPRETERS]
for minor in set(EXPECTED) - {one.minor for one in INTERPRETERS}:
    reason = f"there is no CPython 3.{minor} here (COFFER_PYTHONS can name one)"
    EVERY_PYTHON.append(pytest.param(None, id=f"3.{minor}", marks=pytest.mark.skip(reason=reason)))
# libc, what older releases of it kept apart, and the loader
SYSTEM = re.compile(r"(libc|libm|libdl|libpthread|librt|ld-linux[\w-]*)\.so\.\d+")
# What pytest needs, for the suites of tests/python on an installed wheel: pure Python, and nothing of coffer.
PYTEST_PACKAGES = Path(pytest.__file__).resolve().parents[1]


def run(*command: str, **more: str) -> str:
    environment = {**os.environ, **more}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (./dev deps)")


def made(pattern: str) -> Path:
    files = list(DIST.glob(pattern))
    if not files:
        pytest.skip(f"dist/ has no {pattern} (./dev wheel)")
    assert len(files) == 1
    return files[0]


@pytest.fixture(scope="module")
def wheel() -> Path:
    return made("coffer-*.whl")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(made("coffer-*.tar.gz")) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def extension(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extension")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract("coffer/_coffer_core.abi3.so", folder))


def tracked(*paths: str) -> set[str]:
    need("git")
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    return {
        name for name in run("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", *paths).splitlines() if (ROOT / name).exists()
    }


# ---- the wheel as a file


def test_one_wheel_is_for_every_cpython_from_3_11_on(wheel: Path) -> None:
    assert re.fullmatch(r"coffer-[0-9.]+-cp311-abi3-manylinux_2_\d+_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        fields = email.message_from_bytes(archive.read(name))
    assert fields["Root-Is-Purelib"] == "false"
    assert {f"{wheel.name.split('-', 1)[0]}-{wheel.name.split('-')[1]}-{tag}.whl" for tag in fields.get_all("Tag", [])} == {wheel.name}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = {name.removeprefix("bindings/python/") for name in tracked("bindings/python/coffer")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        metadata = {name.split("/", 1)[1] for name in names if ".dist-info/" in name}
    assert {name for name in names if ".dist-info/" not in name} == package | {"coffer/_coffer_core.abi3.so", "coffer/BUNDLED.txt"}
    assert {name.rsplit("/", 1)[-1] for name in metadata} >= {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"}


def test_the_wheel_says_which_libraries_it_holds_with_their_notices(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("coffer/BUNDLED.txt").decode("utf-8")
    assert set(re.findall(r"^  ([\w-]+) [0-9]\S+$", text, re.MULTILINE)) == {"libhiredis-dev", "libzstd-dev", "libssl-dev"}
    assert text.count("Redistributions in binary form must reproduce the above copyright") >= 2
    for holder in ("Salvatore Sanfilippo", "Meta Platforms", "The OpenSSL Project Authors"):
        assert holder in text


def test_the_extension_exports_its_init_function_and_nothing_else(extension: Path) -> None:
    need("nm")
    exported = [line.split()[-1] for line in run("nm", "-D", "--defined-only", str(extension)).splitlines()]
    assert exported == ["PyInit__coffer_core"]


def test_the_extension_asks_for_no_library_but_libc(extension: Path) -> None:
    need("readelf")
    told = run("readelf", "-dW", str(extension))
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", told)
    assert needed and [name for name in needed if not SYSTEM.fullmatch(name)] == []
    assert not re.search(r"\((RPATH|RUNPATH)\)", told)


def test_the_extension_is_never_unloaded_and_its_tables_are_read_only(extension: Path) -> None:
    """OpenSSL leaves a function with atexit: it has to be there when the process ends."""
    need("readelf")
    told = run("readelf", "-dlW", str(extension))
    assert "NODELETE" in told and "BIND_NOW" in told and "GNU_RELRO" in told
    assert not re.search(r"GNU_STACK.*RWE", told)


def test_the_extension_takes_no_name_of_its_libraries_from_elsewhere(extension: Path) -> None:
    """A name of OpenSSL, zstd or hiredis that is not inside, weak ones too, would be bound to whatever else the process has loaded."""
    need("nm")
    wanted = [line.split()[-1] for line in run("nm", "-D", "--undefined-only", str(extension)).splitlines()]
    foreign = re.compile(r"(EVP_|OSSL_|OPENSSL_|CRYPTO_|RAND_|SSL_|ERR_|ZSTD_|redis|sds|coffer_)")
    assert wanted and [name for name in wanted if foreign.match(name)] == []


def test_the_extension_names_no_folder_of_this_machine(extension: Path) -> None:
    content = extension.read_bytes()
    for folder in (ROOT, Path.home(), TOOLS):
        assert len(folder.parts) < 2 or os.fsencode(folder) + b"/" not in content


def test_auditwheel_and_abi3audit_agree(wheel: Path) -> None:
    if not (TOOLS / "auditwheel").exists():
        pytest.skip("auditwheel is not installed (./dev wheel)")
    told = " ".join(run(str(TOOLS / "auditwheel"), "show", str(wheel)).split())
    assert f'platform tag: "{wheel.stem.rsplit("-", 1)[1]}"' in told
    assert "0 ABI violations" in " ".join(run(str(TOOLS / "abi3audit"), "--strict", "--summary", str(wheel)).split())


# ---- the wheel installed


def assert_works(environment: Environment, server: RedisServer) -> None:
    told = environment.run(str(environment.python), "-I", str(PROGRAM), "mem://", server.url, server.unix_url)
    assert re.fullmatch(r"coffer [0-9.]+ works\n", told)
    raw = server.client()
    try:
        assert b"the same words" in raw.get("wheel:plain:text") and len(raw.get("wheel:plain:text")) < 1000
        assert b"secret" not in raw.get("wheel:sealed:value")
    finally:
        raw.close()
    for command in ([str(environment.folder / "bin/coffer")], [str(environment.python), "-m", "coffer"]):
        assert "replay" in environment.run(*command, "--help")


@pytest.mark.parametrize("interpreter", EVERY_PYTHON)
def test_the_wheel_works_in_a_clean_environment_of(interpreter: Interpreter, wheel: Path, server: RedisServer, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv", interpreter.program)
    environment.install(wheel)
    assert_works(environment, server)


def test_the_suites_of_values_and_operations_pass_on_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    """With the newest Python at hand, which is not the one that built it. pytest comes from this environment."""
    assert not (PYTEST_PACKAGES / "coffer").exists()
    environment = Environment(tmp_path / "venv", INTERPRETERS[-1].program)
    environment.install(wheel)
    suites = [str(ROOT / "tests/python" / name) for name in ("test_values.py", "test_operations.py", "test_envelopes.py")]
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    check = (
        f"import coffer, sys, pytest; assert coffer.__file__.startswith({str(environment.folder)!r}); sys.exit(pytest.main(sys.argv[1:]))"
    )
    packages = {"PYTHONPATH": str(PYTEST_PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"}
    told = environment.run(str(environment.python), "-c", check, *options, *suites, **packages)
    assert re.search(r"^[1-9]\d+ passed", told, re.MULTILINE), told


# ---- the source distribution


def test_the_source_distribution_holds_all_that_a_build_reads(source: Path) -> None:
    built_from = tracked("core/src", "core/include", "core/scripts", "cmake", "bindings/python", "bindings/swig")
    built_from |= {"CMakeLists.txt", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}
    there = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert built_from - there == set()
    assert {name for name in there - tracked() if ".egg-info/" not in name} == {
        "PKG-INFO",
        "setup.cfg",
        "bindings/python/coffer_core_wrap.c",
    }


def test_the_source_distribution_asks_for_swig_only_where_the_wrapper_is_missing(source: Path, tmp_path: Path) -> None:
    code = "import build_backend, sys; sys.stderr.write(repr(build_backend._swig()))"
    for tree, wanted in ((source, "[]"), (ROOT, "['swig >= 4.4.1']")):
        assert run(sys.executable, "-B", "-c", code, PYTHONPATH=str(tree / "bindings/python")) == wanted


def without_swig(folder: Path) -> str:
    """A PATH with all the programs of this machine's, but SWIG's."""
    folder.mkdir()
    for place in os.defpath.split(os.pathsep):
        for program in Path(place).iterdir() if place else []:
            if not program.name.startswith("swig") and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    assert shutil.which("swig", path=str(folder)) is None
    return str(folder)


def test_the_source_distribution_builds_without_swig_and_works(source: Path, server: RedisServer, tmp_path: Path) -> None:
    """As on a machine without a registry: setuptools, CMake and the libraries are there, and they stay outside."""
    need("cmake", "ninja", "cc", "readelf")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    run(*pip, "-w", str(tmp_path / "made"), str(source), PATH=without_swig(tmp_path / "bin"), PYTHONPATH="", COFFER_STATIC="")
    (wheel,) = (tmp_path / "made").glob("coffer-*-cp311-abi3-linux_*.whl")
    with zipfile.ZipFile(wheel) as archive:
        needed = run("readelf", "-dW", archive.extract("coffer/_coffer_core.abi3.so", tmp_path))
    for library in ("libhiredis", "libzstd", "libcrypto"):
        assert f"[{library}.so" in needed
    environment = Environment(tmp_path / "venv", sys.executable)
    environment.install(wheel)
    assert_works(environment, server)
