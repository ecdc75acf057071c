"""The lint refuses what it is there to refuse, accepts its neighbours, and the tree is clean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lint import FILE_LINES, FUNCTION_LINES, File, check, main

ROOT = Path(__file__).resolve().parents[2]


def found(path: str, text: str) -> list[str]:
    return [str(finding) for finding in check(File(path, text))]


def c_function(lines: int) -> str:
    return "static int long_one(int a,\n                    int b) {\n" + "    a++;\n" * (lines - 3) + "}\n"


def test_the_tree_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    status = main([str(ROOT)])
    assert capsys.readouterr().out == ""
    assert status == 0


BAD = [
    ("core/src/ops/a.c", c_function(FUNCTION_LINES + 1), "a function of 61 lines"),
    ("core/include/coffer/a.h", 'extern "C" {\n' + c_function(FUNCTION_LINES + 1) + "}\n", "a function of 61 lines"),
    ("bindings/python/coffer/a.py", "def f() -> None:\n" + "    pass\n" * FUNCTION_LINES, "a function of 61 lines"),
    ("dev", "f() {\n" + "    :\n" * FUNCTION_LINES + "}\n", "a function of 62 lines"),
    ("core/scripts/a.lua", "local function f()\n" + "    g()\n" * FUNCTION_LINES + "end\n", "a function of 62 lines"),
    ("bindings/swig/a.i", "\n" * (FILE_LINES + 1), "601 lines"),
    ("core/src/engine/a.c", "#include <sys/socket.h>\n", "sockets belong to core/src/io"),
    ("core/src/engine/a.c", "int f(void) {\n    return poll(0, 0, 1);\n}\n", ":2: poll()"),
    ("core/src/near/a.c", "int f(void) {\n    return pthread_create(0, 0, 0, 0);\n}\n", ":2: pthread_create()"),
    ("core/src/policy/ttl.c", "#include <time.h>\n", "clock belong to core/src/io"),
    ("core/src/policy/ttl.c", "int f(void) {\n    return (int)time(NULL);\n}\n", ":2: time()"),
    ("core/src/policy/ttl.c", "int f(void) {\n    return rand ();\n}\n", ":2: rand()"),
    ("core/src/base/lock.c", "int f(void) {\n    return getrandom(0, 0, 0);\n}\n", ":2: getrandom()"),
    ("tests/c/near/test_a.c", '#include "../../core/src/near/near.h"\n', "include by folder and name"),
    ("core/src/ops/read.c", "/* after MOVED */\n", "MOVED: redirects"),
    ("core/src/ops/read.c", "status = COFFER_NOSCRIPT;\n", "COFFER_NOSCRIPT: redirects"),
    ("core/src/ops/read.c", "act->endpoint = 0;\n", "endpoint: redirects"),
    ("core/include/coffer/a.h", '#include "coffer/types.h"\n', "a public header includes"),
    ("core/include/coffer/a.h", "#include <hiredis/read.h>\n", "a public header includes"),
    ("bindings/swig/coffer.i", '%include "engine/op.h"\n', "bindings include <coffer/*.h> only"),
    ("bindings/python/a.c", '#include "../../core/src/engine/op.h"\n', "bindings include <coffer/*.h> only"),
    ("docs/a.md", "a " + "TO" + "DO here\n", "open an issue"),
    ("tests/c/a/test_a.c", "/* FIX" + "ME */\n", "open an issue"),
    ("tests/python/test_a.py", 'PATH = "/ho' + 'me/someone/x"\n', "a path of one machine"),
]


@pytest.mark.parametrize(("path", "text", "expected"), BAD, ids=[f"{path}-{number}" for number, (path, _, _) in enumerate(BAD)])
def test_a_bad_file_is_refused(path: str, text: str, expected: str) -> None:
    assert any(expected in finding for finding in found(path, text)), found(path, text)


GOOD = [
    ("core/src/ops/a.c", c_function(FUNCTION_LINES)),
    ("core/src/ops/a.c", "static const int table[] = {\n" + "    1,\n" * 100 + "};\n"),
    ("core/src/resp/a.c", "#define BODY(x) \\\n    do { x; \\\n    if (x) {\n" + c_function(20) + c_function(20) + c_function(30)),
    ("bindings/swig/a.i", "\n" * FILE_LINES),
    ("core/src/io/socket.c", "#include <sys/socket.h>\nint f(void) {\n    return socket(1, 2, 3);\n}\n"),
    ("core/src/base/lock.c", "#include <pthread.h>\nvoid f(void) {\n    pthread_mutex_lock(0);\n}\n"),
    ("core/src/base/random.c", "#include <sys/random.h>\nint f(void) {\n    return (int)getrandom(0, 0, 0);\n}\n"),
    ("core/src/engine/a.c", '/* poll() and time() are the driver\'s */\nconst char *text = "select(";\n'),
    (
        "core/src/engine/a.c",
        "static void send(int a);\nvoid f(op *o) {\n    send(1);\n    o->connect(1);\n    o.time(2);\n    ttl_time(3);\n}\n",
    ),
    ("core/src/engine/a.c", "#include <stdatomic.h>\n/* MOVED goes to another endpoint */\n"),
    ("core/include/coffer/a.h", "#include <coffer/types.h>\n#include <stdint.h>\n"),
    ("bindings/swig/coffer.i", "%include <coffer/cache.h>\n#include <Python.h>\n"),
    ("README.md", "unix:///run/redis.sock, tests/home/x and https://example.org/home/x\n"),
]


@pytest.mark.parametrize(("path", "text"), GOOD, ids=[f"{path}-{number}" for number, (path, _) in enumerate(GOOD)])
def test_a_good_file_is_accepted(path: str, text: str) -> None:
    assert found(path, text) == []


def test_the_program_names_file_and_line_and_fails(tmp_path: Path) -> None:
    bad = tmp_path / "core" / "src" / "ops" / "bad.c"
    bad.parent.mkdir(parents=True)
    bad.write_text("int moved;\n")
    done = subprocess.run([sys.executable, str(ROOT / "tests/lint/lint.py"), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("core/src/ops/bad.c:1: moved:")
