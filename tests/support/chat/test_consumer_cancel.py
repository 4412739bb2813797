"""A consumer that is told to end ends, whatever it was sending."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.chat.consumers import WidgetConsumer


class QuickConsumer(WidgetConsumer):
    """Sends to nobody; a send gives way once, as a free socket does."""

    async def send(self, *args: object, **options: object) -> None:
        """Take no time, but let others run."""
        await asyncio.sleep(0)


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_cancel_at_any_moment_of_a_send_arrives(steps: int):
    with ThreadPoolExecutor(1) as thread:  # the browser's loop may run in this one
        assert thread.submit(asyncio.run, _cancel_after(steps)).result()


async def _cancel_after(steps: int) -> bool:
    """Return whether a consumer that sends all the time heard a cancel."""
    consumer = QuickConsumer()

    async def send_for_ever() -> None:
        while True:
            await consumer._send({"type": "pong"})

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
    return was_heard
