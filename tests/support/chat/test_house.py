"""What may not leave the house does not: a listening provider and a resolver see."""

import socket
import threading
from urllib.parse import urlsplit

import pytest
from django.db import connection

from inference import registry
from inference.models import Backend, BackendKind, RoutingPolicy
from inference.rules import MayNotLeave
from inference.trying import open_backend
from support.chat import answering
from support.models import Attempt, Conversation, Turn
from tests.factories import make_backend, make_conversation, make_turn
from tests.inference.backends.openai_stand_in import KEY, WHOLE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def resolved(monkeypatch):
    """The names that this process looked up."""
    names = []
    resolve = socket.getaddrinfo

    def record(host, *rest, **options):
        names.append(host)
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", record)
    return names


@pytest.fixture
def cloud(provider, settings):
    """The provider as the first backend, by a name that has to be looked up."""
    settings.PRIVATE_ENDPOINTS = ["localhost"]
    provider.answer = WHOLE
    port = urlsplit(provider.url).port
    return Backend.objects.create(
        name="cloud",
        kind=BackendKind.OPENAI_COMPATIBLE,
        model="fine",
        endpoint=f"http://localhost:{port}/v1",
        key=KEY,
        position=1,
    )


def switch_off(settings, by):
    if by == "deployment":
        settings.CLOUD_OFF = True
    else:
        RoutingPolicy(pk=1, is_cloud_off=True).save()


def produce(turn):
    answering.produce(turn.id)
    return Turn.objects.get(pk=turn.pk)


every_switch = pytest.mark.parametrize("by", ["deployment", "operator"])


def test_with_the_cloud_on_all_of_it_is_seen(provider, cloud, resolved):
    turn = produce(make_turn())
    assert turn.reply.content == "Hello there"
    assert len(provider.asked) == 1
    assert "localhost" in resolved
    call = Attempt.objects.get()
    assert (call.host, call.left_house) == ("localhost", True)


@every_switch
def test_with_the_cloud_off_nothing_is_sent_or_looked_up(
    provider, cloud, resolved, settings, by
):
    switch_off(settings, by)
    make_backend("say from here", name="local", position=2)
    registry.warm_up()
    turn = produce(make_turn())
    assert turn.reply.content == "from here"
    assert turn.trace[0] == "Skipped cloud: nothing may leave the house."
    assert (provider.asked, resolved) == ([], [])
    assert set(registry.registry._built) == {"local"}


@every_switch
def test_a_backend_that_was_made_before_is_closed(provider, cloud, settings, by):
    produce(make_turn())
    switch_off(settings, by)
    turn = produce(make_turn())
    assert turn.state == "failed"
    assert registry.registry._built == {}
    assert len(provider.asked) == 1


@every_switch
def test_nobody_else_can_make_such_a_backend(cloud, settings, by):
    switch_off(settings, by)
    with pytest.raises(MayNotLeave, match="Nothing may leave the house"):
        registry.build_backend(cloud)


@every_switch
def test_to_try_it_says_why_not(provider, cloud, resolved, settings, by):
    switch_off(settings, by)
    with (
        pytest.raises(MayNotLeave, match="Nothing may leave the house"),
        open_backend(cloud),
    ):
        pass
    assert (provider.asked, resolved) == ([], [])


@every_switch
def test_its_row_can_be_looked_at_and_saved(provider, cloud, resolved, settings, by):
    switch_off(settings, by)
    registry.check_backend(cloud)
    assert (provider.asked, resolved) == ([], [])
    cloud.model = ""
    with pytest.raises(ValueError, match="a model is needed"):
        registry.check_backend(cloud)


def test_the_switch_counts_for_calls_that_are_not_begun(provider, cloud):
    make_backend("pause 0.4\nfail InvalidResponse", name="local", position=0)
    turn = make_turn()

    def switch():
        RoutingPolicy(pk=1, is_cloud_off=True).save()
        connection.close()

    timer = threading.Timer(0.15, switch)
    timer.start()
    turn = produce(turn)
    timer.join()
    assert provider.asked == []
    assert "Skipped cloud: nothing may leave the house." in turn.trace


def test_a_private_conversation_is_answered_in_the_house(provider, cloud, resolved):
    make_backend("say from here", name="local", position=2)
    conversation = make_conversation()
    Conversation.objects.update(is_private=True)
    turn = produce(make_turn(conversation))
    assert turn.reply.content == "from here"
    assert turn.trace == [
        "Skipped cloud: the conversation is private.",
        "Asked local first: it comes first in the order.",
        "local answered.",
    ]
    assert (provider.asked, resolved) == ([], [])


def test_a_private_conversation_rather_gets_no_answer(provider, cloud):
    make_backend("fail Unavailable", name="local", position=2)
    conversation = make_conversation()
    Conversation.objects.update(is_private=True, backend="cloud")
    assert produce(make_turn(conversation)).state == "failed"
    assert provider.asked == []


def test_a_server_of_ones_own_may_be_told_what_is_private(provider, cloud):
    Backend.objects.update(is_in_house=True)
    conversation = make_conversation()
    Conversation.objects.update(is_private=True)
    assert produce(make_turn(conversation)).reply.content == "Hello there"
    call = Attempt.objects.get()
    assert (call.host, call.left_house) == ("localhost", False)
