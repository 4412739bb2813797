"""Visitors who have the chat open and say nothing."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field

from support.management.loadtest.connection import Connection, SocketLost
from support.management.loadtest.measures import Measures
from support.management.loadtest.plan import Plan
from support.management.loadtest.processes import Usage, read_usage
from support.management.loadtest.site import Site, Unreachable

_AT_ONCE = 20
_SETTLE_S = 2.0


@dataclass(slots=True)
class IdleReport:
    """What idle sockets cost the server's processes, if those are known."""

    num_opened: int = 0
    memory_bytes: int = 0
    held_s: float = 0.0
    cpu_s: float = 0.0
    lost: "Counter[str]" = field(default_factory=Counter)


class IdleSockets:
    """Holds sockets open, each of a visitor of its own, until the context is left."""

    def __init__(self, plan: Plan, site: Site, measures: Measures) -> None:
        self._plan = plan
        self._site = site
        self._measures = measures
        self._turnstile = asyncio.Semaphore(_AT_ONCE)
        self._connections: list[Connection] = []

    async def measure(self) -> IdleReport:
        """Open the sockets, wait, and return what they cost; raises Refused."""
        before = await self._settle(0)
        opening = [self._open() for _ in range(self._plan.num_idle)]
        await gather(*opening)
        opened = await self._settle(_SETTLE_S)
        rested = await self._settle(self._plan.idle_s)
        return IdleReport(
            num_opened=len(self._connections),
            memory_bytes=opened.memory_bytes - before.memory_bytes,
            held_s=self._plan.idle_s,
            cpu_s=rested.cpu_s - opened.cpu_s,
        )

    def count_lost(self) -> "Counter[str]":
        """Return how the sockets were lost that are not open any more."""
        return Counter(one.lost for one in self._connections if one.lost)

    async def close(self) -> None:
        """Let all sockets go."""
        await asyncio.gather(*(one.close() for one in self._connections))

    async def _open(self) -> None:
        async with self._turnstile:
            try:
                session = await self._site.start_session()
                connection = await Connection.open(self._plan)
                self._connections.append(connection)
                await connection.greet(session.token, {"last_seq": 0}, lambda _: None)
            except (SocketLost, Unreachable) as error:
                is_http = isinstance(error, Unreachable)
                kind = "unreachable" if is_http else str(error)
                self._measures.errors[f"idle socket: {kind}"] += 1

    async def _settle(self, wait_s: float) -> Usage:
        await asyncio.sleep(wait_s)
        return read_usage(self._plan.server_pids)


async def gather(*awaitables: Coroutine[None, None, None]) -> None:
    """Wait for all; if one raises, cancel the others and raise the same."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
