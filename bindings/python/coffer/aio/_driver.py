"""Sockets, names and timers for the half of the driver that is in C (native_loop.h)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import socket
import weakref
from asyncio import trsock
from collections.abc import Callable
from typing import Any

from coffer import _coffer_core as core

_BUFFER_BYTES = 64 << 10
_IDLE_S_MOST = 32767  # the kernel's largest

Ask = Callable[[], Any]


class _Connection(asyncio.BufferedProtocol):
    """One connection: what comes is fed to the core, in one crossing for all that came."""

    __slots__ = ("buffer", "core", "driver", "fed", "link", "transport")

    def __init__(self, driver: Driver, link: Any) -> None:
        self.driver = driver
        self.core = driver.core
        self.link = link
        self.buffer = driver.buffer
        self.fed = core.loop_fed
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")  # uvloop's is no subclass
        self.transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self.fed(self.core, self.link, self.buffer, nbytes):
            self.abandon()

    def abandon(self) -> None:
        """The core has no more use for it."""
        if self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        core.loop_hold(self.core, self.link, True)

    def resume_writing(self) -> None:
        core.loop_hold(self.core, self.link, False)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._hear_out()
        self.driver.lost(self.link, "CLOSED", "" if exc is None else _words(exc))

    def _hear_out(self) -> None:
        """Where a write failed, what had come before it was not read: an alert of TLS says why the other side hung up. Of asyncio's
        own loop alone: uvloop has closed the socket by now, and its number may be another's."""
        there = None if self.transport is None else self.transport.get_extra_info("socket")
        if isinstance(there, trsock.TransportSocket) and there.fileno() >= 0:
            with contextlib.suppress(OSError):
                self.fed(self.core, self.link, self.buffer, os.readv(there.fileno(), [self.buffer]))


class _Turn:
    """What the loop calls when there is something to do. It does not keep its driver alive: a cache that nobody closed may be collected."""

    __slots__ = ("driver", "fd")

    def __init__(self, driver: Driver) -> None:
        self.driver = weakref.ref(driver)
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __call__(self) -> None:
        driver = self.driver()
        if driver is not None:
            driver.turn()

    def woken(self) -> None:
        """Another thread has ended a wait."""
        os.eventfd_read(self.fd)
        driver = self.driver()
        if driver is not None:
            driver.tick()

    def __del__(self) -> None:
        os.close(self.fd)


class Driver:
    """What one client has on one event loop: its connections, and who waits for what comes of them. It belongs to the loop's thread.

    ask: gives (user name, password) for a new connection, or an awaitable of it.
    """

    def __init__(self, handle: Any, loop: asyncio.AbstractEventLoop, *, ask: Ask | None = None) -> None:
        self.loop = loop
        self.ask = ask
        self.fault: BaseException | None = None  # what `ask` raised the last time
        self.buffer = bytearray(_BUFFER_BYTES)
        self._there: dict[Any, _Connection | asyncio.Task[None]] = {}  # by link: a connection, or who makes it
        self._timer: asyncio.TimerHandle | None = None
        self._idle_s = min(
            core.coffer_ttl_parse(core.coffer_options_get(core.coffer_cache_options(handle), "keepalive")) // 1000, _IDLE_S_MOST
        )
        self._turn = _Turn(self)
        self.core = core.loop_open(handle, loop.create_future, loop.call_soon, self._turn, self._turn.fd)
        loop.add_reader(self._turn.fd, self._turn.woken)

    def close(self) -> None:
        """Ends all that is under way with ClosedError, and closes the connections: on the loop, or when that was closed."""
        core.loop_close(self.core)
        if self.loop.is_closed():
            self._let_go()
            return
        self.turn()
        self.loop.remove_reader(self._turn.fd)
        if self._timer is not None:
            self._timer.cancel()

    def _let_go(self) -> None:
        """Of what is left, so that Python closes the sockets: nothing of a closed loop is touched."""
        core.loop_turn(self.core)
        for there in self._there.values():
            if not isinstance(there, asyncio.Task):
                there.link = None  # which holds its transport, out of the sight of Python's collector
        self._there.clear()

    def lost(self, link: Any, status: str, words: str) -> None:
        """The connection is gone, or could not be made."""
        self._there.pop(link, None)
        core.loop_lost(self.core, link, status, words)

    # ---- turns and time ----

    def turn(self) -> None:
        """Does what is to be done now; and when to look again."""
        orders, due_ms = core.loop_turn(self.core)
        if orders is not None:
            for order in orders:
                if order[0] == "connect":
                    task = self.loop.create_task(self._connect(*order[1:]))
                    if not task.done():  # one that is begun at once (asyncio.eager_task_factory) may have failed already
                        self._there[order[1]] = task
                        task.add_done_callback(functools.partial(self._given_up, order[1]))
                else:
                    self._end(order[1])
        if due_ms >= 0:
            self._arm(due_ms / 1000)

    def _arm(self, seconds: float) -> None:
        at = self.loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(at, self.tick)

    def tick(self) -> None:
        """Time has passed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        core.loop_tick(self.core)

    # ---- connections ----

    async def _connect(self, link: Any, host: str, port: int, path: str, wants_login: bool) -> None:
        connection = _Connection(self, link)
        name = path or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        try:
            username, password = await self._login() if wants_login and self.ask is not None else (None, None)
            if path:
                await self.loop.create_unix_connection(lambda: connection, path)
            else:
                await self.loop.create_connection(lambda: connection, host, port)
        except _NoLogin as refused:
            self.lost(link, "CREDENTIALS", str(refused))
        except socket.gaierror as error:
            self.lost(link, "DNS", f"{name}: {error.strerror}")
        except ConnectionRefusedError:
            self.lost(link, "CONNECT", f"connection refused by {name}")
        except (OSError, UnicodeError, ValueError) as error:
            self.lost(link, "CONNECT", f"connecting to {name}: {_words(error)}")
        else:
            self._opened(link, connection, username, password)

    def _given_up(self, link: Any, task: asyncio.Task[None]) -> None:
        """By the core; or by a program that ends all tasks, as asyncio.run does, some of which ask for something on their way out."""
        if task.cancelled():
            self.lost(link, "CLOSED", "the task that connected was cancelled")

    def _opened(self, link: Any, connection: _Connection, username: str | None, password: str | None) -> None:
        transport = connection.transport
        assert transport is not None
        if transport.is_closing():  # at once
            return
        self._there[link] = connection
        self._keep_alive(transport.get_extra_info("socket"))
        if not core.loop_opened(self.core, link, transport.write, username, password):
            connection.abandon()

    def _keep_alive(self, sock: Any) -> None:
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self._idle_s)

    def _end(self, link: Any) -> None:
        there = self._there.pop(link, None)
        if isinstance(there, asyncio.Task):
            there.cancel()
        elif there is not None and there.transport is not None:
            there.transport.abort()

    async def _login(self) -> tuple[str, str]:
        assert self.ask is not None
        try:
            answer = self.ask()
            username, password = await answer if inspect.isawaitable(answer) else answer
        except Exception as fault:
            self.fault = fault
            raise _NoLogin("the function that gives them failed") from fault
        self.fault = None
        return username, password


class _NoLogin(Exception):
    """Nobody said whom to log in as."""


def _words(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
