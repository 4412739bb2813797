"""Announcements between processes, by way of Redis."""

import asyncio
from uuid import uuid4

import pytest
from channels.layers import channel_layers
from django.test import override_settings

from support.chat import events
from support.chat.events import Frame
from support.chat.layer import PatientLayer
from tests.ports import free_port


def layer_settings(url: str) -> dict:
    hosts = [{"address": url, "socket_timeout": 2, "socket_connect_timeout": 1}]
    backend = "support.chat.layer.PatientLayer"
    return {"default": {"BACKEND": backend, "CONFIG": {"hosts": hosts}}}


@pytest.fixture
def use_layer():
    """Return a function that makes a Redis the layer of this test."""
    overrides = []

    def use(url: str) -> PatientLayer:
        changed = override_settings(
            CHANNEL_LAYERS=layer_settings(url), CHANNEL_LAYER_URL=url
        )
        changed.enable()
        overrides.append(changed)
        channel_layers.backends.clear()
        return channel_layers["default"]

    yield use
    for changed in overrides:
        changed.disable()
    channel_layers.backends.clear()


async def receive(layer, channel: str) -> dict:
    async with asyncio.timeout(10):
        return await layer.receive(channel)


async def test_what_another_thread_publishes_reaches_a_group(use_layer, redis_url):
    layer, conversation_id = use_layer(redis_url), uuid4()
    channel = await layer.new_channel()
    await layer.group_add(events.group_name(conversation_id), channel)
    await asyncio.sleep(0.2)  # the subscription is on its way
    frame: Frame = {"type": "status", "status": "waiting"}
    await asyncio.to_thread(events.publish, conversation_id, frame)
    assert await receive(layer, channel) == {
        "type": "conversation.event",
        "frame": frame,
    }
    await layer.flush()


async def test_a_hundred_frames_need_one_connection(use_layer, redis_url, redis_client):
    use_layer(redis_url)
    frame: Frame = {"type": "status", "status": "bot"}
    await asyncio.to_thread(events.publish, uuid4(), frame)
    before = redis_client.info("stats")["total_connections_received"]
    for _ in range(100):
        await asyncio.to_thread(events.publish, uuid4(), frame)
    after = redis_client.info("stats")["total_connections_received"]
    assert after - before <= 1  # another thread may hold the first


async def test_without_redis_a_socket_has_a_channel_all_the_same(use_layer):
    layer = use_layer(f"redis://127.0.0.1:{free_port()}/0")
    channel = await layer.new_channel()
    await layer.group_add("conversation.x", channel)
    await layer.group_discard("conversation.x", channel)
    await asyncio.to_thread(events.publish, uuid4(), {"type": "status"})
    assert channel.startswith("asgispecific.")
    await layer.flush()


async def test_a_member_that_could_not_subscribe_does_so_at_the_next_call(
    use_layer, redis_url
):
    layer, conversation_id = use_layer(redis_url), uuid4()
    group = events.group_name(conversation_id)
    channel = await layer.new_channel()
    shard = layer._get_layer()._shards[0]
    shard.host["address"] = f"redis://127.0.0.1:{free_port()}/0"
    await layer.group_add(group, channel)
    shard._redis, shard.host["address"] = None, redis_url
    await layer.group_add(group, channel)
    await asyncio.sleep(0.2)
    await layer.group_send(group, {"type": "late"})
    assert await receive(layer, channel) == {"type": "late"}
    await layer.flush()
