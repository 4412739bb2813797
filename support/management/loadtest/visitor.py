"""A visitor who holds one conversation, whatever becomes of the server meanwhile.

It does what the widget does: it keeps what it shows, sends a message again until it is
acknowledged, and comes back with growing pauses. Afterwards it reads the conversation
as a page does that is loaded anew.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from support.management.loadtest.connection import Connection, SocketLost
from support.management.loadtest.history import (
    Event,
    Left,
    Received,
    Sent,
    Stored,
    Violation,
    check,
)
from support.management.loadtest.marks import build_mark
from support.management.loadtest.measures import Measures, ReplyClock
from support.management.loadtest.plan import Plan
from support.management.loadtest.screen import Frame, Screen
from support.management.loadtest.site import Refused, Session, Site, Unreachable

_ACK_S = 10.0
_READ_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_NUM_READS = 4
_VISITOR, _READER = "visitor", "reader"


class GaveUp(Exception):  # noqa: N818 - says what happened
    """The conversation cannot go on; the message is the kind of error."""


@dataclass(slots=True)
class Asked:
    """A message on its way, and what is known of it."""

    client_id: str
    content: str
    clock: ReplyClock
    drop_after: int  # texts, then the connection is cut; 0: it is not
    turn: str = ""


@dataclass(slots=True)
class Held:
    """A conversation that is over: what happened, and which promises were broken."""

    conversation: str
    events: list[Event] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


class Visitor:
    """One conversation; `converse` plays it from the first hello to the last look."""

    def __init__(
        self,
        plan: Plan,
        site: Site,
        measures: Measures,
        number: int,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._plan = plan
        self._site = site
        self._measures = measures
        self._is_over = is_over
        self._mark = build_mark(plan.run, number)
        self._dice = random.Random(f"{plan.seed}-{number}")  # noqa: S311 - not a secret
        self._screen = Screen()
        self._events: list[Event] = []
        self._session: Session | None = None
        self._connection: Connection | None = None

    async def converse(self) -> Held:
        """Ask, wait for the replies, read all of it again; raises Refused."""
        try:
            await self._hold()
        except GaveUp as error:
            self._measures.errors[str(error)] += 1
            self._leave()
        else:
            self._measures.num_conversations += 1
        if self._session is None:
            return Held("")
        try:
            await self._read_again()
        finally:
            await self._disconnect()
        conversation = self._session.conversation
        violations = check(self._events, {conversation: self._mark})
        return Held(conversation, self._events, violations)

    async def _hold(self) -> None:
        for number in range(self._plan.num_messages):
            if number:
                await asyncio.sleep(self._plan.think_s * self._dice.uniform(0.5, 1.5))
                if self._is_over():
                    return
            try:
                async with asyncio.timeout(self._plan.wait_s):
                    await self._ask(number)
            except TimeoutError as error:
                raise GaveUp(f"no reply in {self._plan.wait_s:g} s") from error

    async def _ask(self, number: int) -> None:
        """Send a message and wait for its reply, over as many sockets as it takes."""
        question = self._dice.choice(self._plan.questions)
        is_dropped = self._dice.random() < self._plan.drop_share
        asked: Asked | None = None
        for pause_s in _growing_pauses(self._dice):
            try:
                await self._connect(is_again=bool(asked))
                asked = asked or Asked(
                    f"load-{self._mark}-{number:04}",
                    f"{question} My name is {self._mark}.",
                    self._begin(),
                    self._dice.randint(1, 8) if is_dropped else 0,
                )
                await self._exchange(asked)
            except (SocketLost, Unreachable) as error:
                if asked:
                    asked.clock.interrupt()
                least_s = await self._lose(error)
                await asyncio.sleep(max(pause_s, least_s))
            else:
                return

    def _begin(self) -> ReplyClock:
        self._measures.num_sent += 1
        now_s = time.perf_counter()
        return ReplyClock(self._measures, self._plan.words_per_s, now_s)

    # One socket

    async def _connect(self, *, is_again: bool) -> None:
        """Have an open socket that is caught up; raises SocketLost, Unreachable."""
        if self._connection is not None:
            return
        began_s = time.perf_counter()
        token = await self._find_token()
        self._connection = await Connection.open(self._plan)
        await self._connection.greet(token, self._screen.position, self._show)
        took_ms = (time.perf_counter() - began_s) * 1000
        measures = self._measures
        (measures.reopen_ms if is_again else measures.open_ms).append(took_ms)

    async def _find_token(self) -> str:
        if self._session is None:
            self._session = await self._site.start_session()
        elif not self._session.is_fresh:
            self._session = await self._site.renew(self._session)
        return self._session.token

    async def _exchange(self, asked: Asked) -> None:
        """Send the message unless that is known to be done; read to the outcome."""
        if not asked.turn:
            await self._send(asked)
        at_s = time.perf_counter()  # if the replay had the outcome
        while asked.turn not in self._screen.outcomes:
            frame, at_s = await self._receive()
            asked.clock.read(frame, at_s)
            if asked.drop_after and asked.clock.num_texts >= asked.drop_after:
                asked.drop_after = 0
                self._drop()
        asked.clock.end(self._screen.outcomes[asked.turn], at_s, self._mark)

    async def _send(self, asked: Asked) -> None:
        """Send the message and read on to its acknowledgement; raises SocketLost."""
        connection = self._open_connection()
        client_id, content = asked.client_id, asked.content
        try:
            async with asyncio.timeout(_ACK_S):
                self._record(Sent(self._conversation, client_id, content))
                await connection.send(
                    {"type": "send", "client_id": client_id, "content": content}
                )
                while not asked.turn:
                    frame, at_s = await self._receive()
                    asked.clock.read(frame, at_s)
                    if frame["type"] == "ack" and frame["client_id"] == client_id:
                        asked.turn = frame["turn"]
                        asked.clock.acknowledge(at_s)
        except TimeoutError as error:
            raise SocketLost(f"no ack in {_ACK_S:.0f} s") from error

    async def _receive(self) -> tuple[Frame, float]:
        """Return the next frame and its time; raises SocketLost, GaveUp, Refused."""
        frame, at_s = await self._open_connection().receive()
        self._show(frame)
        if frame["type"] == "error":
            await self._bear(frame)
        return frame, at_s

    async def _bear(self, error: Frame) -> None:
        """Do what the protocol says of an error."""
        code = error["code"]
        if code == "rate_limited":
            raise Refused(self._explain_limit(error))
        self._measures.errors[f"error {code}"] += 1
        if code == "token_expired" and self._session is not None:
            self._session = await self._site.renew(self._session)
        if code not in ("token_expired", "unavailable"):
            raise GaveUp(f"stopped by error {code}")
        raise SocketLost("")  # come back, and send again what has no ack

    def _explain_limit(self, error: Frame) -> str:
        limits = self._site.limits
        if "client_id" not in error:
            return (
                "Rate limited: too many frames on one socket. Raise FRAMES_PER_MINUTE "
                f"on the server, now {limits.get('frames_per_minute')}."
            )
        return (
            "Rate limited: too many messages. Raise MESSAGES_PER_MINUTE on the server, "
            f"now {limits.get('messages_per_minute')} for a conversation and ten "
            "times that for an address, or think longer (--think-s)."
        )

    def _drop(self) -> None:
        self._measures.num_dropped += 1
        self._open_connection().cut()
        raise SocketLost("")  # not an error of the server

    async def _lose(self, error: SocketLost | Unreachable) -> float:
        """Count a lost socket and let it go; return the least pause in seconds."""
        kind = str(error) if isinstance(error, SocketLost) else "unreachable"
        if kind:
            self._measures.errors[kind] += 1
        await self._disconnect()
        if isinstance(error, Unreachable):
            return 0.0
        if error.needs_token and self._session is not None:
            self._session = replace(self._session, renew_at_s=0.0)
        return error.least_pause_s

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # What is written down

    @property
    def _conversation(self) -> str:
        return self._session.conversation if self._session else ""

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("there is no open socket")
        return self._connection

    def _record(self, event: Event) -> None:
        self._events.append(event)

    def _show(self, frame: Frame) -> None:
        self._record(Received(self._conversation, _VISITOR, frame))
        self._screen.apply(frame)

    def _leave(self) -> None:
        self._record(Left(self._conversation, _VISITOR))

    # The last look

    async def _read_again(self) -> None:
        """Write down what is stored, as a page shows it that is loaded anew."""
        for pause_s in itertools.islice(_growing_pauses(self._dice), _NUM_READS):
            with contextlib.suppress(SocketLost, Unreachable, TimeoutError):
                async with asyncio.timeout(_READ_S):
                    await self._read_all()
                return
            await asyncio.sleep(pause_s)
        self._measures.num_unchecked += 1
        self._measures.errors["not read again"] += 1

    async def _read_all(self) -> None:
        screen, frames = Screen(), list[Frame]()

        def show(frame: Frame) -> None:
            self._record(Received(self._conversation, _READER, frame))
            screen.apply(frame)
            frames.append(frame)

        token = await self._find_token()
        async with await Connection.open(self._plan) as connection:
            await connection.greet(token, screen.position, show)
            while (oldest := min(screen.messages, default=1)) > 1:
                await connection.send({"type": "history", "before_seq": oldest})
                kind = ""
                while kind != "history":
                    frame, _ = await connection.receive()
                    show(frame)
                    kind = frame["type"]
        turns = {frame["turn"] for frame in frames if frame["type"] == "turn"}
        self._record(
            Stored(
                self._conversation,
                [message for _, message in sorted(screen.messages.items())],
                frozenset(turns - screen.outcomes.keys()),
            )
        )


def _growing_pauses(dice: random.Random) -> Iterator[float]:
    """Yield the seconds to wait before each next try, without an end."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s * dice.uniform(0.5, 1.5)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
