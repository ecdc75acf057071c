"""The layering rules and the budgets of this project, checked on the text of the files.

    python3 tests/lint/lint.py [ROOT]        prints `file:line: what is wrong`, exit status 1 if there is anything

CMake already refuses an #include of a folder that a folder may not use (docs/architecture.md). This checks the rest.
Each rule is a function `rule(file) -> findings`, named in RULES; test_lint.py feeds every one of them bad snippets.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FILE_LINES = 600
FUNCTION_LINES = 60

SHELL_NAMES = ("dev", ".ci/run")
BUDGETED = (".c", ".h", ".py", ".i", ".lua", ".sh")
SKIPPED_PARTS = {"corpus", "golden", "build", ".venv", ".git"}
SKIPPED_FILES = {"LICENSE"}

# What only io/ may do: the headers that allow it and the calls that do it.
IO_HEADERS = {
    "sockets": ("sys/socket.h", "netinet/", "arpa/inet.h", "netdb.h", "poll.h", "sys/epoll.h", "sys/select.h", "sys/un.h"),
    "threads": ("pthread.h", "threads.h", "semaphore.h"),
    "clock": ("time.h", "sys/time.h", "sys/timerfd.h"),
    "random": ("sys/random.h", "openssl/rand.h"),
}
IO_CALLS = {
    "sockets": "socket socketpair connect bind listen accept accept4 send sendto sendmsg recv recvfrom recvmsg poll ppoll select pselect "
    "epoll_create1 epoll_ctl epoll_wait eventfd getaddrinfo freeaddrinfo setsockopt getsockopt shutdown",
    "threads": "pthread_[a-z_]+ thrd_[a-z_]+ mtx_[a-z_]+ cnd_[a-z_]+ sem_wait sem_post sem_init",
    "clock": "time clock clock_gettime gettimeofday timespec_get nanosleep clock_nanosleep usleep sleep timerfd_create",
    "random": "rand rand_r srand random srandom drand48 arc4random[a-z_]* getrandom getentropy RAND_[a-z_]+",
}
IO_ALLOWED = {
    "core/src/base/lock.c": {"threads"},
    "core/src/base/robust.c": {"threads", "clock"},
    "core/src/base/random.c": {"random"},
    "core/src/near/shared.c": {"clock"},
}

# What operations must not know: redirects and where a call goes are the engine's business.
OPS_WORDS = re.compile(r"\b\w*(moved|noscript|endpoint)\w*", re.IGNORECASE)

C_STANDARD_HEADERS = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "limits.h"}
OPEN_ENDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.~*$}>])/(?:home|root|Users|work|farm|mnt)/[\w.]")
INCLUDE = re.compile(r"^\s*[#%]\s*(?:include|import)\s*([<\"])([^>\"]+)[>\"]")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


class File:
    """A file by its path from the root, with the views of its text that the rules need."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.suffix = Path(path).suffix

    def finding(self, line: int, what: str) -> Finding:
        return Finding(self.path, line, what)

    @property
    def is_c(self) -> bool:
        return self.suffix in (".c", ".h")

    @property
    def is_shell(self) -> bool:
        return self.suffix == ".sh" or self.path in SHELL_NAMES

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def code(self) -> list[str]:
        """The lines of a C file without comments, and with strings and characters emptied."""
        return strip_c(self.text).splitlines()

    @cached_property
    def includes(self) -> list[tuple[int, str, str]]:
        """(line, quote, name) of each #include, %include and %import."""
        found = ((number, INCLUDE.match(line)) for number, line in enumerate(self.lines, 1))
        return [(number, match[1], match[2]) for number, match in found if match]


