"""The whole server is killed again and again; the history has no violation."""

import contextlib

import pytest
from websockets.exceptions import ConnectionClosed

from support.management.loadtest.history import Event, check
from support.management.loadtest.marks import build_mark, choose_run
from tests.faults.recording import RecordedVisitor, read_stored

pytestmark = pytest.mark.faults

NUM_KILLS = 3
NUM_VISITORS = 3


@pytest.fixture
def events():
    """A history that is written while the test runs."""
    written: list[Event] = []
    return written


@pytest.fixture
def visitors(server, events):
    """Visitors of a server that echoes slowly; each has a mark of its own."""
    server.use_scripts("pace 0.05\necho")
    server.start()
    made = [RecordedVisitor(server, events, "visitor") for _ in range(NUM_VISITORS)]
    yield made
    for one in made:
        one.disconnect()


def test_kills_in_the_middle_of_replies_break_no_promise(server, events, visitors):
    run = choose_run()
    marks = {one.conversation: build_mark(run, n) for n, one in enumerate(visitors)}
    sent: list[tuple[RecordedVisitor, str, str]] = []
    for round_number in range(NUM_KILLS):
        for one in visitors:
            one.connect()
            content = f"my name is {marks[one.conversation]} and I would like to know"
            client_id = f"client-{round_number:04}"
            sent.append((one, client_id, content))
            one.ask(content, client_id)
        for one in visitors:
            with contextlib.suppress(TimeoutError, ConnectionClosed):
                one.receive_until("delta", 1 + round_number)
        server.kill()
        server.start()
    for one in visitors:
        one.connect()
    for one, client_id, content in sent:  # what has no ack is sent again
        if client_id not in one.acks:
            one.ask(content, client_id)
    for one in visitors:
        one.receive_outcomes(NUM_KILLS, 60)
        late = one.open_tab("late")
        late.connect()
        late.receive_until("replay_done")
        late.disconnect()
        events.append(read_stored(server, one.conversation))
    assert check(events, marks) == []
