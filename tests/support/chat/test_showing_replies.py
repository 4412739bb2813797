"""What a widget shows of replies: while they are written, and after a reload.

The socket is spoken to as a widget does; the worker is conducted by the test.
"""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from support.chat import services, turns
from support.chat.reply_buffer import reply_buffer
from support.models import Role, Turn, TurnState
from tests.factories import change_turn, make_backend, make_turn, past

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = 'say one\npause 0.3\nsay " two"\npause 0.3\nsay " three"'


def text_of(frames, attempt=None):
    """Return the text that a client shows after these frames."""
    text = ""
    for frame in frames:
        if frame["type"] == "reset":
            text = ""
        elif frame["type"] == "delta" and attempt in (None, frame["attempt"]):
            assert frame["offset"] == len(text)
            text += frame["text"]
    return text


class TestStreaming:
    async def test_a_reply_arrives_as_text_and_then_whole(
        self, conversation, connect, answer
    ):
        await sync_to_async(make_backend)(SLOW)
        async with connect(conversation) as client:
            ack = await client.ask("count")
            _, frames = await asyncio.gather(
                answer(ack["turn"]), client.receive_until("done")
            )
        assert text_of(frames) == "one two three"
        assert frames[-1]["message"]["content"] == "one two three"

    async def test_a_reload_continues_at_the_character(
        self, conversation, connect, answer
    ):
        await sync_to_async(make_backend)(SLOW)
        async with connect(conversation) as client:
            ack = await client.ask("count")
            answering = asyncio.create_task(answer(ack["turn"]))
            first = await client.find("delta")
        shown = first["text"][:2]
        async with connect(conversation, hello=False) as client:
            replay = await client.hello(
                last_seq=1, turn=ack["turn"], attempt=1, offset=len(shown)
            )
            frames = replay + await client.receive_until("done")
            await answering
        deltas = [frame for frame in frames if frame["type"] == "delta"]
        assert deltas[0]["offset"] == len(shown)
        assert shown + "".join(d["text"] for d in deltas) == "one two three"
        assert not [frame for frame in frames if frame["type"] == "reset"]

    async def test_a_view_of_another_attempt_is_reset(
        self, conversation, connect, answer
    ):
        turn = await sync_to_async(make_turn)(conversation)
        await sync_to_async(turns.claim)(turn.id)
        reply_buffer.append(turn.id, 1, 0, "new text")
        async with connect(conversation, hello=False) as client:
            replay = await client.hello(
                last_seq=1, turn=str(turn.id), attempt=0, offset=3
            )
        kinds = [frame["type"] for frame in replay]
        assert kinds == ["welcome", "turn", "reset", "delta", "replay_done"]
        assert text_of(replay) == "new text"

    async def test_a_lost_event_costs_a_poll_and_no_text(self, conversation, connect):
        turn = await sync_to_async(make_turn)(conversation)
        async with connect(conversation) as client:
            await sync_to_async(turns.claim)(turn.id)
            reply_buffer.append(turn.id, 1, 0, "never announced")
            frame = await client.find("delta")
        assert frame["text"] == "never announced"

    async def test_the_end_is_seen_without_its_event(self, conversation, connect):
        turn = await sync_to_async(make_turn)(conversation)
        async with connect(conversation) as client:
            await sync_to_async(_finish_without_event)(turn)
            frame = await client.find("done")
        assert frame["message"]["content"] == "the end"

    async def test_an_answer_is_seen_though_all_events_are_lost(
        self, conversation, connect, answer
    ):
        await sync_to_async(make_backend)("say reply")
        async with connect(conversation) as client:
            await client.ask("question")
            layer = get_channel_layer()
            layer.groups.clear()
            layer.channels.clear()
            turn = await Turn.objects.aget()
            await answer(turn.pk)
            assert (await client.find("done"))["message"]["content"] == "reply"

    async def test_stop_keeps_what_was_shown(self, conversation, connect, answer):
        await sync_to_async(make_backend)("say shown\nhang")
        async with connect(conversation) as client:
            ack = await client.ask("count")
            answering = asyncio.create_task(answer(ack["turn"]))
            await client.find("delta")
            await client.send(type="stop", turn=ack["turn"], attempt=1)
            done = await client.find("done")
            await answering
        assert (done["state"], done["message"]["content"]) == ("stopped", "shown")

    @pytest.mark.parametrize(
        ("attempt", "is_stopped"), [(0, True), (1, True), (2, False)]
    )
    async def test_stop_holds_after_a_reset(
        self, conversation, connect, attempt, is_stopped
    ):
        turn = await sync_to_async(make_turn)(conversation)
        await sync_to_async(turns.claim)(turn.id)
        async with connect(conversation) as client:
            await client.send(type="stop", turn=str(turn.id), attempt=attempt)
            await client.send(type="ping")
            await client.find("pong")
        turn = await Turn.objects.aget(pk=turn.pk)
        assert turn.is_stop_requested is is_stopped

    async def test_a_queued_turn_is_stopped_at_once(self, conversation, connect):
        async with connect(conversation) as client:
            ack = await client.ask("count")
            await client.send(type="stop", turn=ack["turn"], attempt=0)
            done = await client.find("done")
        assert (done["state"], done["message"]["notice"]) == (
            "stopped",
            "reply_stopped",
        )

    async def test_closing_the_tab_stops_nothing(self, conversation, connect, answer):
        await sync_to_async(make_backend)(SLOW)
        async with connect(conversation) as client:
            ack = await client.ask("count")
            answering = asyncio.create_task(answer(ack["turn"]))
            await client.find("delta")
        await answering
        assert (await Turn.objects.aget()).state == TurnState.ANSWERED

    async def test_a_backend_that_breaks_resets_in_the_open(
        self, conversation, connect, answer
    ):
        await sync_to_async(make_backend)("say half\nfail InvalidResponse", name="a")
        await sync_to_async(make_backend)("say whole", name="b", position=20)
        async with connect(conversation) as client:
            ack = await client.ask("count")
            _, frames = await asyncio.gather(
                answer(ack["turn"]), client.receive_until("done")
            )
        assert "reset" in [frame["type"] for frame in frames]
        assert text_of(frames) == frames[-1]["message"]["content"] == "whole"


