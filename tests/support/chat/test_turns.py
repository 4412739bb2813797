"""Who may have a turn, and who may end it."""

import os
import threading

import pytest
from django.db import connection

from support.chat import answering, reaper, turns
from support.models import Attempt, Message, Notice, Turn, TurnState
from tests.factories import (
    change_turn,
    contents,
    make_backend,
    make_conversation,
    make_turn,
    past,
)


def claim(turn_id) -> Turn:
    claimed = turns.claim(turn_id)
    assert claimed is not None
    return claimed


ANSWER = turns.Reply(TurnState.ANSWERED, "the answer")


@pytest.mark.django_db
class TestClaim:
    def test_makes_the_attempt_one_larger(self):
        claimed = claim(make_turn().id)
        assert (claimed.state, claimed.attempt) == (TurnState.RUNNING, 1)

    def test_is_refused_while_the_lease_holds(self):
        turn = make_turn()
        claim(turn.id)
        assert turns.claim(turn.id) is None

    def test_is_granted_after_the_lease(self):
        turn = make_turn()
        claim(turn.id)
        change_turn(turn, lease_until=past(1))
        assert claim(turn.id).attempt == 2

    @pytest.mark.parametrize("num_claims", [3, 4])
    def test_is_refused_after_three_workers(self, num_claims):
        turn = change_turn(make_turn(), num_claims=num_claims)
        assert turns.claim(turn.id) is None

    def test_waits_for_the_earlier_question(self):
        conversation = make_conversation()
        first, second = make_turn(conversation), make_turn(conversation)
        assert turns.claim(second.id) is None
        turns.finish(claim(first.id), ANSWER)
        assert turns.claim(second.id) is not None

    def test_of_a_deleted_turn_is_quiet(self):
        turn = make_turn()
        Turn.objects.all().delete()
        assert turns.claim(turn.id) is None


@pytest.mark.django_db
class TestFencing:
    def test_a_replaced_worker_cannot_finish(self):
        turn = make_turn()
        old = claim(turn.id)
        change_turn(turn, lease_until=past(1))
        new = claim(turn.id)
        assert not turns.finish(old, turns.Reply(TurnState.ANSWERED, "late"))
        assert turns.finish(new, ANSWER)
        assert contents(turn.conversation)[1:] == [(2, "assistant", "the answer")]

    def test_a_turn_ends_once(self):
        claimed = claim(make_turn().id)
        assert turns.finish(claimed, ANSWER)
        assert not turns.finish(claimed, ANSWER)
        assert Message.objects.count() == 2

    def test_a_replaced_worker_cannot_keep_a_checkpoint(self):
        turn = make_turn()
        old = claim(turn.id)
        change_turn(turn, lease_until=past(1))
        claim(turn.id)
        assert not turns.save_checkpoint(old, "late")

    def test_a_replaced_worker_learns_it_from_the_watch(self):
        turn = make_turn()
        claimed = claim(turn.id)
        assert turns.find_lost({turn.id: claimed.attempt}) == set()
        change_turn(turn, attempt=2)
        assert turns.find_lost({turn.id: claimed.attempt}) == {turn.id}


@pytest.mark.django_db(transaction=True)
def test_of_many_claims_at_once_one_wins():
    turn = make_turn()
    claims, barrier = [], threading.Barrier(8)

    def race():
        barrier.wait()
        claims.append(turns.claim(turn.id))
        connection.close()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([claimed for claimed in claims if claimed]) == 1


def run_reaper() -> None:
    """Run a worker's reaper for one round."""
    thread = reaper.Reaper()
    thread.start()
    thread.stop()


