"""A socket that is closed: nothing is heard or said any more, and nothing complains."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from channels.exceptions import StopConsumer

from support.chat.consumers import WidgetConsumer

pytestmark = pytest.mark.django_db(transaction=True)


async def test_nothing_is_heard_after_the_reason_to_close(conversation, connect):
    async with connect(conversation, hello=False) as client:
        await client.send(type="handoff")
        await client.send(type="ping")
        await client.send(type="hello", protocol=2, token="t", last_seq=0)
        assert await client.close_code() == 4401
        assert await client.communicator.receive_nothing()


async def test_what_happens_after_a_close_is_not_said(conversation, connect):
    async with connect(conversation) as client, connect(conversation) as other:
        await client.send(type="hello", protocol=2, token="t", last_seq=0)
        assert await client.close_code() == 4400
        await other.send(type="handoff")
        await other.find("status")
        assert await client.communicator.receive_nothing()


@pytest.mark.parametrize(
    ("error", "is_quiet"), [(OSError, True), (StopConsumer, True), (ValueError, False)]
)
def test_work_beside_the_frames_ends_with_its_socket(error, is_quiet):
    async def end() -> BaseException | None:
        async def fail() -> None:
            raise error

        consumer = WidgetConsumer()
        consumer._tasks = []
        consumer._begin(fail)
        [task] = consumer._tasks
        await asyncio.wait([task])
        return task.exception()

    with ThreadPoolExecutor(1) as thread:  # the browser's loop may run in this one
        found = thread.submit(asyncio.run, end()).result()
    assert (found is None) == is_quiet
