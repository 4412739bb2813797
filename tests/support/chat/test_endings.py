"""How a turn ends that its worker has left: what is shown is kept, or taken back."""

import threading
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from inference.models import RoutingPolicy, Rung
from support.chat import answering, reaper, services, turns
from support.chat.reply_buffer import BufferedText, reply_buffer
from support.chat.watch import watch
from support.knowledge.articles import save_article
from support.models import Article, Message, Notice, Turn, TurnState
from tests.factories import (
    change_turn,
    make_backend,
    make_turn,
    past,
)

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def leave_half(conversation, text="half", **values) -> Turn:
    """Return a turn whose worker wrote a text and is gone."""
    turn = make_turn(conversation)
    turns.claim(turn.id)
    reply_buffer.append(turn.id, 1, 0, text)
    return change_turn(turn, lease_until=past(1), **values)


async def stop(client, turn, attempt=1):
    await client.send(type="stop", turn=str(turn.id), attempt=attempt)
    return await client.find("done")


def wait_for_text(turn):
    while reply_buffer.read(turn.id) in (None, BufferedText(1, "")):
        time.sleep(0.02)


def leave_when_shown(turn):
    wait_for_text(turn)
    watch.leave()


def stop_when_shown(turn):
    wait_for_text(turn)
    services.stop_reply(turn.conversation_id, turn.id, 1)
    connection.close()


@pytest.mark.parametrize("state", [TurnState.RUNNING, TurnState.QUEUED])
async def test_an_apology_takes_back_what_was_shown(conversation, connect, state):
    turn = await leave_half(
        conversation, state=state, num_claims=3, published_at=past(9)
    )
    async with connect(conversation) as client:
        await sync_to_async(reaper.reap)()
        reset, done = await client.receive_until("done")
    assert (reset["type"], reset["attempt"]) == ("reset", 2)
    assert (done["attempt"], done["message"]["notice"]) == (2, Notice.REPLY_FAILED)
    assert str(turn.id) == done["turn"]


async def test_a_released_turn_is_stopped_with_what_was_shown(conversation, connect):
    turn = await leave_half(conversation, state=TurnState.QUEUED)
    async with connect(conversation) as client:
        done = await stop(client, turn)
    message = done["message"]
    assert (done["state"], message["content"]) == (TurnState.STOPPED, "half")
    assert message["notice"] is None


async def test_a_stop_holds_though_the_attempt_has_grown(conversation, connect):
    turn = await leave_half(conversation, state=TurnState.QUEUED, attempt=2)
    async with connect(conversation) as client:
        done = await stop(client, turn, attempt=1)
    assert (done["attempt"], done["message"]["content"]) == (2, "")
    assert done["message"]["notice"] == Notice.REPLY_STOPPED


async def test_a_stop_of_an_attempt_to_come_is_ignored(conversation):
    turn = await leave_half(conversation, state=TurnState.QUEUED)
    await sync_to_async(services.stop_reply)(conversation.id, turn.id, 2)
    assert (await Turn.objects.aget(pk=turn.pk)).state == TurnState.QUEUED


def test_a_leaving_worker_keeps_all_that_was_shown():
    make_backend("say half\nhang")
    turn = make_turn()
    threading.Thread(target=leave_when_shown, args=(turn,), daemon=True).start()
    answering.produce(turn.id)
    watch.stay()
    reply_buffer.clear()  # as the end of the process does
    services.stop_reply(turn.conversation_id, turn.id, 1)
    assert Message.objects.get(replied_turn=turn.pk).content == "half"


class TestPassagesUsed:
    @pytest.fixture(autouse=True)
    def article(self):
        text = "You can borrow a stove for the night. Gas is extra."
        save_article(Article(title="Stoves", slug="stoves", body=text))

    def used(self, script, visitor=None):
        make_backend(script)
        turn = make_turn(content="Can I borrow a stove?")
        if visitor:
            threading.Thread(target=visitor, args=(turn,), daemon=True).start()
        answering.produce(turn.id)
        turn = Turn.objects.get(pk=turn.pk)
        return turn.state, [used.is_cited for used in turn.used_passages.all()]

    def test_a_stopped_reply_is_cited_by_what_was_shown(self):
        script = 'say "You can borrow a stove for the night. Gas"\nhang'
        assert self.used(script, stop_when_shown) == (TurnState.STOPPED, [True])

    def test_a_reply_stopped_in_the_queue_is_cited_likewise(self):
        turn = change_turn(
            make_turn(content="Can I borrow a stove?"),
            attempt=1,
            checkpoint="You can borrow a stove for the night.",
            checkpoint_attempt=1,
        )
        services.stop_reply(turn.conversation_id, turn.id, 1)
        assert turn.used_passages.get().is_cited

    def test_a_reply_stopped_before_its_facts_cites_nothing(self):
        state, cited = self.used("say Sure.\nhang", stop_when_shown)
        assert (state, cited) == (TurnState.STOPPED, [False])

    def test_a_failed_reply_cites_what_it_quotes(self):
        assert self.used("fail Overloaded") == (TurnState.FAILED, [True])

    def test_an_apology_cites_nothing(self):
        RoutingPolicy.objects.create(pk=1, rung=Rung.APOLOGY)
        assert self.used("say Yes.") == (TurnState.FAILED, [False])
