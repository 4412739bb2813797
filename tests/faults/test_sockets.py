"""F25, F26 and F28: many sockets, and clients that behave as no widget does."""

import asyncio
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.management.loadtest.connection import Connection, SocketLost
from support.management.loadtest.plan import Plan
from support.management.loadtest.processes import read_usage
from tests.faults.postgres_faults import ConnectionCount
from tests.faults.proxy import FaultProxy
from tests.system.conformance.raw_socket import (
    build_hello,
    open_socket,
    wait_until_cut,
)
from tests.system.server import Server, Visitor

pytestmark = pytest.mark.faults

NUM_DEAF = 200
SMALL_WINDOW_BYTES = 4096
# 300,000 characters in 12 s: more than the buffers of a socket take
STREAM = "\n".join(f'say "{"x" * 2000} "\npause 0.08' for _ in range(150))
MOST_BYTES = 1_000_000
# promised are 40 s and 30 s; the rest is for a machine with other things to do
CUT_WITHIN_S = 60.0
BACK_WITHIN_S = 45.0
NUM_CROWD = 1000
_ESTABLISHED = "01"  # in /proc/net/tcp


@pytest.fixture
def web(system):
    """The first web process of the system."""
    system.repair()
    return system.webs[0]


@pytest.fixture
def server(system, web):
    """The same, to be visited without a detour."""
    return Server(system.folder, port=web.port)


@pytest.fixture
def reader(server):
    one = Visitor(server)
    one.connect()
    one.receive_until("replay_done")
    yield one
    one.disconnect()


@pytest.fixture
def deaf(server, reader):
    """Sockets of one conversation that say hello and never read."""
    token = server.post("/widget/session", {"site": "demo", "renewal": reader.renewal})
    with ExitStack() as opened:
        made = [
            opened.enter_context(open_socket(server.port, SMALL_WINDOW_BYTES))
            for _ in range(NUM_DEAF)
        ]
        for one in made:
            one.send(build_hello(token["token"]))
        yield made


def test_clients_that_never_read_cost_little_and_are_let_go(
    system, web, server, reader, deaf, measured
):
    system.use_scripts(STREAM)
    time.sleep(2)
    before_bytes = read_usage([web.pid]).memory_bytes
    reader.ask("tell me all")
    began_s = time.monotonic()
    most_bytes = 0
    while not all(one.is_cut for one in deaf):
        assert time.monotonic() - began_s < CUT_WITHIN_S
        most_bytes = max(most_bytes, read_usage([web.pid]).memory_bytes - before_bytes)
        reader.receive_all(quiet_s=0.1)
        urllib.request.urlopen(f"{server.url}/livez", timeout=10).close()
    measured["cut_s"] = time.monotonic() - began_s
    measured["bytes_per_socket"] = most_bytes // NUM_DEAF
    assert most_bytes / NUM_DEAF < MOST_BYTES
    reader.receive_outcomes(1, 120)
    reader.check_views()


def test_clients_that_are_silent_are_let_go(deaf, measured):
    """Nothing is written to them but pings, which they do not answer."""
    measured["cut_s"] = wait_until_cut(deaf, CUT_WITHIN_S)


def test_clients_that_vanish_are_let_go(server, web, measured):
    with FaultProxy(web.port) as proxy:
        gone = Visitor(server)
        gone.server = Server(server.folder, port=proxy.port)
        gone.server.post = server.post  # type: ignore[method-assign]
        gone.connect()
        gone.receive_until("replay_done")
        proxy.freeze_existing()
        began_s = time.monotonic()
        while count_established(web.port):
            assert time.monotonic() - began_s < CUT_WITHIN_S
            time.sleep(0.2)
        measured["cut_s"] = time.monotonic() - began_s


def count_established(port: int) -> int:
    """Return how many connections a port of this machine has."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ending = f":{port:04X}"
    return sum(row[1].endswith(ending) and row[3] == _ESTABLISHED for row in rows)


class Crowd:
    """Sockets of different visitors that all do the same at the same moment.

    Their pauses grow as the widget's do, without its jitter.
    """

    def __init__(self, server: Server, tokens: list[str]) -> None:
        self._plan = Plan(url=server.url, run="crowd", num_chats=1)
        self._tokens = tokens
        self.connections: list[Connection] = []
        self.num_tries = 0

    async def connect_all(self) -> float:
        """Open all at once; return when the last one shows its conversation."""
        began_s = time.monotonic()
        self.connections = await asyncio.gather(*map(self._connect, self._tokens))
        return time.monotonic() - began_s

    async def _connect(self, token: str) -> Connection:
        pause_s = 0.5
        while True:
            self.num_tries += 1
            try:
                return await self._open(token)
            except SocketLost:
                await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _open(self, token: str) -> Connection:
        connection = await Connection.open(self._plan)
        try:
            await connection.greet(token, {"last_seq": 0}, lambda _: None)
        except SocketLost:
            connection.cut()
            raise
        return connection

    def cut_all(self) -> None:
        """Lose all of them at once."""
        for connection in self.connections:
            connection.cut()


async def test_a_thousand_who_come_back_at_once_are_served(
    system, web, server, measured
):
    visitors = [
        server.post("/widget/session", {"site": "demo"}) for _ in range(NUM_CROWD)
    ]
    crowd = Crowd(server, [visitor["token"] for visitor in visitors])
    await crowd.connect_all()
    count = ConnectionCount(system)
    try:
        crowd.num_tries = 0
        crowd.cut_all()
        took_s = await crowd.connect_all()
    finally:
        most = await asyncio.to_thread(count.close)
    measured["took_s"] = took_s
    measured["tries"] = crowd.num_tries
    measured["connections"] = most
    crowd.cut_all()
    assert took_s < BACK_WITHIN_S
    num_processes = len(system.processes)
    assert most <= num_processes * int(system.settings["DATABASE_CONNECTIONS"])