def strip_c(text: str) -> str:
    """Removes comments and what is inside of quotes; line numbers stay."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)

    def blank(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] in "\"'":
            return token[0] * 2
        return " " + "\n" * token.count("\n")

    return pattern.sub(blank, text)


def file_budget(file: File) -> Iterator[Finding]:
    if (file.suffix in BUDGETED or file.is_shell) and len(file.lines) > FILE_LINES:
        yield file.finding(FILE_LINES + 1, f"{len(file.lines)} lines: {FILE_LINES} is where a file has become two")


def without_directives(code: list[str]) -> list[str]:
    """Blanks preprocessor lines and their continuations, whose braces need not match."""
    kept, continued = [], False
    for line in code:
        directive = continued or line.lstrip().startswith("#")
        continued = directive and line.rstrip().endswith("\\")
        kept.append("" if directive else line)
    return kept


def c_functions(file: File) -> Iterator[tuple[int, int]]:
    """(first, last) line of each function: a brace at the outermost level behind a closing parenthesis, to its partner."""
    depth, before, first, start = 0, "", 0, 0
    text = "\n".join(without_directives(file.code))
    text = re.sub(r'\bextern\s*""\s*\{', lambda match: "\n" * match[0].count("\n"), text)
    line = 1
    for char in text:
        if depth == 0 and not before.strip() and not char.isspace():
            first = line
        if char == "{":
            if depth == 0:
                start = first if before.rstrip().endswith(")") else 0
            depth += 1
        elif char == "}":
            depth = max(0, depth - 1)
            if depth == 0 and start:
                yield start, line
                start = 0
        before = "" if char in ";{}" else before + char if depth == 0 else before
        line += char == "\n"


def python_functions(file: File) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(file.text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.end_lineno or node.lineno


def margin_functions(file: File, begin: str, end: str) -> Iterator[tuple[int, int]]:
    """Functions of languages whose style begins and ends them at the margin."""
    start = 0
    for number, line in enumerate(file.lines, 1):
        if re.match(begin, line):
            start = number
        elif start and re.match(end, line):
            yield start, number
            start = 0


def functions(file: File) -> Iterator[tuple[int, int]]:
    if file.is_c:
        return c_functions(file)
    if file.suffix == ".py":
        return python_functions(file)
    if file.suffix == ".lua":
        return margin_functions(file, r"(local )?function\b", r"end\b")
    if file.is_shell:
        return margin_functions(file, r"\w+\s*\(\)\s*\{\s*$", r"\}")
    return iter(())


def function_budget(file: File) -> Iterator[Finding]:
    for first, last in functions(file):
        if last - first + 1 > FUNCTION_LINES:
            yield file.finding(first, f"a function of {last - first + 1} lines: {FUNCTION_LINES} is the most")


def io_stays_in_io(file: File) -> Iterator[Finding]:
    """Below io/ nothing opens a socket, starts a thread, reads a clock or draws random numbers of its own."""
    if not file.is_c or not file.path.startswith("core/src/") or file.path.startswith("core/src/io/"):
        return
    for kind in IO_CALLS.keys() - IO_ALLOWED.get(file.path, set()):
        for number, _, name in file.includes:
            if name.startswith(IO_HEADERS[kind]):
                yield file.finding(number, f"<{name}>: {kind} belong to core/src/io")
        yield from io_calls(file, kind)


def io_calls(file: File, kind: str) -> Iterator[Finding]:
    call = re.compile(r"(?<![\w.>])(" + "|".join(IO_CALLS[kind].split()) + r")\s*\(")
    own = set(re.findall(r"^static\b[^;={]*?\b(\w+)\s*\(", "\n".join(file.code), re.MULTILINE))
    for number, line in enumerate(file.code, 1):
        for match in call.finditer(line):
            if match[1] not in own:
                yield file.finding(number, f"{match[1]}(): {kind} belong to core/src/io")


def no_include_by_climbing(file: File) -> Iterator[Finding]:
    for number, _, name in file.includes:
        if (file.is_c or file.suffix == ".i") and name.startswith("../"):
            yield file.finding(number, f'"{name}": include by folder and name')


def ops_know_no_wire(file: File) -> Iterator[Finding]:
    if not file.path.startswith("core/src/ops/"):
        return
    for number, line in enumerate(file.lines, 1):
        for match in OPS_WORDS.finditer(line):
            yield file.finding(number, f"{match[0]}: redirects and nodes are the engine's business, not an operation's")


def public_headers_stand_alone(file: File) -> Iterator[Finding]:
    if not file.path.startswith("core/include/"):
        return
    for number, quote, name in file.includes:
        if quote != "<" or not (name.startswith("coffer/") or name in C_STANDARD_HEADERS):
            yield file.finding(number, f"{name}: a public header includes <coffer/*.h> and the C standard's only")


def bindings_use_public_headers(file: File) -> Iterator[Finding]:
    if not file.path.startswith("bindings/") or file.suffix not in (".c", ".h", ".i"):
        return
    folders = ("base", "resp", "codec", "policy", "topology", "near", "simulate", "observe", "engine", "ops", "mux", "io")
    for number, _, name in file.includes:
        if name.split("/")[0] in folders or "core/src" in name:
            yield file.finding(number, f"{name}: bindings include <coffer/*.h> only")


def nothing_left_open(file: File) -> Iterator[Finding]:
    for number, line in enumerate(file.lines, 1):
        if match := OPEN_ENDS.search(line):
            yield file.finding(number, f"{match[0]}: open an issue instead")


def no_machine_paths(file: File) -> Iterator[Finding]:
    for number, line in enumerate(file.lines, 1):
        if match := MACHINE_PATHS.search(line):
            yield file.finding(number, f"{match[0]}...: a path of one machine")


RULES = (
    file_budget,
    function_budget,
    io_stays_in_io,
    no_include_by_climbing,
    ops_know_no_wire,
    public_headers_stand_alone,
    bindings_use_public_headers,
    nothing_left_open,
    no_machine_paths,
)


def check(file: File) -> list[Finding]:
    return sorted((finding for rule in RULES for finding in rule(file)), key=lambda finding: (finding.line, finding.what))


def listed(root: Path) -> list[str]:
    """What git knows or would add; in a tree without git, every file."""
    command = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return sorted(set(answer.splitlines()))
    except (OSError, subprocess.CalledProcessError):
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def tree(root: Path) -> Iterator[File]:
    """The text files under root; what is not UTF-8 text is data and has no style."""
    for name in listed(root):
        path = root / name
        if name in SKIPPED_FILES or SKIPPED_PARTS & set(Path(name).parts) or not path.is_file():
            continue
        try:
            yield File(name, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    findings = [finding for file in tree(root) for finding in check(file)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
