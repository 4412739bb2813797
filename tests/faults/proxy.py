"""A TCP proxy that does to connections what networks and dying machines do.

It stands before any service of 127.0.0.1 (Redis, Postgres, the web server, a provider),
knows nothing of its protocol, and forwards faithfully until it is told otherwise:

    with FaultProxy(redis.port) as proxy:      # clients connect to proxy.port
        proxy.freeze_existing()                # open connections go dead, new ones work
        proxy.heal()                           # all as it should be again
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"
_CHUNK_BYTES = 65536
_MAX_WAITING = 16  # chunks in one direction; then the sender has to wait
_BACKLOG = 1024
_LOOK_S = 0.05
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, not FIN


class Direction(StrEnum):
    """Which way bytes go."""

    TO_TARGET = "to target"
    TO_CLIENT = "to client"


class FaultProxy:
    """A proxy in a thread of its own; every fault is over when its method returns.

    Faults add up until `heal` ends them all. `delay_s` is what everything takes each
    way. `num_bytes` counts what was forwarded in each direction, `num_cuts` the
    connections that were cut here. With several targets it is a balancer: each new
    connection goes to the next one that takes it.
    """

    def __init__(self, *target_ports: int) -> None:
        self.target_ports = target_ports
        self.port = 0
        self.delay_s = 0.0
        self.num_bytes = dict.fromkeys(Direction, 0)
        self.num_cuts = 0
        self._num_links = 0
        self._cut_at: dict[Direction, int] = {}
        self._is_frozen = False
        self._links: set[_Link] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fault-proxy", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def num_connections(self) -> int:
        """Return how many connections are open, frozen ones among them."""
        return self._call(lambda: len(self._links))

    def freeze(self) -> None:
        """Forward nothing any more: what connects is accepted and gets no answer."""
        self._call(self._freeze)

    def freeze_existing(self) -> None:
        """Forward nothing on the connections of now; new ones work.

        The target does not learn that a client of these has gone, nor the reverse:
        half-open connections, as behind a router that has forgotten them.
        """
        self._call(self._freeze_existing)

    def thaw(self) -> None:
        """Forward what was held back, and all that comes."""
        self._call(self._thaw)

    def refuse(self) -> None:
        """Refuse new connections, as if nothing listened; open ones go on."""
        self._call(self._close_listener)

    def admit(self) -> None:
        """Take connections again, on the same port."""
        self._call(self._listen)

    def cut_all(self) -> int:
        """Reset the connections of now; return how many these were."""
        return self._call(self._cut_all)

    def cut_after(self, num_bytes: int, direction: Direction) -> None:
        """Close the connection that is the next to carry so many bytes, once.

        They are counted from now over all connections in that direction, and still
        arrive; what comes after them on that connection, either way, does not.
        """
        self._call(lambda: self._set_cut(num_bytes, direction))

    def heal(self) -> None:
        """End every fault."""
        self.delay_s = 0.0
        self._call(self._cut_at.clear)
        self.admit()
        self.thaw()

    # All below runs in the proxy's thread

    def _call(self, action: Callable[[], Any]) -> Any:
        async def act() -> Any:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def _listen(self) -> None:
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._accepting = self._loop.create_task(self._accept(listener))

    def _close_listener(self) -> None:
        if self._listener is not None and self._accepting is not None:
            self._accepting.cancel()
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = self._accepting = None

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            first = self._num_links % len(self.target_ports)
            self._num_links += 1
            ports = self.target_ports[first:] + self.target_ports[:first]
            link = _Link(self, client, ports)
            if self._is_frozen:
                link.flowing.clear()
            self._links.add(link)
            link.task = self._loop.create_task(link.run())
            link.task.add_done_callback(partial(self._forget, link))

    def _forget(self, link: "_Link", _: object) -> None:
        self._links.discard(link)

    def _freeze(self) -> None:
        self._is_frozen = True
        self._freeze_existing()

    def _freeze_existing(self) -> None:
        for link in self._links:
            link.flowing.clear()

    def _thaw(self) -> None:
        self._is_frozen = False
        for link in self._links:
            link.flowing.set()

    def _cut_all(self) -> int:
        links = [link for link in self._links if link.cut(is_reset=True)]
        self.num_cuts += len(links)
        return len(links)

    def _set_cut(self, num_bytes: int, direction: Direction) -> None:
        self._cut_at[direction] = self.num_bytes[direction] + num_bytes

    def count(self, num_bytes: int, direction: Direction) -> int | None:
        """Count what is about to be forwarded; return where to cut it, if at all."""
        before = self.num_bytes[direction]
        cut_at = self._cut_at.get(direction)
        if cut_at is None or before + num_bytes < cut_at:
            self.num_bytes[direction] += num_bytes
            return None
        del self._cut_at[direction]
        self.num_bytes[direction] = cut_at
        self.num_cuts += 1
        return cut_at - before

    async def _end(self) -> None:
        self._close_listener()
        self._cut_all()
        tasks = [link.task for link in self._links if link.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)


class _Link:
    """One client's connection and the one to the target that belongs to it."""

    def __init__(
        self, proxy: FaultProxy, client: socket.socket, target_ports: tuple[int, ...]
    ) -> None:
        client.setblocking(False)
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.task: asyncio.Task[None] | None = None
        self._proxy = proxy
        self._client = client
        self._target_ports = target_ports
        self._target = socket.socket()

    async def run(self) -> None:
        """Forward both ways until both sides have ended, or one is reset."""
        client = self._client
        try:
            await self.flowing.wait()
            target = await self._connect()
            for each in (client, target):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.TaskGroup() as group:
                for source, sink, direction in (
                    (client, target, Direction.TO_TARGET),
                    (target, client, Direction.TO_CLIENT),
                ):
                    waiting: asyncio.Queue[_Chunk] = asyncio.Queue(_MAX_WAITING)
                    group.create_task(self._read(source, waiting))
                    group.create_task(self._write(sink, waiting, direction))
        except* OSError:  # reset by a side, or the target is not there
            self._reset_on_close()
        except* _Cut:
            pass
        finally:
            client.close()
            self._target.close()

    async def _connect(self) -> socket.socket:
        """Return a socket of the first target that takes it; raises OSError."""
        for number, port in enumerate(self._target_ports, start=1):
            self._target.close()
            self._target = socket.socket()
            self._target.setblocking(False)
            try:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(self._target, (HOST, port))
                break
            except OSError:
                if number == len(self._target_ports):
                    raise
        return self._target

    def cut(self, is_reset: bool) -> bool:
        """Close both sides at once; return whether they were open."""
        if self.task is None or self.task.done():
            return False
        if is_reset:
            self._reset_on_close()
        return self.task.cancel()

    def _reset_on_close(self) -> None:
        for each in (self._client, self._target):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    async def _read(
        self, source: socket.socket, waiting: "asyncio.Queue[_Chunk]"
    ) -> None:
        loop = asyncio.get_running_loop()
        received = b"?"
        while received:
            await self.flowing.wait()
            received = await loop.sock_recv(source, _CHUNK_BYTES)
            await waiting.put((loop.time(), received))

    async def _write(
        self,
        sink: socket.socket,
        waiting: "asyncio.Queue[_Chunk]",
        direction: Direction,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            came_s, received = await waiting.get()
            await self._wait_for_delay(came_s)
            await self.flowing.wait()
            if not received:
                break
            cut_at = self._proxy.count(len(received), direction)
            await loop.sock_sendall(sink, received[:cut_at])
            if cut_at is not None:
                raise _Cut
        with contextlib.suppress(OSError):  # it may have gone already
            sink.shutdown(socket.SHUT_WR)

    async def _wait_for_delay(self, came_s: float) -> None:
        loop = asyncio.get_running_loop()
        # polled, since `delay_s` may be set at any time
        while (rest_s := came_s + self._proxy.delay_s - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(rest_s, _LOOK_S))


class _Cut(Exception):  # noqa: N818 - says what happened
    """This connection has carried what it was allowed to."""


_Chunk = tuple[float, bytes]
