"""Jobs are rung for by a thread, and go to the workers of the right backend."""

import threading
from uuid import uuid4

import pytest

from chatbot.celery import app
from inference import registry
from inference.models import Backend, BackendKind, Queue
from support.chat import answering, tasks
from support.chat.reply_buffer import read_reply
from support.chat.tasks import _Doorbell, queue_turn
from support.models import AttemptOutcome, Turn
from tests.factories import change_turn, make_attempt, make_backend, make_turn


@pytest.fixture
def next_job():
    """Return a function that takes the next job of a queue, from a real broker."""
    with app.connection_for_read() as connection:
        queues = {name: connection.SimpleQueue(name) for name in Queue.values}
        for queue in queues.values():
            queue.clear()

        def take(name: str) -> list[str]:
            message = queues[name].get(timeout=5)
            message.ack()
            [turn_id], *_ = message.payload
            return turn_id

        yield take


@pytest.mark.django_db
class TestQueue:
    def test_a_model_of_this_installation_is_local(self, next_job):
        make_backend(position=2, name="second")
        Backend.objects.create(name="first", kind=BackendKind.LLAMA_CPP, position=1)
        turn = make_turn()
        queue_turn(turn.id)
        assert next_job("local") == str(turn.id)

    def test_an_api_is_cloud(self, next_job):
        Backend.objects.create(name="api", kind=BackendKind.OPENAI_COMPATIBLE)
        turn = make_turn()
        queue_turn(turn.id)
        assert next_job("cloud") == str(turn.id)

    def test_a_disabled_backend_decides_nothing(self, next_job):
        Backend.objects.create(
            name="off", kind=BackendKind.LLAMA_CPP, position=1, is_enabled=False
        )
        make_backend(position=2, name="on")
        turn = make_turn()
        queue_turn(turn.id)
        assert next_job("cloud") == str(turn.id)

    def test_without_a_backend_somebody_must_apologise(self, next_job):
        turn = make_turn()
        queue_turn(turn.id)
        assert next_job("local") == str(turn.id)

    def test_a_turn_that_was_passed_on_goes_where_it_was_sent(self, next_job):
        make_backend()
        turn = change_turn(make_turn(), queue=Queue.LOCAL)
        queue_turn(turn.id)
        assert next_job("local") == str(turn.id)


@pytest.mark.django_db(transaction=True)
class TestWorkerWithoutModels:
    @pytest.fixture(autouse=True)
    def _loads_nothing(self):
        registry.registry.queues = frozenset([Queue.CLOUD])

    def test_passes_a_turn_on_when_its_apis_fail(self):
        make_backend("fail Unavailable", position=1)
        Backend.objects.create(name="model", kind=BackendKind.LLAMA_CPP, position=2)
        turn = make_turn()
        assert answering.produce(turn.id) == turn.id  # to be queued again
        turn = Turn.objects.get(pk=turn.pk)
        assert (turn.state, turn.queue, turn.num_claims) == ("queued", "local", 0)

    def test_takes_back_what_an_api_wrote_before(self):
        make_backend("say half\nfail Interrupted", position=1)
        Backend.objects.create(name="model", kind=BackendKind.LLAMA_CPP, position=2)
        turn = make_turn()
        answering.produce(turn.id)
        assert read_reply(Turn.objects.get(pk=turn.pk)).text == ""

    def test_apologises_where_no_model_is_left_to_try(self):
        make_backend("fail Unavailable")
        turn = make_turn()
        answering.produce(turn.id)
        assert Turn.objects.get(pk=turn.pk).state == "failed"

    def test_a_turn_that_was_passed_on_does_not_ask_the_same_again(self):
        make_backend("say from an API", name="api")
        turn = change_turn(make_turn(), queue=Queue.LOCAL, attempt=1)
        make_attempt(turn, backend="api", outcome=AttemptOutcome.FAILED)
        answering.produce(turn.id)
        assert Turn.objects.get(pk=turn.pk).state == "failed"


class TestDoorbell:
    @pytest.fixture
    def publish(self, monkeypatch):
        """Let a test say what publishing does, and see when it is done."""

        def use(publish):
            monkeypatch.setattr(tasks.answer_turn, "apply_async", publish)

        return use

    def test_publishes_once_without_retries(self, publish):
        published = []
        publish(lambda args, **options: published.append((args, options)))
        doorbell, turn_id = _Doorbell(), uuid4()
        doorbell.ring(turn_id, "cloud")
        doorbell.wait()
        assert published == [((str(turn_id),), {"queue": "cloud", "retry": False})]

    def test_nobody_waits_for_a_broker_that_hangs(self, publish):
        hangs, is_over = threading.Event(), threading.Event()

        def hang(args, **options):
            hangs.set()
            is_over.wait(10)

        publish(hang)
        doorbell = _Doorbell()
        doorbell.ring(uuid4(), "local")
        assert hangs.wait(10)
        for _ in range(1100):  # more than it keeps
            doorbell.ring(uuid4(), "local")
        doorbell.wait(timeout_s=0.01)
        assert doorbell._jobs.full()  # the first one still hangs
        is_over.set()
        doorbell.wait()
        assert doorbell._jobs.empty()

    def test_a_broker_that_fails_does_not_end_it(self, publish):
        published = []

        def fail_first(args, **options):
            published.append(args)
            if len(published) == 1:
                raise ConnectionError("gone")

        publish(fail_first)
        doorbell = _Doorbell()
        doorbell.ring(uuid4(), "local")
        doorbell.ring(uuid4(), "local")
        doorbell.wait()
        assert len(published) == 2
