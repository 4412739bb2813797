"""Turns go to the workers that should answer them, and never back and forth."""

import pytest
from django.utils import timezone

from inference import registry, routes
from inference.models import Backend, BackendEvent, BackendKind, EventKind, Queue
from support.chat import answering, dispatch
from support.chat.reaper import reap
from support.models import Attempt, Conversation, QueuePulse, Turn, TurnState
from support.monitoring import metrics
from tests.factories import (
    change_turn,
    make_backend,
    make_conversation,
    make_turn,
    past,
)
from tests.inference import busy_model

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = {Queue.LOCAL, Queue.CLOUD}


@pytest.fixture(autouse=True)
def _models_are_scripted(monkeypatch):
    path = busy_model.__name__
    monkeypatch.setitem(registry._MODULES, BackendKind.LLAMA_CPP, path)
    monkeypatch.setattr(busy_model, "foreseen_s", {})


@pytest.fixture
def model():
    """A local model that comes first and wants to answer within two seconds."""
    return Backend.objects.create(
        name="model", kind=BackendKind.LLAMA_CPP, position=1, target_ttft_s=2.0
    )


@pytest.fixture
def api():
    return make_backend("say from there", name="api", position=2)


def show_life(*queues):
    for queue in queues:
        QueuePulse.objects.update_or_create(
            queue=queue, defaults={"took_at": timezone.now()}
        )
    dispatch.forget_live_queues()


def serve(*queues):
    """Be a worker of these queues."""
    registry.registry.queues = frozenset(queues)
    registry.close()


def choose(conversation=None):
    routes.forget_outlook()
    dispatch.forget_live_queues()
    return dispatch.choose_queue(conversation or make_conversation())


def answer(turn):
    answering.produce(turn.id)
    return Turn.objects.select_related("reply", "conversation").get(pk=turn.pk)


def report_spill(is_on):
    registry.registry.board.report("a worker", {"model": is_on})


class TestQueue:
    def test_it_is_that_of_the_first_backend(self, model, api):
        assert choose() == Queue.LOCAL

    def test_a_conversation_goes_where_it_stays(self, model, api):
        conversation = make_conversation()
        conversation.backend = "api"
        assert choose(conversation) == Queue.CLOUD

    def test_what_is_private_goes_where_it_may_be_answered(self, model):
        Backend.objects.create(
            name="far", kind=BackendKind.OPENAI_COMPATIBLE, position=0
        )
        conversation = make_conversation()
        assert choose(conversation) == Queue.CLOUD
        conversation.is_private = True
        assert choose(conversation) == Queue.LOCAL

    def test_a_spilling_model_is_passed_over(self, model, api):
        report_spill(True)
        assert choose() == Queue.CLOUD
        report_spill(False)
        assert choose() == Queue.LOCAL

    def test_a_spilling_model_that_is_alone_is_waited_for(self, model):
        report_spill(True)
        assert choose() == Queue.LOCAL

    def test_a_queue_without_workers_is_passed_over(self, model, api):
        show_life(Queue.CLOUD)
        assert choose() == Queue.CLOUD
        show_life(*BOTH)
        assert choose() == Queue.LOCAL

    def test_a_worker_that_is_full_is_there(self, model, api):
        show_life(Queue.CLOUD)
        QueuePulse.objects.create(queue=Queue.LOCAL, full_at=timezone.now())
        assert choose() == Queue.LOCAL

    def test_what_is_known_is_not_asked_again(self, model, django_assert_num_queries):
        conversation = make_conversation()
        choose(conversation)
        with django_assert_num_queries(0):
            dispatch.choose_queue(conversation)
            dispatch.look_around()

    def test_the_look_of_the_last_job_is_good_enough(
        self, model, api, monkeypatch, django_assert_num_queries
    ):
        conversation = make_conversation()
        choose(conversation)
        Backend.objects.filter(name="api").update(position=0)  # by another process
        monkeypatch.setattr(routes, "OUTLOOK_S", 0)
        with django_assert_num_queries(0):
            assert dispatch.choose_queue(conversation) == Queue.LOCAL
        dispatch.look_around()
        with django_assert_num_queries(0):
            assert dispatch.choose_queue(conversation) == Queue.CLOUD

    def test_an_old_look_is_not(self, model, api, monkeypatch):
        conversation = make_conversation()
        choose(conversation)
        Backend.objects.filter(name="api").update(position=0)
        monkeypatch.setattr(routes, "STALE_S", 0)
        assert dispatch.choose_queue(conversation) == Queue.CLOUD

    def test_a_change_in_the_admin_counts_at_once_there(self, model, api):
        assert dispatch.choose_queue(make_conversation()) == Queue.LOCAL
        api.position = 0
        api.save()
        assert dispatch.choose_queue(make_conversation()) == Queue.CLOUD


