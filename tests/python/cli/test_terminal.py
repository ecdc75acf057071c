"""What a terminal sees, and what a pipe must not."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from coffer.cli import main
from cli_fake import World
raise SystemExit(main(sys.argv[1:], make_backend=World().backend))
"""
COMMAND = [sys.executable, "-c", SCRIPT, "demo"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def read_all(descriptor: int) -> bytes:
    """All that was written to a terminal until nobody holds its other end."""
    shown = b""
    while True:
        try:
            shown += os.read(descriptor, 1 << 16)
        except OSError:
            return shown


def test_progress_is_for_terminals():
    try:
        controller, terminal = pty.openpty()
    except OSError:
        pytest.skip("this machine has no pseudo-terminals")
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=terminal, env=ENVIRONMENT) as process:
        os.close(terminal)
        shown = read_all(controller)
        os.close(controller)
        report = process.stdout.read()
    assert b"without the cache" in shown and b"\r" in shown and shown.endswith(b"\r\x1b[K")
    assert b"hit ratio" in report and b"\r" not in report


def test_pipes_get_no_progress():
    done = subprocess.run(COMMAND, capture_output=True, env=ENVIRONMENT, check=True)
    assert done.stderr == b""


def test_any_encoding_of_the_terminal_will_do():
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(COMMAND, capture_output=True, env=environment, check=True)
    assert b" us " in done.stdout


def test_a_reader_that_goes_away_gets_no_traceback():
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_ctrl_c_while_the_trace_is_read_is_130():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "replay", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    process.stdin.write(b"key\n" * 1_000_000)  # more than a pipe holds: it is being read now
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"coffer: interrupted before anything was measured\n"
