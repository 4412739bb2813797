"""The promises in embedded mode, with a real server that is really killed."""

import os
import random
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed

from support.chat.turns import MAX_CLAIMS
from tests.system.server import Visitor

NUM_KILLS = int(os.environ.get("KILL_ROUNDS") or 6)
NUM_RELOADS = 20
# no digits: a number that was not in the prompt would be taken back as invented
WORDS = " ".join(a + b + "o" for a in "bdfklmnprs" for b in "aeioux")
SLOW_WORDS = "\n".join(f'say "{word} "\npause 0.03' for word in WORDS.split())


@pytest.fixture
def dice():
    """Return random dice; their seed is printed when a test fails, to repeat it."""
    seed = int(os.environ.get("TEST_SEED") or random.randrange(10**6))
    print(f"TEST_SEED={seed}")  # noqa: T201
    return random.Random(seed)


def count_messages(server, role: str) -> int:
    [(number,)] = server.execute(
        "SELECT count(*) FROM support_message WHERE role = ?", role
    )
    return number


def test_a_reply_survives_the_death_of_the_server(server, visitor):
    server.use_scripts(SLOW_WORDS)
    server.start()
    one = visitor()
    one.ask("count")
    for _ in range(5):
        one.receive_until("delta")
    server.kill()
    server.start()
    one.connect()
    done = one.receive_until("done")
    assert done["message"]["content"].split() == WORDS.split()
    assert done["attempt"] == 2
    one.check_views()


def test_many_kills_lose_no_acked_message_and_double_none(server, visitor, dice):
    server.use_scripts('say "fine "\npause 0.1\nsay thanks')
    server.start()
    one = visitor()
    sent: dict[str, str] = {}
    for round_number in range(NUM_KILLS):
        client_id = f"client-{round_number:04}-x"
        sent[client_id] = f"message {round_number}"
        try:
            one.ask(sent[client_id], client_id)
            one.receive_all(dice.uniform(0.0, 0.25))
        except ConnectionClosed:
            pass
        server.kill()
        server.start()
        one.connect()
        for known, content in sent.items():  # what has no ack is sent again
            if known not in one.acks:
                one.ask(content, known)
        one.receive_until("ack") if client_id not in one.acks else None
    one.receive_outcomes(len(sent))
    stored = [m for m in one.messages.values() if m["role"] == "user"]
    assert {m["client_id"]: m["content"] for m in stored} == sent
    assert sorted(one.messages) == list(range(1, 2 * len(sent) + 1))
    # a turn whose worker died with it each time it was claimed gets an apology
    unanswered = server.execute(
        "SELECT state, num_claims FROM support_turn WHERE state <> 'answered'"
        " AND NOT (state = 'failed' AND num_claims >= ?)",
        MAX_CLAIMS,
    )
    assert unanswered == []
    assert count_messages(server, "assistant") == len(sent)
    one.check_views()


def test_a_reload_at_any_point_loses_and_repeats_nothing(server, visitor, dice):
    server.use_scripts(SLOW_WORDS.replace("pause 0.03", "pause 0.1"))
    server.start()
    one = visitor()
    one.ask("count")
    turn = one.receive_until("turn")["turn"]
    num_reloads = 0
    for point in sorted(dice.sample(range(len(WORDS)), NUM_RELOADS)):
        while turn not in one.finals and len(one.shown_text(turn)) < point:
            one.receive()  # asserts on every delta that it continues at the character
        num_reloads += turn not in one.finals
        one.connect()
    one.receive_outcomes(1)
    [done, *_] = one.finals[turn]
    assert (done["attempt"], done["message"]["content"].strip()) == (1, WORDS)
    one.check_views()
    assert num_reloads >= NUM_RELOADS / 2  # the others came too late, on a busy machine


def test_stop_ends_the_reply_soon_and_never_the_next_one(server, visitor):
    server.use_scripts(SLOW_WORDS, 'say "second reply"')
    server.start()
    one = visitor()
    one.ask("count")
    turn = one.receive_until("delta")["turn"]
    sent_s = time.monotonic()
    one.send(type="stop", turn=turn, attempt=1)
    stopped = one.receive_until("done")
    assert time.monotonic() - sent_s < 1
    one.send(type="stop", turn=turn, attempt=1)
    one.ask("next")
    answered = one.receive_until("done")
    assert (stopped["state"], answered["state"]) == ("stopped", "answered")
    assert stopped["message"]["content"] == one.shown[turn][1].rstrip() + " "
    one.check_views()


def test_fifty_sockets_with_one_frame_store_one_message(server, visitor):
    server.settings["SOCKETS_PER_CONVERSATION"] = "60"
    server.settings["SOCKETS_PER_ADDRESS"] = "60"
    server.use_scripts("say once")
    server.start()
    first = visitor()
    tabs = [first]
    for _ in range(49):
        tab = Visitor.__new__(Visitor)
        tab.__dict__ |= first.__dict__ | {
            "socket": None, "messages": {}, "shown": {}, "views": {}, "finals": {},
            "acks": {},
        }  # fmt: skip
        tab.connect()
        tabs.append(tab)
    barrier = threading.Barrier(len(tabs))

    def press_send(tab: Visitor) -> None:
        barrier.wait()
        tab.ask("hello", "client-of-all")
        tab.receive_until("ack")

    threads = [threading.Thread(target=press_send, args=(tab,)) for tab in tabs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for tab in tabs[1:]:
        tab.disconnect()
    acks = {str(tab.acks["client-of-all"]) for tab in tabs}
    assert len(acks) == 1
    assert server.execute("SELECT count(*) FROM support_turn") == [(1,)]
    assert count_messages(server, "user") == 1


def test_all_observers_see_one_order_and_nobody_elses_text(server, visitor):
    server.use_scripts("echo")
    server.start()
    visitors = [visitor() for _ in range(6)]
    for number, one in enumerate(visitors):
        for message in range(3):
            one.ask(f"nonce-{number} message {message}")
    for number, one in enumerate(visitors):
        one.receive_outcomes(3)
        texts = str(list(one.messages.values())) + str(one.views)
        assert f"nonce-{number}" in texts
        others = {f"nonce-{other}" for other in range(6) if other != number}
        assert not [nonce for nonce in others if nonce in texts]
    replayed = Visitor.__new__(Visitor)
    replayed.__dict__ |= visitors[0].__dict__ | {"socket": None, "messages": {}}
    replayed.connect()
    replayed.receive_until("replay_done")
    replayed.disconnect()
    assert replayed.messages == visitors[0].messages


def test_ctrl_c_stops_cleanly(server, visitor):
    server.use_scripts("say hi")
    server.start()
    visitor().ask("hello")
    assert server.interrupt() == 0
    assert "Traceback" not in server.read_log()


def test_the_password_is_printed_once(server):
    assert server.password  # printed when it was set up
    assert "password" not in server.manage("setup", "--no-samples")
