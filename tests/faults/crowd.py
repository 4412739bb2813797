"""Visitors who ask and read all the time, each with a second tab, and when they did.

They are those of the load test, which behave as the widget does. The crowd lives in
the event loop of a thread of its own; the faults are injected from outside.
"""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from types import TracebackType
from typing import Self

from support.management.loadtest.connection import Connection, SocketLost
from support.management.loadtest.history import Event, Received, Sent
from support.management.loadtest.marks import build_mark, choose_run
from support.management.loadtest.measures import Measures
from support.management.loadtest.plan import Plan
from support.management.loadtest.screen import Frame, Screen
from support.management.loadtest.site import Site, Unreachable
from support.management.loadtest.visitor import Held, Visitor

_NEVER = 100_000
_TAB = "tab"
_PAUSE_S = 0.5
_SETTLE_S = 60.0
_PROGRESS = {"delta", "done", "reset"}


@dataclass(slots=True)
class Question:
    """One question of a visitor, and when what was seen of it."""

    content: str
    sent_s: float
    ack_s: float | None = None
    done_s: float | None = None
    state: str = ""
    progress_s: list[float] = field(default_factory=list)

    def measure_silence(self, from_s: float, to_s: float) -> float:
        """Return the longest time within two moments in which it stood still."""
        if self.sent_s >= to_s or (self.done_s is not None and self.done_s < from_s):
            return 0.0
        ends_s = min(self.done_s or to_s, to_s)
        seen_s = [at_s for at_s in self.progress_s if from_s < at_s < ends_s]
        moments_s = [max(self.sent_s, from_s), *seen_s, ends_s]
        return max(later_s - earlier_s for earlier_s, later_s in pairwise(moments_s))


class Guest(Visitor):
    """A visitor whose second tab looks on; keeps the times of its questions."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        super().__init__(
            crowd.plan, crowd.site, crowd.measures, number, crowd.is_over.is_set
        )
        self.mark = build_mark(crowd.plan.run, number)
        self.questions: list[Question] = []
        self._pauses = Random(number)
        self._tab_screen = Screen()
        self._has_caught_up = asyncio.Event()

    async def converse_with_tab(self) -> Held:
        """Hold the conversation while the tab shows it too."""
        tab = asyncio.create_task(self._look_on())
        try:
            return await self.converse()
        finally:
            tab.cancel()
            await asyncio.gather(tab, return_exceptions=True)

    async def _read_again(self) -> None:
        """Give the tab time to catch up before the last look."""
        self._has_caught_up.clear()
        self._compare_tab()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await self._has_caught_up.wait()
        await super()._read_again()

    def _compare_tab(self) -> None:
        if self._screen.messages.keys() <= self._tab_screen.messages.keys():
            self._has_caught_up.set()

    async def _look_on(self) -> None:
        while True:
            with contextlib.suppress(SocketLost, Unreachable):
                if self._session is not None:
                    await self._watch_tab()
            await asyncio.sleep(_PAUSE_S * self._pauses.uniform(0.5, 1.5))

    async def _watch_tab(self) -> None:
        token = await self._find_token()
        async with await Connection.open(self._plan) as connection:
            await connection.greet(token, self._tab_screen.position, self._show_in_tab)
            while True:
                frame, _ = await connection.receive()
                self._show_in_tab(frame)

    def _show_in_tab(self, frame: Frame) -> None:
        self._tab_screen.apply(frame)
        super()._record(Received(self._conversation, _TAB, frame))
        self._compare_tab()

    def _record(self, event: Event) -> None:
        super()._record(event)
        now_s = time.monotonic()
        latest = self.questions[-1] if self.questions else None
        if isinstance(event, Sent):
            if latest is None or latest.content != event.content:
                self.questions.append(Question(event.content, now_s))
        elif isinstance(event, Received) and event.observer == "visitor" and latest:
            self._note(latest, event.frame, now_s)

    def _note(self, latest: Question, frame: Frame, now_s: float) -> None:
        kind = frame["type"]
        if kind == "ack" and latest.ack_s is None:
            latest.ack_s = now_s
        if latest.done_s is None and kind in _PROGRESS:
            latest.progress_s.append(now_s)
            if kind == "done":
                latest.done_s, latest.state = now_s, frame["state"]


class Crowd:
    """Visitors in a thread; a context that begins and ends it.

    They ask until `part`, which lets them finish, has each conversation read again and
    returns all histories.
    """

    def __init__(
        self, url: str, num_visitors: int, seed: int = 1, wait_s: float = 120.0
    ) -> None:
        self.plan = Plan(
            url=url, run=choose_run(), num_chats=num_visitors, num_messages=_NEVER,
            think_s=0.3, wait_s=wait_s, seed=seed,
        )  # fmt: skip
        self.site = Site(self.plan)
        self.measures = Measures()
        self.is_over = threading.Event()
        self.guests = [Guest(self, number) for number in range(num_visitors)]
        self._helds: list[Held] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_over.set()
        if error is None:
            self._thread.join(2 * self.plan.wait_s + _SETTLE_S)

    @property
    def questions(self) -> list[Question]:
        """Return all questions, each visitor's in order."""
        return [question for guest in self.guests for question in list(guest.questions)]

    @property
    def marks(self) -> dict[str, str]:
        """Return the mark of each conversation that has begun."""
        known = [(guest._conversation, guest.mark) for guest in self.guests]
        return {conversation: mark for conversation, mark in known if conversation}

    @property
    def errors(self) -> "Counter[str]":
        """Return what visitors had to bear, by kind."""
        return self.measures.errors

    def wait_until_reading(self, timeout_s: float = 60.0) -> None:
        """Wait until every visitor has seen text."""
        self._wait(lambda: all(_has_text(guest) for guest in self.guests), timeout_s)

    def wait_until_served(self, since_s: float, timeout_s: float) -> bool:
        """Wait until every visitor has got a reply to what was asked since then."""

        def is_served(guest: Guest) -> bool:
            return any(
                question.sent_s >= since_s and question.done_s is not None
                for question in list(guest.questions)
            )

        return self._wait(
            lambda: all(is_served(guest) for guest in self.guests), timeout_s
        )

    def part(self) -> list[Held]:
        """End: return what happened, conversation by conversation."""
        self.is_over.set()
        self._thread.join(2 * self.plan.wait_s + _SETTLE_S)
        assert not self._thread.is_alive(), "the visitors do not come to an end"
        if self._failure is not None:
            raise self._failure
        return self._helds

    def _wait(self, is_so, timeout_s: float) -> bool:
        until_s = time.monotonic() + timeout_s
        while not is_so() and self._thread.is_alive():
            if time.monotonic() > until_s:
                return False
            time.sleep(0.02)
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._helds = asyncio.run(self._converse())
        except BaseException as error:
            self._failure = error

    async def _converse(self) -> list[Held]:
        return list(
            await asyncio.gather(*[guest.converse_with_tab() for guest in self.guests])
        )


def _has_text(guest: Guest) -> bool:
    return any(question.progress_s for question in list(guest.questions))