class TestSpill:
    def test_the_worker_of_both_queues_calls_the_next_itself(self, model, api):
        busy_model.foreseen_s["model"] = 4.2
        turn = answer(make_turn())
        assert turn.reply.content == "from there"
        assert (turn.spilled_from, turn.conversation.backend) == ("model", "")
        assert turn.trace == [
            "Passed over model: its first word was foreseen after 4.2 s, later than "
            "its target of 2 s.",
            "Asked api.",
            "api answered.",
        ]

    def test_it_is_counted_and_written_down(self, model, api):
        metrics.watch_calls()
        before = metrics.SPILLED.labels("model")._value.get()
        busy_model.foreseen_s["model"] = 4.2
        answer(make_turn())
        answer(make_turn())
        assert metrics.SPILLED.labels("model")._value.get() == before + 2
        event = BackendEvent.objects.get()
        assert event.kind == EventKind.SPILL_BEGAN
        assert event.text == "first word foreseen: 4.2 s, target: 2 s"

    def test_the_worker_of_models_leaves_it_to_those_of_apis(self, model, api):
        show_life(*BOTH)
        serve(Queue.LOCAL)
        busy_model.foreseen_s["model"] = 4.2
        turn = make_turn()
        assert answering.produce(turn.id) == turn.id
        turn = Turn.objects.get(pk=turn.pk)
        assert (turn.state, turn.queue) == (TurnState.QUEUED, Queue.CLOUD)
        assert (turn.spilled_from, turn.num_claims) == ("model", 0)
        serve(Queue.CLOUD)
        turn = answer(turn)
        assert turn.reply.content == "from there"
        assert turn.conversation.backend == ""
        assert turn.trace[1:] == [
            "Left it to the workers of api.",
            "Asked api first: the question was left to its workers.",
            "api answered.",
        ]

    def test_without_such_workers_it_calls_them_itself(self, model, api):
        show_life(Queue.LOCAL)
        serve(Queue.LOCAL)
        busy_model.foreseen_s["model"] = 4.2
        assert answer(make_turn()).reply.content == "from there"

    def test_it_comes_back_once_when_the_apis_fail(self, model, api):
        Backend.objects.filter(name="api").update(
            options={"scripts": ["fail RequestRejected"]}
        )
        show_life(*BOTH)
        serve(Queue.LOCAL)
        busy_model.foreseen_s["model"] = 4.2
        turn = make_turn()
        answering.produce(turn.id)
        serve(Queue.CLOUD)
        answering.produce(turn.id)
        assert Turn.objects.get(pk=turn.pk).queue == Queue.LOCAL
        serve(Queue.LOCAL)
        turn = answer(turn)
        assert (turn.reply.content, turn.state) == ("from here", TurnState.ANSWERED)
        calls = Attempt.objects.order_by("number").values_list("backend", "number")
        assert list(calls) == [("api", 1), ("model", 2)]

    def test_when_all_fail_it_comes_to_an_end(self, model, api):
        failing = {"scripts": ["fail RequestRejected"]}
        Backend.objects.update(options=failing)
        show_life(*BOTH)
        busy_model.foreseen_s["model"] = 4.2
        turn = make_turn()
        for queue in (Queue.LOCAL, Queue.CLOUD, Queue.LOCAL):
            serve(queue)
            answering.produce(turn.id)
        turn = Turn.objects.get(pk=turn.pk)
        assert turn.state == TurnState.FAILED
        assert Attempt.objects.count() == 2

    def test_what_is_private_waits(self, model):
        Backend.objects.create(
            name="far", kind=BackendKind.OPENAI_COMPATIBLE, position=2
        )
        show_life(*BOTH)
        serve(Queue.LOCAL)
        busy_model.foreseen_s["model"] = 4.2
        conversation = make_conversation()
        Conversation.objects.update(is_private=True)
        assert answer(make_turn(conversation)).reply.content == "from here"

    def test_the_watch_tells_those_who_queue_jobs(self, model, api):
        answer(make_turn())
        busy_model.foreseen_s["model"] = 4.2
        routes.report_spills("a worker")
        assert choose() == Queue.CLOUD
        Backend.objects.filter(name="model").update(target_ttft_s=9.0)
        answer(make_turn())
        busy_model.foreseen_s["model"] = 1.0
        registry.registry.router.spills._clock = lambda: 1e9
        routes.report_spills("a worker")
        assert choose() == Queue.LOCAL


