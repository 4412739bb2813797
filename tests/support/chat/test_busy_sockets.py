"""What a socket spares a server that has much to do."""

import asyncio
import threading
import time
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async

from support.chat import consumers, events, rate_limits, sockets, turns
from support.chat.rate_limits import FrameAllowance, RateLimited
from support.chat.reply_buffer import reply_buffer
from support.chat.threads import NUM_THREADS, in_thread
from tests.factories import make_conversation, make_site, make_turn
from tests.support.chat.conftest import ORIGIN

RATED = {"type": "rated", "message": str(UUID(int=1)), "rating": 1}


@pytest.mark.django_db(transaction=True)
async def test_does_not_poll_while_events_come(connect):
    conversation = await sync_to_async(make_shop_conversation)()
    turn = await sync_to_async(make_turn)(conversation)
    async with connect(conversation) as client:
        await sync_to_async(turns.claim)(turn.id)
        reply_buffer.append(turn.id, 1, 0, "never announced")
        for _ in range(15):
            events.publish(conversation.id, RATED)
            await asyncio.sleep(0.1)
        frames = await client.receive_until("delta")
    kinds = [frame["type"] for frame in frames]
    assert kinds.count("rated") == 15


@pytest.mark.django_db(transaction=True)
async def test_a_hello_in_time_may_be_answered_late(connect, monkeypatch):
    monkeypatch.setattr(consumers, "HELLO_TIMEOUT_S", 0.2)
    conversation = await sync_to_async(make_shop_conversation)()
    async with connect(conversation, hello=False) as client:
        busy = asyncio.create_task(sync_to_async(time.sleep)(1))
        await asyncio.sleep(0)  # the thread that asks the database is taken
        frames = await client.hello()
        await busy
    assert frames[-1]["type"] == "replay_done"


@pytest.mark.django_db(transaction=True)
async def test_an_event_does_not_wait_for_the_database(connect):
    conversation = await sync_to_async(make_shop_conversation)()
    async with connect(conversation) as client:
        busy = asyncio.create_task(sync_to_async(time.sleep)(2))
        await asyncio.sleep(0)
        events.publish(conversation.id, RATED)
        await client.find("rated")
        assert not busy.done()
        await busy


def make_shop_conversation():
    return make_conversation(make_site(allowed_origins=ORIGIN))


def test_frames_are_counted_over_a_minute(settings):
    settings.FRAMES_PER_MINUTE = 2
    allowance = FrameAllowance()
    allowance.check()
    allowance.check()
    with pytest.raises(RateLimited) as refused:
        allowance.check()
    assert 59_000 < refused.value.retry_after_ms <= 60_000
    assert allowance.num_refused == 1


def test_old_frames_do_not_count(settings, monkeypatch):
    settings.FRAMES_PER_MINUTE = 2
    allowance = FrameAllowance()
    now_s = 1000.0
    monkeypatch.setattr(rate_limits, "monotonic", lambda: now_s)
    allowance.check()
    now_s += 30
    allowance.check()
    now_s += 31
    allowance.check()
    with pytest.raises(RateLimited) as refused:
        allowance.check()
    assert refused.value.retry_after_ms == 29_000


def test_counting_frames_starts_no_thread():
    allowance = FrameAllowance()
    before = threading.active_count()
    for _ in range(100):
        allowance.check()
    assert threading.active_count() == before


@pytest.mark.django_db(transaction=True)
async def test_who_leaves_before_the_welcome_is_not_waited_for(connect):
    conversation = await sync_to_async(make_shop_conversation)()
    busy = [in_thread(time.sleep)(2) for _ in range(NUM_THREADS)]
    waiting = asyncio.gather(*busy)
    async with connect(conversation, hello=False) as client:
        await client.send(type="hello", protocol=1, token=client.token, last_seq=0)
        await asyncio.sleep(0.2)
        assert len(sockets.sockets) == 1
    assert len(sockets.sockets) == 0
    assert not waiting.done()
    await waiting


@pytest.mark.django_db(transaction=True)
async def test_a_socket_ends_with_what_runs_beside_its_frames(
    connect, caplog, settings
):
    settings.SOCKETS_PER_CONVERSATION = None  # an error within the welcome
    conversation = await sync_to_async(make_shop_conversation)()
    async with connect(conversation, hello=False) as client:
        await client.send(type="hello", protocol=1, token=client.token, last_seq=0)
        await client.communicator.wait(5)
        assert len(sockets.sockets) == 0
    assert "a socket ends" in caplog.text
