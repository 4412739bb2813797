"""F22: another process writes to the SQLite database for long."""

import sqlite3
import time
import urllib.request
from contextlib import closing

import pytest

from support.management.loadtest.history import check
from tests.faults.recording import RecordedVisitor, read_stored

CLIENT_ID = "client-locked"
# a message waits so long for the lock (chatbot/settings.py)
BUSY_TIMEOUT_S = 20


@pytest.fixture
def one(server):
    server.use_scripts("say fine")
    server.start()
    one = RecordedVisitor(server, [], "visitor")
    one.connect()
    one.receive_until("replay_done")
    yield one
    one.disconnect()


def locked(server):
    """Return a connection that holds the only right to write."""
    connection = sqlite3.connect(server.database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


@pytest.mark.parametrize("held_s", [3, pytest.param(10, marks=pytest.mark.faults)])
def test_a_message_waits_for_the_other_writer(server, one, held_s):
    with locked(server):
        one.ask("hello", CLIENT_ID)
        until_s = time.monotonic() + held_s
        urllib.request.urlopen(f"{server.url}/livez", timeout=2).close()
        with pytest.raises(TimeoutError):
            one.receive(until_s - time.monotonic())
    one.receive_until("ack", BUSY_TIMEOUT_S)
    one.receive_outcomes(1)
    assert check([*one.events, read_stored(server, one.conversation)]) == []


@pytest.mark.faults
def test_a_message_that_has_waited_too_long_is_put_off(server, one):
    with locked(server):
        one.ask("hello", CLIENT_ID)
        error = one.receive_until("error", BUSY_TIMEOUT_S + 10)
        assert (error["code"], error["client_id"]) == ("unavailable", CLIENT_ID)
        assert one.acks == {}
    one.ask("hello", CLIENT_ID)
    one.receive_until("ack", 10)
    one.receive_outcomes(1)
    assert check([*one.events, read_stored(server, one.conversation)]) == []
