"""P18: Ctrl-C in Python ends a call at once, its reply goes to nobody, and other callers notice nothing."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools import SEED, Proxy, Server, Tell, now_us, seconds

PROGRAM = Path(__file__).resolve().parent / "interrupted.py"
MOST_MS = 100


def test_ctrl_c_ends_a_call_and_its_reply_is_nobodys(server: Server, proxy: Proxy, tell: Tell) -> None:
    random.seed(SEED)
    count = int(max(15, seconds(0, 0.02) * 3))
    proxy.set("down", "latency", ms=150, max_ms=250)
    program = subprocess.Popen([sys.executable, str(PROGRAM), proxy.url, str(count)], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    took_ms = []
    for _ in range(count):
        assert program.stdout.readline() == "waiting\n"
        time.sleep(random.uniform(0, 0.1))
        sent_us = now_us()
        program.send_signal(signal.SIGINT)
        word, at_us = program.stdout.readline().split()
        assert word == "interrupted"
        took_ms.append((int(at_us) - sent_us) / 1000)
    word, wrong, late_us = program.stdout.readline().split()
    assert program.wait(30) == 0
    program.stdout.close()
    tell(None, None, interrupts=count, wrong=int(wrong), longest_ms=max(took_ms), control_max_ms=int(late_us) / 1000)
    assert (word, wrong) == ("end", "0")
    assert max(took_ms) <= MOST_MS + 2 * int(late_us) / 1000
