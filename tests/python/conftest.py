"""Fixtures: `both` runs a test with coffer.Cache and with coffer.aio.Cache; `cache` also on mem:// and on a redis-server.
(COFFER_CACHES: with those it names alone.) `run` runs a coroutine function on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import coffer
import on_loop


@pytest.fixture(params=os.environ.get("COFFER_CACHES", "Cache aio.Cache").split())
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the test knows as coffer.Cache is that, or stands before coffer.aio.Cache."""
    if request.param == "Cache":
        yield
        return
    monkeypatch.setattr(coffer, "Cache", on_loop.Cache)
    with on_loop.on_a_loop():
        yield


@pytest.fixture
def cache(both: None, url: str) -> Iterator[coffer.Cache]:
    with coffer.Cache(url, prefix="test", namespace="things") as opened:
        yield opened


@pytest.fixture
def memory(both: None) -> Iterator[coffer.Cache]:
    with coffer.Cache("mem://") as opened:
        yield opened


def loop_of(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "asyncio":
        return asyncio.new_event_loop()
    if importlib.util.find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    import uvloop

    made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return made


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]:
    """asyncio.run on each kind of loop, in asyncio's debug mode; what nobody took care of fails the test."""

    def run_main(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        faults: list[dict[str, Any]] = []
        with asyncio.Runner(debug=True, loop_factory=lambda: loop_of(request.param)) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: faults.append(context))
            runner.get_loop().slow_callback_duration = 10
            answer = runner.run(main())
        assert faults == []
        return answer

    return run_main
