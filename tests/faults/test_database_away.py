"""Promise 13: without its database a server acknowledges nothing and hangs nowhere."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from random import Random
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.faults.catalogue import FAULTS
from tests.system.server import Server, Visitor

# promised are 6 s and 10 s; the rest is for a machine with other things to do
ENDS_WITHIN_S = 12.0
BACK_WITHIN_S = 20.0
# five times as many as threads that ask the database: in turn they would take 25 s
NUM_TABS = 40

CASES = [
    "F16",
    pytest.param("F18", marks=pytest.mark.faults),
    pytest.param("F19", marks=pytest.mark.faults),
]


@pytest.fixture
def server(quick_system):
    """The web process of the system, to be visited without a detour."""
    quick_system.repair()
    quick_system.use_scripts("say fine")
    return Server(quick_system.folder, port=quick_system.webs[0].port)


@pytest.fixture
def tabs(server):
    """Visitors who have the chat open."""
    made = [Visitor(server) for _ in range(NUM_TABS)]
    for one in made:
        one.connect()
        one.receive_until("replay_done")
    yield made
    for one in made:
        one.disconnect()


def post_session(server) -> tuple[int, float]:
    """Return the status of a new session and how long it took."""
    began_s = time.monotonic()
    try:
        server.post("/widget/session", {"site": "demo"})
    except urllib.error.HTTPError as error:
        return error.code, time.monotonic() - began_s
    return 200, time.monotonic() - began_s


def say_hello(server, token) -> tuple[str, int | None, float]:
    """Return what a hello is answered, the close code, and how long it took."""
    began_s = time.monotonic()
    address = f"ws://127.0.0.1:{server.port}/ws/chat/"
    with connect(address, origin=Origin(server.url)) as socket:
        hello = {"type": "hello", "protocol": 1, "token": token, "last_seq": 0}
        socket.send(json.dumps(hello))
        answers = ""
        with contextlib.suppress(ConnectionClosed):
            while True:
                answers += str(socket.recv(20))
    return answers, socket.close_code, time.monotonic() - began_s


def ask_all(tabs, client_id) -> float:
    """Send from all at once; return when the last one was told to try later."""
    began_s = time.monotonic()
    for one in tabs:
        one.ask("are you there?", client_id)
    for one in tabs:
        error = one.receive_until("error", 20)
        assert (error["code"], error["client_id"]) == ("unavailable", client_id)
    return time.monotonic() - began_s


def ask_until_acknowledged(one, client_id) -> float:
    """Do as the widget does, with shorter pauses; return how long it took."""
    began_s = time.monotonic()
    while client_id not in one.acks:
        one.ask("are you there?", client_id)
        while one.receive()["type"] not in ("ack", "error"):
            pass
        time.sleep(0.2)
    return time.monotonic() - began_s


def check_refusals(server, tabs, token, client_id) -> None:
    """Ask in every way at once; all is refused, in time and in words."""
    with ThreadPoolExecutor() as pool:
        hello = pool.submit(say_hello, server, token)
        session = pool.submit(post_session, server)
        asked = pool.submit(ask_all, tabs, client_id)
        time.sleep(1)
        began_s = time.monotonic()
        urllib.request.urlopen(f"{server.url}/livez", timeout=5).close()
        assert time.monotonic() - began_s < 2
    answers, code, hello_s = hello.result()
    assert code == 1013, answers
    assert '"unavailable"' in answers
    status, session_s = session.result()
    assert status == 503
    assert max(hello_s, session_s, asked.result()) < ENDS_WITHIN_S
    assert not any(client_id in one.acks for one in tabs)


@pytest.mark.parametrize("name", CASES)
def test_every_request_ends_in_time_and_all_is_well_afterwards(
    quick_system, server, tabs, name
):
    body = {"site": "demo", "renewal": tabs[0].renewal}
    token = server.post("/widget/session", body)["token"]
    client_id = f"client-{name}-{uuid4().hex}"
    with FAULTS[name].inject(quick_system, Random(1)):
        check_refusals(server, tabs, token, client_id)
    assert ask_until_acknowledged(tabs[0], client_id) < BACK_WITHIN_S
    for one in tabs[1:]:
        ask_until_acknowledged(one, client_id)
    for one in tabs:
        one.receive_outcomes(1, 60)
    assert post_session(server)[0] == 200
    [(number,)] = quick_system.stack.execute(
        "SELECT count(*) FROM support_message WHERE client_id = ?", client_id
    )
    assert number == NUM_TABS