class TestWorkerForApis:
    """A job came here on old news, though a model comes first."""

    def test_leaves_it_to_the_workers_of_the_model(self, model, api):
        show_life(*BOTH)
        serve(Queue.CLOUD)
        turn = make_turn()
        answering.produce(turn.id)
        turn = Turn.objects.get(pk=turn.pk)
        assert (turn.state, turn.queue) == (TurnState.QUEUED, Queue.LOCAL)
        serve(Queue.LOCAL)
        assert answer(turn).reply.content == "from here"

    def test_answers_while_the_model_spills(self, model, api):
        show_life(*BOTH)
        serve(Queue.CLOUD)
        report_spill(True)
        turn = answer(make_turn())
        assert turn.reply.content == "from there"
        assert (turn.spilled_from, turn.conversation.backend) == ("model", "")

    def test_answers_while_no_worker_has_the_model(self, model, api):
        show_life(Queue.CLOUD)
        serve(Queue.CLOUD)
        turn = answer(make_turn())
        assert turn.reply.content == "from there"
        assert turn.trace[0] == "Passed over model: none of its workers is there."

    def test_answers_while_the_model_is_broken(self, model, api):
        Backend.objects.filter(name="model").update(
            options={"scripts": ["fail AuthenticationFailed"]}
        )
        answer(make_turn())
        show_life(*BOTH)
        serve(Queue.CLOUD)
        turn = answer(make_turn())
        assert turn.trace[0] == "Passed over model: it failed of late."
        assert turn.reply.content == "from there"

    def test_leaves_what_is_private_to_the_model(self, model):
        Backend.objects.create(
            name="far", kind=BackendKind.OPENAI_COMPATIBLE, position=0
        )
        serve(Queue.CLOUD)
        conversation = make_conversation()
        Conversation.objects.update(is_private=True)
        turn = make_turn(conversation)
        answering.produce(turn.id)
        assert Turn.objects.get(pk=turn.pk).queue == Queue.LOCAL


class TestReaper:
    @pytest.mark.parametrize(
        ("live", "queue"), [({Queue.LOCAL}, ""), (BOTH, Queue.CLOUD), ((), Queue.CLOUD)]
    )
    def test_calls_back_what_nobody_takes(self, model, api, live, queue):
        show_life(*live)
        turn = change_turn(
            make_turn(), queue=Queue.CLOUD, created_at=past(10), published_at=past(5)
        )
        assert reap() == [turn.id]
        assert Turn.objects.get(pk=turn.pk).queue == queue
