"""A reply goes on while the database is away."""

from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from support.chat import answering, patience
from support.chat.reaper import reap
from support.models import Attempt, AttemptOutcome, TurnState
from tests.factories import change_turn, contents, make_backend, make_turn, past

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(patience, "_PAUSE_S", 0.01)
    yield
    patience.patience.begin()


@contextmanager
def away_for(statement: str, times: int):
    """Let the first so many statements of a kind fail, as on a lost connection."""
    failed = []

    def execute(run, sql, params, many, context):
        if statement in sql and len(failed) < times:
            failed.append(sql)
            raise OperationalError("server closed the connection unexpectedly")
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield failed


@pytest.mark.parametrize(
    "statement", ['INSERT INTO "support_message"', 'SET "state" = %s, "reply_id" = ']
)
def test_the_end_of_a_reply_is_stored_once(statement):
    make_backend("say Yes.")
    turn = make_turn(content="Is it?")
    with away_for(statement, times=2):
        answering.produce(turn.id)
    assert contents(turn.conversation) == [
        (1, "user", "Is it?"),
        (2, "assistant", "Yes."),
    ]


def test_the_ledger_is_closed_once():
    make_backend("say Yes.")
    turn = make_turn()
    with away_for('SET "model"', times=3) as failed:
        answering.produce(turn.id)
    assert Attempt.objects.get().outcome == AttemptOutcome.COMPLETED
    assert len(failed) == 3


def test_a_reply_that_cannot_be_saved_yet_goes_on():
    make_backend('say "One "\npause 1.1\nsay "two "\npause 0.1\nsay three.')
    turn = make_turn()
    with away_for('SET "checkpoint"', times=9) as failed:
        answering.produce(turn.id)
    turn.refresh_from_db()
    assert (turn.reply.content, turn.attempt) == ("One two three.", 1)
    assert len(failed) == 1


def test_a_reset_waits_for_the_database():
    make_backend("say half\nfail InvalidResponse", name="a")
    make_backend("say from b", name="b", position=20)
    turn = make_turn()
    with away_for('SET "attempt"', times=1):
        answering.produce(turn.id)
    turn.refresh_from_db()
    assert (turn.reply.content, turn.attempt) == ("from b", 2)


def test_a_worker_that_has_to_end_waits_no_more():
    make_backend("say Yes.")
    turn = make_turn()
    patience.patience.end()
    with (
        away_for('INSERT INTO "support_message"', times=9) as failed,
        pytest.raises(OperationalError),
    ):
        answering.produce(turn.id)
    assert len(failed) == 1


def test_workers_that_live_may_extend_their_leases_first():
    turn = make_turn()
    change_turn(turn, state=TurnState.RUNNING, lease_until=past(1))
    assert reap(was_away=True) == []
    assert reap() == [turn.id]
