"""Which event loop is served by what: a driver, with connections of its own, for each loop that a cache is used on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio import AbstractEventLoop, Future
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from coffer import _coffer_core as core
from coffer._errors import CredentialsError
from coffer.aio._driver import Driver

Ask = Callable[[], Awaitable[tuple[str, str]]]


class Seat:
    """One cache on one loop: the handle through which it asks there."""

    __slots__ = ("driver", "handle", "loop")

    def __init__(self, loop: AbstractEventLoop, driver: Driver, handle: core._Handle) -> None:
        self.loop = loop
        self.driver = driver
        self.handle = handle

    async def answer(self, pending: Any) -> Any:
        """What the core answered, at once or later. Who is cancelled meanwhile gives the operation up."""
        if not isinstance(pending, Future):
            return pending
        try:
            return await pending
        except (asyncio.CancelledError, GeneratorExit):
            core.loop_drop(self.driver.core, pending)
            raise
        except CredentialsError:
            if self.driver.fault is None:
                raise
            raise self.driver.fault from None


async def _until_the_end(driver: Driver) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        driver.close()


class _Home:
    """A loop's driver, and what ends it: an asynchronous generator. asyncio.run and its like end those before they close the loop,
    and one that nobody holds any more is ended by its loop, in its thread. So no finalizer of ours touches a loop."""

    __slots__ = ("driver", "ending", "handle")

    def __init__(self, loop: AbstractEventLoop, handle: core._Handle, ask: Ask | None) -> None:
        self.handle = handle
        self.driver = Driver(handle, loop, ask=ask)
        self.ending = _until_the_end(self.driver)
        with contextlib.suppress(StopIteration):
            self.ending.__anext__().send(None)  # as far as its `yield`: from here on the loop knows it


class Drivers:
    """The drivers of an opened cache, which its namespaces share. Each loop touches its own entries alone, so there is no lock."""

    __slots__ = ("_ask", "_homes", "_inherited", "_pid")

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._homes: dict[AbstractEventLoop, _Home] = {}
        self._inherited: list[object] = []  # a parent's: to end them would disturb its loop, which shares the kernel's list of sockets
        self._pid = os.getpid()

    def seat(self, loop: AbstractEventLoop, lender: core._Handle) -> Seat:
        """For a cache whose own handle is `lender`. Raises ClosedError."""
        self._look_around()
        handle = core.share(lender)
        home = self._homes.get(loop)
        if home is None:
            home = self._homes[loop] = _Home(loop, core.share(lender), self._ask)
        core.loop_attach(home.driver.core, handle)
        return Seat(loop, home.driver, handle)

    def pools(self) -> list[dict[str, int]]:
        """The connections of each."""
        return [core.stats(home.handle)["pool"] for home in list(self._homes.values())]

    def _look_around(self) -> None:
        """Leaves alone what is a parent's, and forgets loops that were closed."""
        if self._pid != os.getpid():
            self._inherited.append(self._homes)
            self._homes = {}
            self._pid = os.getpid()
        for loop in [loop for loop in list(self._homes) if loop.is_closed()]:
            home = self._homes.pop(loop, None)
            if home is not None:
                home.driver.close()  # it may not have ended its generators

    async def aclose(self) -> None:
        """Ends all of them: those of other loops soon, by these."""
        self._look_around()
        here = asyncio.get_running_loop()
        for loop, home in list(self._homes.items()):
            if loop is here:
                await home.ending.aclose()
                await asyncio.sleep(0)  # the transports close behind this
            else:
                with contextlib.suppress(RuntimeError):  # it was closed this moment
                    loop.call_soon_threadsafe(home.driver.close)
