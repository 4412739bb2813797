"""Switching backends in the admin of a running server, while people are chatting."""

from datetime import UTC, datetime

import pytest

from tests.system.staff import Staff

LIMIT_S = 2.0


@pytest.fixture(scope="module")
def server(scripted_server):
    """One server for all tests of this file, as logging in takes seconds too."""
    return scripted_server


@pytest.fixture(scope="module")
def logged_in(server):
    staff = Staff(server)
    yield staff
    staff.close()


@pytest.fixture
def staff(server, logged_in):
    server.use_scripts("say old")
    return logged_in


def ask(visitor) -> str:
    """Ask a question; return the answer."""
    visitor.ask("Who answers?")
    return visitor.receive_until("done")["message"]["content"]


def read_calls(server) -> list[tuple[str, datetime]]:
    """Return which backend was called, and when, from the ledger."""
    calls = server.execute(
        "SELECT backend, started_at FROM support_attempt ORDER BY started_at"
    )
    return [
        (name, datetime.fromisoformat(at).replace(tzinfo=UTC)) for name, at in calls
    ]


def read_ids(server) -> dict[str, int]:
    return dict(server.execute("SELECT name, id FROM inference_backend"))


def test_a_changed_backend_answers_within_two_seconds(server, visitor, staff):
    one = visitor()
    assert ask(one) == "old"
    pk = read_ids(server)["scripted"]
    staff.save_backend(f"{pk}/change/", "renamed", "say new", position=10)
    assert ask(one) == "new"
    *_, (_, before), (name, after) = read_calls(server)
    assert name == "renamed"
    assert before < staff.saved_at
    assert 0 <= (after - staff.saved_at).total_seconds() < LIMIT_S


def test_a_new_order_counts_within_two_seconds(server, visitor, staff):
    staff.save_backend("add/", "second", "say second", position=20)
    one = visitor()
    assert ask(one) == "old"
    ids = read_ids(server)
    staff.save_positions({ids["scripted"]: 20, ids["second"]: 10})
    assert ask(visitor()) == "second"
    name, at = read_calls(server)[-1]
    assert name == "second"
    assert 0 <= (at - staff.saved_at).total_seconds() < LIMIT_S


def test_a_reply_in_progress_is_not_cut_by_a_switch(server, visitor, staff):
    pk = read_ids(server)["scripted"]
    slow = 'say "old "\npause 0.8\nsay reply'
    staff.save_backend(f"{pk}/change/", "scripted", slow, position=10)
    one, other = visitor(), visitor()
    one.ask("Who answers?")
    one.receive_until("delta")
    staff.save_backend("add/", "second", "say second", position=5)
    assert ask(other) == "second"
    assert one.receive_until("done")["message"]["content"] == "old reply"
    one.check_views()


def test_a_switch_amid_twenty_conversations_loses_none(server, visitor, staff):
    pk = read_ids(server)["scripted"]
    slow = 'say "old "\npause 1.5\nsay reply'
    staff.save_backend(f"{pk}/change/", "scripted", slow, position=10)
    staff.save_backend("add/", "second", "say second", position=20)
    running = [visitor() for _ in range(20)]
    for one in running:
        one.ask("Who answers?")
    for one in running[:10]:
        one.receive_until("delta")
    ids = read_ids(server)
    staff.save_positions({ids["scripted"]: 20, ids["second"]: 10})
    assert ask(visitor()) == "second"
    at = next(at for name, at in read_calls(server)[::-1] if name == "second")
    assert 0 <= (at - staff.saved_at).total_seconds() < LIMIT_S
    for one in running:
        one.receive_outcomes(1, 30)
        one.check_views()
    [contents] = {
        tuple(final[-1]["message"]["content"] for final in one.finals.values())
        for one in running[:10]
    }
    assert contents == ("old reply",)
    states = server.execute("SELECT DISTINCT state FROM support_turn")
    assert states == [("answered",)]
    staff.save_backend(f"{pk}/change/", "scripted", "say old again", position=20)
    assert ask(running[0]) == "old again"
