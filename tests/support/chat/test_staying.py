"""Conversations stay with their backend; trials begin, are judged and rolled back."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from inference.models import Backend, BackendEvent, Canary, CanaryState
from inference.rules import end_trial, read_rules
from support.chat import answering, trials
from support.models import Attempt, AttemptOutcome, Conversation, Rating, Turn
from tests.factories import make_attempt, make_backend, make_conversation, make_turn

pytestmark = pytest.mark.django_db(transaction=True)


def ask(conversation):
    turn = make_turn(conversation)
    answering.produce(turn.id)
    return Turn.objects.select_related("reply", "conversation").get(pk=turn.pk)


@pytest.fixture
def old():
    return make_backend("say old", name="old", position=10)


@pytest.fixture
def new():
    return make_backend("say new", name="new", position=20)


def lead(row):
    """Make a backend the default."""
    row.position = 1
    row.save()


def test_a_conversation_stays_when_the_default_changes(old, new):
    conversation = make_conversation()
    assert ask(conversation).reply.content == "old"
    lead(new)
    turn = ask(conversation)
    assert turn.reply.content == "old"
    assert turn.trace[0] == "Asked old first: the conversation stays with it."
    assert ask(make_conversation()).reply.content == "new"


def test_it_moves_on_when_its_backend_is_switched_off(old, new):
    conversation = make_conversation()
    ask(conversation)
    Backend.objects.filter(name="old").update(is_enabled=False)
    assert ask(conversation).conversation.backend == "new"


def test_it_moves_on_when_its_backend_fails(old, new):
    conversation = make_conversation()
    ask(conversation)
    old.options = {"scripts": ["fail RequestRejected"]}
    old.save()
    assert ask(conversation).reply.content == "new"
    old.options = {"scripts": ["say back"]}
    old.save()
    assert ask(conversation).reply.content == "new"


def test_one_that_got_no_answer_stays_nowhere():
    make_backend("fail InvalidResponse")
    assert ask(make_conversation()).conversation.backend == ""


def test_those_who_share_a_position_answer_in_turn(old, new):
    Backend.objects.update(position=5)
    replies = {ask(make_conversation()).reply.content for _ in range(12)}
    assert replies == {"old", "new"}


class TestTrials:
    @pytest.fixture
    def canary(self, old, new):
        return Canary.objects.create(
            candidate=new, share_percent=100, min_replies=2, max_ttft_s=None
        )

    def test_its_share_of_new_conversations_goes_there(self, canary):
        conversation = make_conversation()
        turn = ask(conversation)
        assert turn.reply.content == "new"
        assert turn.trace[0] == (
            "Asked new first: it is on trial with 100 % of new conversations."
        )
        assert ask(conversation).trace[0].endswith("the conversation stays with it.")

    def test_what_began_before_stays_where_it_was(self, canary):
        conversation = make_conversation()
        Conversation.objects.update(backend="old")
        assert ask(conversation).reply.content == "old"

    def test_a_good_candidate_goes_on(self, canary):
        for _ in range(3):
            ask(make_conversation())
        assert not trials.judge_trials()
        assert read_rules().trial.candidate == "new"

    def test_a_candidate_that_fails_is_rolled_back(self, canary):
        failing = {"scripts": ["fail InvalidResponse"]}
        Backend.objects.filter(name="new").update(options=failing)
        for _ in range(2):
            assert ask(make_conversation()).reply.content == "old"
        assert trials.judge_trials()
        canary.refresh_from_db()
        assert canary.state == CanaryState.ROLLED_BACK
        assert canary.reason == "100.0 % of its calls failed, more than 5 %"
        assert canary.ended_at is not None

    def test_its_conversations_move_on(self, canary):
        conversation = make_conversation()
        ask(conversation)
        end_trial(canary, CanaryState.ROLLED_BACK, "too slow")
        turn = ask(conversation)
        assert turn.reply.content == "old"
        assert turn.conversation.backend == "old"

    def test_a_later_trial_is_a_new_chance(self, canary):
        end_trial(canary, CanaryState.ROLLED_BACK, "too slow")
        Canary.objects.create(candidate=canary.candidate)
        assert read_rules().distrusted == frozenset()

    def test_every_step_is_written_down(self, canary):
        end_trial(canary, CanaryState.ROLLED_BACK, "too slow")
        assert not end_trial(canary, CanaryState.STOPPED, "by hand")
        events = BackendEvent.objects.order_by("at").values_list("kind", "text")
        assert list(events) == [
            ("canary_started", "100 % of new conversations"),
            ("canary_ended", "rolled back: too slow"),
        ]

    def test_there_is_one_at_a_time(self, canary, old):
        with pytest.raises(IntegrityError):
            Canary.objects.create(candidate=old)

    def test_its_own_replies_are_counted(self, canary):
        conversation = make_conversation()
        for rating in (Rating.DOWN, Rating.UP):
            turn = ask(conversation)
            turn.reply.rating = rating
            turn.reply.save()
        conversation.waiting_since = timezone.now()
        conversation.save(update_fields=["waiting_since"])
        ask(make_conversation())
        drill = make_conversation()
        Conversation.objects.filter(pk=drill.pk).update(is_synthetic=True)
        ask(drill)
        stopped = make_turn(make_conversation())
        make_attempt(stopped, backend="new", outcome=AttemptOutcome.CANCELLED)
        record = trials.read_record("new", canary.started_at)
        assert (record.num_calls, record.num_errors, record.num_replies) == (3, 0, 3)
        assert (record.num_thumbs_down, record.num_handoffs) == (1, 1)
        assert record.num_conversations == 2
        assert len(record.ttfts_ms) == 3

    def test_what_was_before_the_trial_does_not_count(self, canary):
        ask(make_conversation())
        Attempt.objects.update(started_at=timezone.now() - timedelta(days=1))
        assert trials.read_record("new", canary.started_at).num_replies == 0

    @pytest.mark.parametrize(("has_trial", "num_queries"), [(False, 1), (True, 4)])
    def test_judging_takes_few_queries(
        self, canary, has_trial, num_queries, django_assert_num_queries
    ):
        if not has_trial:
            Canary.objects.all().delete()
        with django_assert_num_queries(num_queries):
            trials.judge_trials()


def test_old_events_are_forgotten_once_an_hour():
    for days in (89, 91):
        at = timezone.now() - timedelta(days=days)
        BackendEvent.objects.create(backend="b", kind="spill_began", at=at)
    thread = trials.Trials()
    thread.do_round()
    assert BackendEvent.objects.count() == 1
    BackendEvent.objects.update(at=timezone.now() - timedelta(days=91))
    thread.do_round()
    assert BackendEvent.objects.count() == 1


def test_a_worker_that_was_lost_is_said(old):
    turn = make_turn()
    make_attempt(turn, backend="old", outcome=AttemptOutcome.LOST)
    Turn.objects.filter(pk=turn.pk).update(attempt=1, num_claims=1)
    answering.produce(turn.id)
    assert Turn.objects.get(pk=turn.pk).trace == [
        "A worker was lost while old answered.", "Asked old.", "old answered.",
    ]  # fmt: skip
