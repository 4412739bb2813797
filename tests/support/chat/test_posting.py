"""Posting a message: stored once, counted once, in few queries."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.models import Backend, BackendKind, Queue
from support.chat import dispatch, services, tasks
from support.chat.rate_limits import RateLimited
from support.models import Message, Turn
from tests.factories import contents, make_backend, make_conversation

ADDRESS = "10.7.0.1"
TEXT = "Do you repair zips?"

pytestmark = pytest.mark.django_db


@pytest.fixture
def conversation():
    return make_conversation()


@pytest.fixture
def rung(monkeypatch):
    """The jobs that were rung for: turn and queue."""
    jobs = []
    monkeypatch.setattr(tasks.doorbell, "ring", lambda *job: jobs.append(job))
    return jobs


def post(conversation, client_id="client-01", content=TEXT):
    return services.post_message(conversation.id, content, client_id, ADDRESS)


def test_the_same_message_is_stored_once(conversation):
    first, second = post(conversation), post(conversation)
    assert (first.message, first.turn) == (second.message, second.turn)
    assert contents(conversation) == [(1, "user", TEXT)]


def test_another_text_under_the_same_id_is_refused(conversation):
    post(conversation)
    with pytest.raises(services.ContentInvalid) as refused:
        post(conversation, content="Something else")
    assert refused.value.code == "id_reuse"


def test_an_id_belongs_to_its_conversation(conversation):
    other = make_conversation()
    assert post(conversation).message != post(other).message


def test_what_is_sent_again_does_not_count(conversation, settings):
    settings.MESSAGES_PER_MINUTE = 2
    for _ in range(4):
        post(conversation)
    post(conversation, "client-02")
    with pytest.raises(RateLimited):
        post(conversation, "client-03")


def test_what_is_refused_leaves_nothing(conversation, settings):
    settings.MESSAGES_PER_MINUTE = 1
    post(conversation)
    with pytest.raises(RateLimited):
        post(conversation, "client-02")
    assert contents(conversation) == [(1, "user", TEXT)]


@pytest.mark.django_db(transaction=True)
def test_the_same_message_on_many_sockets_at_once_is_stored_once(conversation):
    """On Postgres those that wait for the row see it as it was before the first."""
    start = threading.Barrier(6)

    def post_with_others(_):
        start.wait(5)
        try:
            return post(conversation).message.id
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(post_with_others, range(6)))
    assert ids == {Message.objects.get(conversation=conversation).id}
    assert Turn.objects.count() == 1


def test_a_message_takes_four_queries(conversation, django_capture_on_commit_callbacks):
    dispatch.choose_queue(conversation)  # so that it is known
    with (
        CaptureQueriesContext(connection) as queries,
        django_capture_on_commit_callbacks(execute=True),
    ):
        post(conversation)
    asked = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(asked) == 4


def test_its_job_goes_where_the_first_backend_runs(
    conversation, rung, django_capture_on_commit_callbacks
):
    make_backend(name="cloud", position=2)
    Backend.objects.create(name="off", is_enabled=False, position=0)
    Backend.objects.create(name="model", kind=BackendKind.LLAMA_CPP, position=3)
    with django_capture_on_commit_callbacks(execute=True):
        post(conversation)
    assert rung == [(Turn.objects.get().id, Queue.CLOUD)]


def test_without_a_backend_it_goes_where_models_are(
    conversation, rung, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        post(conversation)
    assert rung == [(Turn.objects.get().id, Queue.LOCAL)]
