"""A socket that is closed: nothing is heard or said any more, and nothing complains."""

import asyncio

import pytest
from channels.exceptions import StopConsumer

from support.chat.bounded_socket import BoundedSocket

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
async def test_work_beside_the_frames_ends_its_socket(error, is_quiet, caplog):
    class Failing(BoundedSocket):
        async def websocket_connect(self, _: dict) -> None:
            self.begin(fail())

    async def fail() -> None:
        raise error

    async def receive() -> dict:
        if not first:
            await asyncio.Event().wait()
        return first.pop()

    async def send(_: dict) -> None:
        pass

    first = [{"type": "websocket.connect"}]
    async with asyncio.timeout(5):
        await Failing()({"type": "websocket"}, receive, send)
    assert ("a socket ends" not in caplog.text) == is_quiet
