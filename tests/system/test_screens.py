"""What a visitor sees of replies, whatever the tab does; one server for all of it."""

import time

import pytest

from tests.system.server import Visitor
from tests.system.stack import WORDS, slow

NUM_RELOADS = 20


@pytest.fixture(scope="module")
def server(scripted_server):
    return scripted_server


def test_a_reload_at_any_point_loses_and_repeats_nothing(server, visitor, dice):
    server.use_scripts(slow(0.1))
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
    server.use_scripts(slow(0.03), 'say "second reply"')
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


def test_all_observers_see_one_order_and_nobody_elses_text(server, visitor):
    server.use_scripts("echo")
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
