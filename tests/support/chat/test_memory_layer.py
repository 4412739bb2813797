"""What is sent through the layer of one process arrives, and is not kept for ever."""

import asyncio

import pytest

from support.chat import memory_layer
from support.chat.memory_layer import MemoryChannelLayer

EVENT = {"type": "some.event"}


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that is moved by hand."""
    clock = {"s": 0.0}
    monkeypatch.setattr(memory_layer, "monotonic", lambda: clock["s"])
    return clock


async def test_delivers_to_the_group():
    layer = MemoryChannelLayer()
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.group_send("group", EVENT)
    async with asyncio.timeout(5):
        assert await layer.receive(channel) == EVENT


async def test_forgets_what_nobody_read_and_who_did_not_read_it(clock):
    layer = MemoryChannelLayer(expiry=-1)  # expired at once
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.group_send("group", EVENT)
    assert len(layer.channels) == 1
    clock["s"] = 5.0
    await layer.group_send("another", EVENT)
    assert layer.channels == {}
    assert channel not in layer.groups.get("group", {})


def test_the_project_uses_it(settings):
    backend = settings.CHANNEL_LAYERS["default"]["BACKEND"]
    assert backend == f"{MemoryChannelLayer.__module__}.{MemoryChannelLayer.__name__}"