class TestReplay:
    async def test_a_reopened_tab_sees_all_messages(
        self, conversation, connect, answer
    ):
        await sync_to_async(make_backend)("say reply")
        async with connect(conversation) as client:
            ack = await client.ask("question")
            await answer(ack["turn"])
        async with connect(conversation, hello=False) as client:
            replay = await client.hello()
        shown = [f["message"]["content"] for f in replay if "message" in f]
        assert shown == ["question", "reply"]

    async def test_messages_on_the_screen_are_not_sent_again(
        self, conversation, connect
    ):
        await sync_to_async(make_turn)(conversation)
        async with connect(conversation, hello=False) as client:
            replay = await client.hello(last_seq=1)
        assert [f["type"] for f in replay] == ["welcome", "turn", "replay_done"]

    async def test_a_seq_of_the_future_gets_everything(self, conversation, connect):
        await sync_to_async(make_turn)(conversation)
        async with connect(conversation, hello=False) as client:
            replay = await client.hello(last_seq=99)
        assert [f["message"]["seq"] for f in replay if f["type"] == "message"] == [1]

    async def test_a_stopped_reply_stays_stopped(self, conversation, connect):
        turn = await sync_to_async(make_turn)(conversation)
        await sync_to_async(services.stop_reply)(conversation.id, turn.id, 0)
        async with connect(conversation, hello=False) as client:
            replay = await client.hello()
            await client.send(type="history", before_seq=3)
            history = await client.find("history")
        assert [f["state"] for f in replay if f["type"] == "done"] == ["stopped"]
        assert [m["state"] for m in history["messages"]] == [None, "stopped"]

    async def test_older_messages_come_on_request(
        self, conversation, connect, settings
    ):
        settings.MESSAGES_PER_MINUTE = 1000
        for number in range(103):
            await sync_to_async(make_turn)(conversation, f"message {number}")
        async with connect(conversation, hello=False) as client:
            welcome, *replay = await client.hello()
            first = next(f for f in replay if f["type"] == "message")
            await client.send(type="history", before_seq=first["message"]["seq"])
            history = await client.find("history")
        assert welcome["has_more"]
        assert [m["seq"] for m in history["messages"]] == [1, 2, 3]
        assert not history["has_more"]


def _finish_without_event(turn):
    """End a turn as a worker in another process does, whose event was lost."""
    claimed = turns.claim(turn.id)
    message = turns.append_message(
        claimed.conversation, Role.ASSISTANT, "the end", past(0)
    )
    change_turn(turn, state=TurnState.ANSWERED, reply=message, finished_at=past(0))
