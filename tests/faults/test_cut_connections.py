"""F27: the connection is cut after N bytes of an exchange, for N from end to end."""

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from support.management.loadtest.history import Event, check
from support.management.loadtest.marks import build_mark, choose_run
from tests.faults.proxy import Direction, FaultProxy
from tests.faults.recording import RecordedVisitor, read_stored
from tests.system.server import Server

LOST = (ConnectionClosed, InvalidHandshake, OSError, EOFError)
SWEEPS = [1000, pytest.param(29, marks=pytest.mark.faults)]


class Exchange:
    """One visitor behind a proxy, who asks until an answer is shown."""

    def __init__(self, server: Server, proxy: FaultProxy, number: int) -> None:
        self.events: list[Event] = []
        self._visitor = RecordedVisitor(server, self.events, "visitor")
        # sessions go straight to the server, sockets by way of the proxy
        self._way = Server(server.folder, port=proxy.port)
        self._way.post = server.post  # type: ignore[method-assign]
        self._visitor.server = self._way
        self._server = server
        self.mark = build_mark(choose_run(), number)

    def play(self) -> int:
        """Ask, come back whenever the connection is lost; return how often that was."""
        one = self._visitor
        num_lost = 0
        while not one.finals:
            try:
                one.connect()
                one.receive_until("replay_done", 10)
                if not one.acks:
                    one.ask(f"my name is {self.mark}", "client-again")
                one.receive_outcomes(1)
            except LOST:
                num_lost += 1
        return num_lost

    def end(self) -> None:
        """Leave, which takes some bytes too: a cut there loses nothing."""
        self._visitor.disconnect()

    def find_violations(self) -> list:
        """End; return what is wrong, after a look by a page that is loaded anew."""
        self.end()
        self._visitor.server = self._server
        late = self._visitor.open_tab("late")
        late.connect()
        late.receive_until("replay_done")
        late.disconnect()
        conversation = self._visitor.conversation
        stored = read_stored(self._server, conversation)
        assert len(stored.messages) == 2
        return check([*self.events, stored], {conversation: self.mark})


@pytest.mark.parametrize("step_bytes", SWEEPS)
@pytest.mark.parametrize("direction", list(Direction))
def test_a_cut_anywhere_loses_and_doubles_nothing(server, direction, step_bytes):
    server.use_scripts("pace 0.01\necho")
    server.start()
    with FaultProxy(server.port) as proxy:
        exchange = Exchange(server, proxy, 0)
        before = proxy.num_bytes[direction]
        assert exchange.play() == 0
        whole = proxy.num_bytes[direction] - before
        exchange.end()
        sizes = range(1, whole, step_bytes)
        for number, num_bytes in enumerate(sizes, start=1):
            exchange = Exchange(server, proxy, number)
            proxy.cut_after(num_bytes, direction)
            assert exchange.play() == 1, f"cut after {num_bytes} bytes {direction}"
            assert exchange.find_violations() == [], f"{num_bytes} bytes {direction}"
        assert proxy.num_cuts == len(sizes)