@pytest.mark.django_db(transaction=True)
class TestReaper:
    def test_leaves_fresh_turns_alone(self):
        make_turn()
        assert reaper.reap() == []

    def test_publishes_a_lost_job_again(self):
        turn = change_turn(make_turn(), published_at=past(4))
        assert reaper.reap() == [turn.id]
        assert reaper.reap() == []

    def test_leaves_a_question_alone_that_waits_for_another(self):
        conversation = make_conversation()
        first, second = make_turn(conversation), make_turn(conversation)
        turns.claim(first.id)
        change_turn(second, published_at=past(10))
        assert reaper.reap() == []

    def test_repeats_the_job_of_a_busy_queue_ever_more_rarely(self):
        turn = change_turn(make_turn(), created_at=past(30), published_at=past(10))
        assert reaper.reap() == []
        change_turn(turn, published_at=past(16))
        assert reaper.reap() == [turn.id]

    def test_takes_over_a_dead_workers_turn(self):
        make_backend("say rescued")
        turn = make_turn()
        claim(turn.id)
        change_turn(turn, lease_until=past(1))
        assert reaper.reap() == [turn.id]
        answering.produce(turn.id)
        assert contents(turn.conversation)[-1][2] == "rescued"

    def test_gives_up_in_the_open_after_three_workers(self):
        turn = make_turn()
        change_turn(
            turn, state=TurnState.RUNNING, num_claims=3, lease_until=past(1), attempt=3
        )
        assert reaper.reap() == [turn.id]
        turn = Turn.objects.get()
        assert turn.state == TurnState.FAILED
        assert turn.reply.notice == Notice.REPLY_FAILED

    def test_a_worker_that_comes_back_finds_its_turn_given_up(self):
        turn = make_turn()
        late = claim(turn.id)
        change_turn(turn, num_claims=3, lease_until=past(1))
        reaper.reap()
        assert not turns.finish(late, ANSWER)
        assert Message.objects.count() == 2

    def test_touches_the_file_that_says_that_a_worker_lives(self, settings, tmp_path):
        settings.ALIVE_PATH = str(tmp_path / "alive")
        (tmp_path / "alive").touch()
        os.utime(settings.ALIVE_PATH, (0, 0))
        run_reaper()
        assert os.stat(settings.ALIVE_PATH).st_mtime > 0

    def test_makes_no_such_file_before_the_worker_takes_jobs(self, settings, tmp_path):
        settings.ALIVE_PATH = str(tmp_path / "alive")
        run_reaper()
        assert not (tmp_path / "alive").exists()

    def test_closes_the_calls_of_a_dead_worker(self):
        turn = make_turn()
        claimed = claim(turn.id)
        Attempt.objects.create(
            turn=turn, number=1, turn_attempt=claimed.attempt, backend="dead",
            queue_ms=1, started_at=past(20),
        )  # fmt: skip
        change_turn(turn, lease_until=past(1))
        claim(turn.id)
        assert Attempt.objects.get().outcome == "lost"


def make_suspect(num_claims=2) -> Turn:
    """A turn whose last worker died long ago."""
    return change_turn(
        make_turn(), state=TurnState.RUNNING, num_claims=num_claims, attempt=num_claims,
        lease_until=past(1), created_at=past(60), published_at=past(20),
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
class TestLastTry:
    def test_is_rung_for_one_turn_at_a_time(self):
        suspects = {make_suspect().id, make_suspect().id}
        [first] = reaper.reap()
        assert reaper.reap() == []
        Turn.objects.filter(pk=first).update(published_at=past(4))
        [second] = reaper.reap()
        assert {first, second} == suspects

    def test_waits_while_another_runs(self):
        suspect, other = make_suspect(), make_suspect()
        claim(other.id)
        assert reaper.reap() == []
        assert turns.claim(suspect.id) is None
        change_turn(other, lease_until=past(1), published_at=past(4))
        assert set(reaper.reap()) == {suspect.id, other.id}  # the other is given up
        assert claim(suspect.id).attempt == 3

    def test_keeps_no_other_turn_waiting(self):
        claim(make_suspect().id)
        younger = make_suspect(num_claims=1)
        assert reaper.reap() == [younger.id]
        assert claim(younger.id).attempt == 2
