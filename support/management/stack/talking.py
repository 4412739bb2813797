"""Visitors on websockets who ask, wait for the whole reply, and ask again.

Asynchronous like the load test, whose sockets these are.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone

from support.management.loadtest.connection import Connection
from support.management.loadtest.idle import gather
from support.management.loadtest.plan import Plan
from support.management.loadtest.site import Site

_WAIT_S = 600.0


class NoReply(Exception):  # noqa: N818 - says what happened
    """A question got no answer from the model: there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its reply, as the visitor saw them; seconds of the wall clock."""

    chat: int
    number: int
    turn: UUID
    sent_s: float
    first_s: float
    done_s: float


def talk(
    plan: Plan, num_chats: int, num_messages: int, pause_s: float
) -> list[Exchange]:
    """Return the exchanges of some conversations at once, one message at a time each.

    All begin together, and a message follows `pause_s` after the reply before it.
    Raises NoReply, and what the load test raises.
    """
    return asyncio.run(_talk(plan, num_chats, num_messages, pause_s))


async def _talk(
    plan: Plan, num_chats: int, num_messages: int, pause_s: float
) -> list[Exchange]:
    site = Site(plan)
    connections = [await _connect(plan, site) for _ in range(num_chats)]
    try:
        held: list[list[Exchange]] = [[] for _ in connections]
        async with asyncio.timeout(_WAIT_S):
            await gather(
                *(
                    _hold(plan, chat, connection, num_messages, pause_s, held[chat])
                    for chat, connection in enumerate(connections)
                )
            )
    except TimeoutError as error:
        raise NoReply(f"no reply in {_WAIT_S:.0f} s") from error
    finally:
        for connection in connections:
            await connection.close()
    return [exchange for exchanges in held for exchange in exchanges]


async def _connect(plan: Plan, site: Site) -> Connection:
    session = await site.start_session()
    connection = await Connection.open(plan)
    await connection.greet(session.token, {"last_seq": 0}, lambda frame: None)
    return connection


async def _hold(
    plan: Plan,
    chat: int,
    connection: Connection,
    num_messages: int,
    pause_s: float,
    exchanges: list[Exchange],
) -> None:
    for number in range(num_messages):
        await asyncio.sleep(pause_s)
        question = plan.questions[(5 * chat + number) % len(plan.questions)]
        exchanges.append(await _ask(connection, chat, number, question))


async def _ask(
    connection: Connection, chat: int, number: int, question: str
) -> Exchange:
    """Send a question and read on to the end of its reply."""
    sent_s, clock_s = timezone.now().timestamp(), time.perf_counter()
    client_id = f"stack-{chat:04}-{number:04}"
    await connection.send({"type": "send", "client_id": client_id, "content": question})
    first_s: float | None = None
    frame: dict[str, Any] = {}
    while frame.get("type") != "done":
        frame, at_s = await connection.receive()
        if frame["type"] in ("delta", "done") and first_s is None:
            first_s = at_s
    if frame["state"] != "answered" or first_s is None:
        raise NoReply(f"{question!r} ended as {frame['state']}: see the workers' log")
    return Exchange(
        chat,
        number,
        UUID(frame["turn"]),
        sent_s,
        sent_s + first_s - clock_s,
        sent_s + at_s - clock_s,
    )
