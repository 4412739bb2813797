"""The promises in embedded mode, with a real server that is really killed."""

import os
import threading

from websockets.exceptions import ConnectionClosed

from support.chat.turns import MAX_CLAIMS
from tests.system.server import Visitor
from tests.system.stack import WORDS, slow

NUM_KILLS = int(os.environ.get("KILL_ROUNDS") or 6)


def count_messages(server, role: str) -> int:
    [(number,)] = server.execute(
        "SELECT count(*) FROM support_message WHERE role = ?", role
    )
    return number


def test_a_reply_survives_the_death_of_the_server(server, visitor):
    server.use_scripts(slow(0.03))
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


def test_ctrl_c_stops_cleanly(server, visitor):
    server.use_scripts("say hi")
    server.start()
    visitor().ask("hello")
    assert server.interrupt() == 0
    assert "Traceback" not in server.read_log()


def test_the_password_is_printed_once(server):
    assert server.password  # printed when it was set up
    assert "password" not in server.manage("setup", "--no-samples")
