"""A consumer that is told to end ends, whatever it was sending."""

import asyncio

import pytest

from support.chat.consumers import WidgetConsumer


class QuickConsumer(WidgetConsumer):
    """Sends to nobody; a send gives way once, as a free socket does."""

    async def send(self, *args: object, **options: object) -> None:
        """Take no time, but let others run."""
        await asyncio.sleep(0)


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_cancel_at_any_moment_of_a_send_arrives(steps: int):
    consumer = QuickConsumer()

    async def send_for_ever() -> None:
        while True:
            await consumer.send_frame({"type": "pong"})

    task = asyncio.create_task(send_for_ever())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    was_heard = task.done()
    while not task.done():  # what a lost cancel leaves behind
        task.cancel()
        await asyncio.sleep(0)
    assert was_heard
