"""What a widget sends over its socket, and what it is told at once."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async

from support.chat import sockets, visitors
from support.models import Message, Turn, TurnState
from tests.factories import contents, make_backend, make_conversation, make_turn

pytestmark = pytest.mark.django_db(transaction=True)


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
