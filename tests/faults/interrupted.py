"""Ctrl-C again and again while other threads work: python interrupted.py URL COUNT.

Says "waiting" before each call that is to be interrupted, then the moment at which KeyboardInterrupt came, and at its end how many
values were wrong and how late this machine woke a thread that only sleeps."""

from __future__ import annotations

import sys
import threading
import time

import coffer


def work(cache: coffer.Cache, writer: int, ends: threading.Event, wrong: list[str]) -> None:
    number = 0
    while not ends.is_set():
        number += 1
        key, value = f"other:{writer}:{number % 8}", f"{writer}-{number}"
        try:
            cache.set(key, value)
            if cache.get(key) != value:
                wrong.append(key)
        except coffer.Error as error:
            wrong.append(str(error))


def only_sleep(ends: threading.Event, late: list[float]) -> None:
    while not ends.is_set():
        until = time.monotonic() + 0.005
        time.sleep(0.005)
        late.append(time.monotonic() - until)


def interrupt(cache: coffer.Cache, number: int, wrong: list[str]) -> None:
    try:
        print("waiting", flush=True)
        cache.get(f"mine:{number}")
        print("done", flush=True)
    except KeyboardInterrupt:
        print("interrupted", time.monotonic_ns() // 1000, flush=True)
    key = f"mine:{number + 1}"
    if cache.get(key) != key:  # not what was asked for before
        wrong.append(key)


def main(url: str, count: int) -> None:
    ends, late, wrong = threading.Event(), [0.0], list[str]()
    with coffer.Cache(url, timeout=20, on_outage="error") as cache:
        for number in range(count + 1):
            cache.set(f"mine:{number}", f"mine:{number}")
        threads = [threading.Thread(target=work, args=(cache, writer, ends, wrong)) for writer in range(3)]
        threads.append(threading.Thread(target=only_sleep, args=(ends, late)))
        for one in threads:
            one.start()
        for number in range(count):
            interrupt(cache, number, wrong)
        ends.set()
        for one in threads:
            one.join()
    print("end", len(wrong), int(max(late) * 1_000_000), flush=True)


main(sys.argv[1], int(sys.argv[2]))
