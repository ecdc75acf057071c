"""Builds the extension coffer._coffer_core: SWIG makes the wrapper, CMake the core's static library, and the compiler of
this Python links both.

With SWIG 4.4 or newer the extension uses the limited API, and one abi3 wheel serves CPython 3.11 and all that follow; with
Debian's 4.1 it is for the one CPython that builds it. A source distribution holds the wrapper, so that building it needs no
SWIG. The system gives hiredis, zstd and OpenSSL, found by pkg-config. COFFER_SANITIZE=asan builds all of it with ASan and
UBSan. COFFER_STATIC=1 takes these libraries' archives into the extension, for a wheel that is to run elsewhere: docs/packaging.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
PYTHON = Path("bindings/python")
SHIPPED_WRAPPER = PYTHON / "coffer_core_wrap.c"  # in source distributions only
NATIVE = [
    PYTHON / "native.c",
    PYTHON / "native_calls.c",
    PYTHON / "native_tables.c",
    PYTHON / "native_loop.c",
    PYTHON / "native_simulate.c",
    PYTHON / "native_near.c",
]
INCLUDES = ["core/include", str(PYTHON)]
LIBRARIES = ["hiredis", "libzstd", "libssl", "libcrypto"]  # who needs another comes before it
BUNDLED = "BUNDLED.txt"  # what an extension holds, beside it
ARCHIVES = ["libhiredis-dev", "libzstd-dev", "libssl-dev"]  # Debian's packages of them
# OpenSSL asks to be cleaned up when the process ends, so what holds it must never be unloaded.
# Zstd leaves names open for others to fill (weak): another zstd of the process must not.
STATIC_FLAGS = ["-Wl,-z,nodelete", "-Wl,-z,nodynamic-undefined-weak", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-s"]
LIMITED_API = ("Py_LIMITED_API", "0x030B0000")
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wstrict-prototypes", "-Wmissing-prototypes"]
GENERATED_WARNINGS = ["-Wno-unused", "-Wno-cast-function-type", "-Wno-missing-field-initializers"]
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g"


def version() -> str:
    header = (ROOT / "core/include/coffer/coffer.h").read_text(encoding="utf-8")
    found = re.search(r'define COFFER_VERSION "([^"]+)"', header)
    assert found is not None, "core/include/coffer/coffer.h tells the version"
    return found[1]


def swig_version() -> tuple[int, ...]:
    """Of the SWIG that makes the wrapper, or made the one that is shipped; (0,) where there is neither."""
    if (ROOT / SHIPPED_WRAPPER).exists():
        text = (ROOT / SHIPPED_WRAPPER).read_text(encoding="utf-8")[:2000]
    elif swig := shutil.which("swig"):
        text = subprocess.run([swig, "-version"], capture_output=True, text=True, check=True).stdout
    else:
        text = ""
    found = re.search(r"Version (\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def make_wrapper(target: Path) -> None:
    """Runs SWIG. The Python file that it makes beside the C file is not used: what users see is the package."""
    swig = shutil.which("swig")
    if swig is None:
        raise SystemExit("coffer: building from a checkout needs SWIG 4.1 or newer: pip install swig, or apt-get install swig")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [swig, "-python", "-Ibindings/swig", "-o", str(target), "-outdir", str(target.parent)]
    subprocess.run([*command, str(PYTHON / "coffer_python.i")], check=True, cwd=ROOT)


def pkg_config(*arguments: str) -> list[str]:
    try:
        return subprocess.run(["pkg-config", *arguments, *LIBRARIES], capture_output=True, text=True, check=True).stdout.split()
    except FileNotFoundError:
        raise SystemExit("coffer: building needs pkg-config") from None
    except subprocess.CalledProcessError as fault:
        raise SystemExit(f"coffer: building needs the headers of hiredis, zstd and OpenSSL 3: {fault.stderr}") from None


def link_flags() -> list[str]:
    """The libraries, and in COFFER_STATIC=1 their archives, whose names --exclude-libs then keeps inside."""
    flags = pkg_config("--libs")
    if is_static:
        flags = [re.sub(r"^-l(.+)$", r"-l:lib\1.a", flag) for flag in flags] + ["-ldl", *STATIC_FLAGS]
    return ["-flto=auto", "-Wl,--exclude-libs,ALL", *flags, "-lpthread"]


def bundled() -> str:
    """The packages whose archives are in an extension of COFFER_STATIC=1, and their notices: the licences want them to go along."""
    query = ["dpkg-query", "-W", "-f", r"  ${Package} ${Version}\n", *ARCHIVES]
    notices = [Path("/usr/share/doc") / package / "copyright" for package in ARCHIVES]
    try:
        held = subprocess.run(query, capture_output=True, text=True, check=True).stdout
        texts = [f"---- {path.parent.name}\n\n{path.read_text(encoding='utf-8')}" for path in notices]
    except (OSError, subprocess.CalledProcessError) as fault:
        raise SystemExit(f"coffer: COFFER_STATIC=1 takes Debian's packages {', '.join(ARCHIVES)}: {fault}") from None
    return "\n".join(["The extension module beside this file holds the libraries of these packages of Debian:\n", held, *texts])


def make_core(folder: Path) -> Path:
    """Builds the core with CMake, as an archive to be optimised where it is linked."""
    forget_other_tools(folder)
    flags = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCOFFER_TESTS=OFF", "-DCOFFER_EXAMPLES=OFF"]
    if os.environ.get("COFFER_SANITIZE"):
        flags.append("-DCOFFER_LTO=OFF")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    subprocess.run(["cmake", "-S", str(ROOT), "-B", str(folder), *generator, *flags], check=True)
    jobs = str(os.cpu_count() or 1)
    subprocess.run(["cmake", "--build", str(folder), "--target", "coffer_whole", "-j", jobs], check=True)
    return folder / "libcoffer_whole.a"


def forget_other_tools(folder: Path) -> None:
    """pip brings a cmake and a ninja for each build, whose paths are gone at the next."""
    cache = folder / "CMakeCache.txt"
    known = cache.read_text(encoding="utf-8", errors="replace") if cache.exists() else ""
    tools = re.findall(r"^CMAKE_(?:COMMAND|MAKE_PROGRAM):\w+=(.+)$", known, re.MULTILINE)
    if known and (str(ROOT) not in known or not all(Path(tool).exists() for tool in tools)):
        shutil.rmtree(folder)


class BuildExtension(build_ext):
    """The extension's parts are compiled each in its own way: ours with warnings, what SWIG made without those it is known
    for."""

    def build_extension(self, ext: Extension) -> None:
        if os.environ.get("COFFER_SANITIZE") == "asan":
            self.build_temp += "-asan"
            os.environ["CFLAGS"] = SANITIZE
            self.compiler.compiler_so += SANITIZE.split()
            self.compiler.linker_so += SANITIZE.split()
        temp = ROOT / self.build_temp
        wrapper = ROOT / SHIPPED_WRAPPER
        if not wrapper.exists():
            wrapper = temp / "coffer_core_wrap.c"
            make_wrapper(wrapper)
        core = make_core(temp / "core")
        objects = self.compile_parts([str(path) for path in NATIVE], WARNINGS)
        objects += self.compile_parts([os.path.relpath(wrapper)], GENERATED_WARNINGS)
        self.compiler.link_shared_object(
            [*objects, str(core)],
            self.get_ext_fullpath(ext.name),
            extra_postargs=link_flags(),
        )
        if is_static:
            Path(self.get_ext_fullpath(ext.name)).with_name(BUNDLED).write_text(bundled(), encoding="utf-8")

    def compile_parts(self, sources: list[str], warnings: list[str]) -> list[str]:
        macros = [("_DEFAULT_SOURCE", None), *([LIMITED_API] if is_limited else [])]
        flags = ["-std=c11", "-fvisibility=hidden", *warnings, *pkg_config("--cflags")]
        include_dirs = [*INCLUDES, *self.compiler.include_dirs]
        objects: list[str] = self.compiler.compile(
            sources, output_dir=self.build_temp, macros=macros, include_dirs=include_dirs, extra_postargs=flags
        )
        return objects


class SourceDistribution(sdist):
    """Adds the wrapper, so that users need no SWIG."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        made = Path("build/sdist/coffer_core_wrap.c")
        make_wrapper(ROOT / made)
        shutil.copyfile(ROOT / made, Path(base_dir) / SHIPPED_WRAPPER)


is_limited = swig_version() >= (4, 4, 1)
is_static = os.environ.get("COFFER_STATIC") == "1"

setup(
    version=version(),
    package_dir={"": str(PYTHON)},
    packages=find_packages(str(PYTHON), include=["coffer", "coffer.*"]),
    package_data={"coffer": ["py.typed", "*.pyi"]},
    ext_modules=[Extension("coffer._coffer_core", sources=[], py_limited_api=is_limited)],
    cmdclass={"build_ext": BuildExtension, "sdist": SourceDistribution},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if is_limited else {},
)
