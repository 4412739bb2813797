"""The socket, spoken to as a widget does; the worker is conducted by the test."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from support.chat import services, sockets, turns, visitors
from support.chat.reply_buffer import reply_buffer
from support.models import Message, Role, Turn, TurnState
from tests.factories import (
    change_turn,
    contents,
    make_backend,
    make_conversation,
    make_site,
    make_turn,
    past,
)

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = 'say one\npause 0.3\nsay " two"\npause 0.3\nsay " three"'


@pytest.fixture
def conversation(db):
    return make_conversation(make_site(allowed_origins="https://shop.example"))


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


class TestGettingIn:
    async def test_the_replay_of_a_new_conversation_is_empty(
        self, conversation, connect
    ):
        async with connect(conversation, hello=False) as client:
            frames = await client.hello()
        assert [frame["type"] for frame in frames] == ["welcome", "replay_done"]

    async def test_a_wrong_token_is_sent_away(self, conversation, connect):
        async with connect(conversation, hello=False) as client:
            client.token += "x"
            await client.send(type="hello", protocol=1, token=client.token, last_seq=0)
            assert await client.close_code() == 4401

    async def test_frames_before_the_hello_are_sent_away(self, conversation, connect):
        async with connect(conversation, hello=False) as client:
            await client.send(type="handoff")
            assert await client.close_code() == 4401

    async def test_another_protocol_version_is_sent_away(self, conversation, connect):
        async with connect(conversation, hello=False) as client:
            await client.send(type="hello", protocol=2, token="t", last_seq=0)
            assert await client.close_code() == 4400

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
    async def test_another_origin_is_sent_away(self, conversation, connect, origin):
        async with connect(conversation, hello=False, origin=origin) as client:
            await client.send(type="hello", protocol=1, token=client.token, last_seq=0)
            assert await client.close_code() == 4403

    async def test_an_expired_token_opens_nothing(
        self, conversation, connect, settings
    ):
        settings.TOKEN_LIFETIME_S = 0
        async with connect(conversation, hello=False) as client:
            await client.send(type="hello", protocol=1, token=client.token, last_seq=0)
            assert await client.close_code() == 4401

    async def test_too_many_sockets_are_sent_away(
        self, conversation, connect, settings
    ):
        settings.SOCKETS_PER_CONVERSATION = 1
        async with connect(conversation), connect(conversation, hello=False) as second:
            await second.send(type="hello", protocol=1, token=second.token, last_seq=0)
            assert await second.close_code() == 4429

    async def test_closed_sockets_are_not_counted(self, conversation, connect):
        async with connect(conversation):
            assert len(sockets.sockets) == 2
        assert len(sockets.sockets) == 0

    async def test_sockets_that_died_are_not_counted(self, conversation, connect):
        with pytest.raises(ValueError, match="No handler"):  # noqa: PT012 - its death
            async with connect(conversation) as client:
                await client.communicator.send_input({"type": "no.such.thing"})
                await asyncio.sleep(0.2)
                assert len(sockets.sockets) == 0

    async def test_a_second_hello_renews_the_token(
        self, conversation, connect, settings
    ):
        settings.TOKEN_LIFETIME_S = 1
        async with connect(conversation) as client:
            settings.TOKEN_LIFETIME_S = 60
            site = await sync_to_async(lambda: conversation.site)()
            client.token = visitors.sign_token(conversation, site)
            await client.hello()
            await asyncio.sleep(1.1)
            await client.send(type="handoff")
            assert (await client.receive())["type"] == "status"

    async def test_an_expired_socket_acts_again_with_a_new_token(
        self, conversation, connect, settings
    ):
        settings.TOKEN_LIFETIME_S = 1
        async with connect(conversation) as client:
            await asyncio.sleep(1.1)
            await client.send(type="handoff")
            assert (await client.receive())["code"] == "token_expired"
            settings.TOKEN_LIFETIME_S = 60
            site = await sync_to_async(lambda: conversation.site)()
            token = visitors.sign_token(conversation, site)
            await client.send(type="token", token=token)
            await client.send(type="handoff")
            assert (await client.receive())["type"] == "status"


class TestSending:
    async def test_a_message_is_stored_before_the_ack(self, conversation, connect):
        async with connect(conversation) as client:
            ack = await client.ask("Where is my parcel?")
        message = await Message.objects.aget(pk=ack["message"])
        assert (message.seq, message.content) == (1, "Where is my parcel?")

    async def test_the_same_frame_is_stored_once(self, conversation, connect):
        async with connect(conversation) as client:
            first = await client.ask("hello", "client-same")
            second = await client.ask("hello", "client-same")
        assert first == second
        assert await Message.objects.acount() == 1

    async def test_the_same_id_with_another_text_is_refused(
        self, conversation, connect
    ):
        async with connect(conversation) as client:
            await client.ask("hello", "client-same")
            await client.send(type="send", client_id="client-same", content="other")
            assert (await client.find("error"))["code"] == "id_reuse"

    async def test_many_sockets_store_one_message(self, conversation, connect):
        async with connect(conversation) as one, connect(conversation) as two:
            acks = await asyncio.gather(
                *(client.ask("hello", "client-same") for client in (one, two) * 1)
            )
        assert acks[0] == acks[1]
        assert await Turn.objects.acount() == 1

    @pytest.mark.parametrize(
        ("content", "code"),
        [(" \n ", "empty"), ("\x00", "empty"), ("x" * 2001, "too_long")],
    )
    async def test_a_bad_text_is_refused_in_words(
        self, conversation, connect, content, code
    ):
        async with connect(conversation) as client:
            await client.send(type="send", client_id="client-bad", content=content)
            error = await client.find("error")
        assert (error["code"], error["client_id"]) == (code, "client-bad")

    async def test_a_text_of_the_longest_length_is_taken(self, conversation, connect):
        async with connect(conversation) as client:
            assert (await client.ask("𝄞" * 2000))["seq"] == 1

    async def test_too_many_messages_are_refused(self, conversation, connect, settings):
        settings.MESSAGES_PER_MINUTE = 2
        async with connect(conversation) as client:
            await client.ask("one")
            await client.ask("two")
            await client.send(type="send", client_id="client-three", content="three")
            error = await client.find("error")
        assert error["code"] == "rate_limited"
        assert 0 < error["retry_after_ms"] <= 60_000

    async def test_a_retry_is_acked_beyond_the_limit(
        self, conversation, connect, settings
    ):
        settings.MESSAGES_PER_MINUTE = 1
        async with connect(conversation) as client:
            first = await client.ask("one", "client-one")
            assert await client.ask("one", "client-one") == first

    async def test_both_tabs_see_a_message(self, conversation, connect):
        async with connect(conversation) as one, connect(conversation) as two:
            await one.ask("hello")
            frame = await two.find("message")
        assert frame["message"]["content"] == "hello"


class TestBadFrames:
    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"type": "nonsense"}', "[" * 9000]
    )
    async def test_the_socket_survives(self, conversation, connect, text):
        async with connect(conversation) as client:
            frame = {"type": "websocket.receive", "text": text}
            await client.communicator.send_input(frame)
            assert (await client.receive())["code"] == "bad_frame"
            await client.send(type="ping")
            assert (await client.receive())["type"] == "pong"

    async def test_a_binary_frame_is_refused(self, conversation, connect):
        async with connect(conversation) as client:
            await client.communicator.send_to(bytes_data=b"{}")
            assert (await client.receive())["code"] == "bad_frame"

    async def test_a_frame_that_is_too_big_is_refused(self, conversation, connect):
        async with connect(conversation) as client:
            frame = {"type": "send", "client_id": "client-big", "content": "x" * 33_000}
            await client.communicator.send_to(text_data=json.dumps(frame))
            assert (await client.receive())["code"] == "too_big"
            await client.send(type="ping")
            assert (await client.receive())["type"] == "pong"

    async def test_a_flood_is_refused_and_then_closed(
        self, conversation, connect, settings
    ):
        settings.FRAMES_PER_MINUTE = 3
        async with connect(conversation) as client:
            for _ in range(60):
                await client.communicator.send_to(text_data='{"type": "ping"}')
            assert (await client.find("error"))["code"] == "rate_limited"
            assert await client.close_code() == 4429


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


class TestOtherActions:
    async def test_a_rating_is_stored_and_shown(self, conversation, connect, answer):
        await sync_to_async(make_backend)("say reply")
        async with connect(conversation) as client:
            ack = await client.ask("question")
            _, frames = await asyncio.gather(
                answer(ack["turn"]), client.receive_until("done")
            )
            reply = frames[-1]["message"]["id"]
            await client.send(type="rate", message=reply, rating=1)
            assert await client.find("rated") == {
                "type": "rated", "message": reply, "rating": 1,
            }  # fmt: skip
        assert (await Message.objects.aget(pk=reply)).rating == 1

    async def test_a_foreign_message_cannot_be_rated(self, conversation, connect):
        other = await sync_to_async(make_turn)()
        async with connect(conversation) as client:
            await client.send(type="rate", message=str(other.question_id), rating=1)
            assert (await client.find("error"))["code"] == "not_found"

    async def test_a_foreign_turn_cannot_be_stopped(self, conversation, connect):
        other = await sync_to_async(make_turn)()
        async with connect(conversation) as client:
            await client.send(type="stop", turn=str(other.id), attempt=0)
            assert (await client.find("error"))["code"] == "not_found"
        assert (await Turn.objects.aget(pk=other.pk)).state == TurnState.QUEUED

    async def test_asking_for_a_person_is_said_once(self, conversation, connect):
        async with connect(conversation) as client:
            await client.send(type="handoff")
            await client.send(type="handoff")
            status = await client.find("status")
            message = await client.find("message")
        assert status["status"] == "waiting"
        assert message["message"]["notice"] == "handoff_requested"
        assert len(await sync_to_async(contents)(conversation)) == 1

    async def test_nobody_hears_another_conversation(self, conversation, connect):
        other = await sync_to_async(make_conversation)(
            await sync_to_async(lambda: conversation.site)()
        )
        async with connect(conversation) as one, connect(other) as two:
            await one.ask("my secret")
            assert await two.communicator.receive_nothing(0.3)


def _finish_without_event(turn):
    """End a turn as a worker in another process does, whose event was lost."""
    claimed = turns.claim(turn.id)
    message = turns.append_message(
        claimed.conversation, Role.ASSISTANT, "the end", past(0)
    )
    change_turn(turn, state=TurnState.ANSWERED, reply=message, finished_at=past(0))
