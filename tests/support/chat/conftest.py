"""A client that speaks the protocol, and a worker that the test conducts."""

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import count
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import connection

from chatbot.asgi import application
from support.chat import answering, visitors
from support.models import Conversation
from tests.factories import make_conversation, make_site
from tests.protocol import client_frame_errors, server_frame_errors

ORIGIN = "https://shop.example"
_numbers = count(1)


class Client:
    """One widget; every frame in both directions is checked against the schema."""

    def __init__(self, communicator: WebsocketCommunicator, token: str = "") -> None:
        self.communicator = communicator
        self.token = token

    async def send(self, **frame) -> None:
        assert client_frame_errors(frame) == []
        await self.communicator.send_to(text_data=json.dumps(frame))

    async def receive(self, wait_s: float = 5) -> dict:
        frame = json.loads(await self.communicator.receive_from(wait_s))
        assert server_frame_errors(frame) == []
        return frame

    async def receive_until(self, kind: str, wait_s: float = 10) -> list[dict]:
        """Return the frames up to and with the first one of a type."""
        frames = []
        async with asyncio.timeout(wait_s):
            while not frames or frames[-1]["type"] != kind:
                frames.append(await self.receive(wait_s))
        return frames

    async def find(self, kind: str) -> dict:
        return (await self.receive_until(kind))[-1]

    async def hello(self, **values) -> list[dict]:
        """Say hello; return the replay."""
        frame = {"type": "hello", "protocol": 1, "token": self.token, "last_seq": 0}
        await self.send(**frame | values)
        return await self.receive_until("replay_done")

    async def ask(self, content: str, client_id: str = "") -> dict:
        """Send a message; return the acknowledgement."""
        client_id = client_id or f"client-{next(_numbers):06}"
        await self.send(type="send", client_id=client_id, content=content)
        return await self.find("ack")

    async def close_code(self) -> int:
        """Return the code that the server closes with, skipping frames."""
        while True:
            output = await self.communicator.receive_output(10)
            if output["type"] == "websocket.close":
                return output["code"]


@pytest.fixture
def conversation(db):
    """A conversation on a website of its own."""
    return make_conversation(make_site(allowed_origins=ORIGIN))


@pytest.fixture
def connect():
    """Return a context manager that opens a socket on a conversation."""

    @asynccontextmanager
    async def _connect(conversation: Conversation, *, hello=True, origin=ORIGIN):
        communicator = WebsocketCommunicator(
            application,
            "/ws/chat/",
            headers=[(b"origin", origin.encode()), (b"host", b"chat.example")],
        )
        is_open, _ = await communicator.connect()
        assert is_open
        site = await sync_to_async(lambda: conversation.site)()
        client = Client(communicator, visitors.sign_token(conversation, site))
        if hello:
            await client.hello()
        try:
            yield client
        finally:
            await communicator.disconnect()

    return _connect


@pytest.fixture
def answer():
    """Return a coroutine function that answers a turn as a worker's thread does."""

    async def _answer(turn_id):
        return await asyncio.to_thread(_produce, turn_id)

    return _answer


def _produce(turn_id):

    try:
        return answering.produce(UUID(str(turn_id)))
    finally:
        connection.close()
