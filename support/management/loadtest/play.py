"""A load test from the first call to the last: idle visitors, chats, and the clock.

It is asynchronous, unlike the rest of the project, because one thread can hold
thousands of sockets only that way.
"""

import asyncio
import itertools
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from support.management.loadtest.idle import IdleReport, IdleSockets, gather
from support.management.loadtest.measures import Measures
from support.management.loadtest.plan import Plan
from support.management.loadtest.processes import Usage, read_usage
from support.management.loadtest.site import Refused, Site, Unreachable
from support.management.loadtest.visitor import Held, Visitor

Tell = Callable[[str], None]

_LOOK_S = 0.1
_TELL_S = 10.0
_SPARE_FILES = 100
_KEPT_HISTORIES = 10


@dataclass(slots=True)
class Played:
    """A load test that is over."""

    plan: Plan
    measures: Measures = field(default_factory=Measures)
    broken: list[Held] = field(default_factory=list)
    idle: IdleReport | None = None
    took_s: float = 0.0
    own_cpu_s: float = 0.0
    server: Usage | None = None  # of the plan's processes, if they lived to the end


async def play(plan: Plan, tell: Tell = lambda line: None) -> Played:
    """Play a load test; `tell` gets a line now and then.

    Raises Refused if the server does not let the test in, ValueError if a process of
    the plan is not there.
    """
    _allow_files(2 * plan.num_chats + plan.num_idle)
    read_usage(plan.server_pids)
    site, played = Site(plan), Played(plan)
    try:
        await site.read_config()
    except Unreachable as error:
        raise Refused(str(error)) from error
    idle = IdleSockets(plan, site, played.measures)
    try:
        if plan.num_idle:
            tell(f"opening {plan.num_idle} idle sockets")
            played.idle = await idle.measure()
        if plan.num_chats:
            await _play_chats(site, played, tell)
        if played.idle:
            played.idle.lost = idle.count_lost()
    finally:
        await idle.close()
    return played


def _allow_files(num_sockets: int) -> None:
    """Let this process open so many files; raises Refused if it must not."""
    needed = num_sockets + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Refused(f"{needed} open files are needed, {hard} allowed: see ulimit -n.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _play_chats(site: Site, played: Played, tell: Tell) -> None:
    plan = played.plan
    began_s, own_cpu_s = time.perf_counter(), time.process_time()
    before = read_usage(plan.server_pids)
    watchers = [
        asyncio.create_task(_watch_lag(played.measures)),
        asyncio.create_task(_watch_progress(played.measures, tell)),
    ]
    numbers = itertools.count()
    ends_s = began_s + plan.duration_s
    try:
        chats = [
            _play_chat(site, played, numbers, number, ends_s)
            for number in range(plan.num_chats)
        ]
        await gather(*chats)
    finally:
        for watcher in watchers:
            watcher.cancel()
    played.took_s = time.perf_counter() - began_s
    played.own_cpu_s = time.process_time() - own_cpu_s
    with suppress(ValueError):
        after = read_usage(plan.server_pids)
        played.server = Usage(after.memory_bytes, after.cpu_s - before.cpu_s)


async def _play_chat(
    site: Site,
    played: Played,
    numbers: "itertools.count[int]",
    place: int,
    ends_s: float,
) -> None:
    """Hold one conversation after the other until the time is over."""
    plan = played.plan
    await asyncio.sleep(plan.ramp_up_s * place / plan.num_chats)

    def is_over() -> bool:
        return plan.duration_s > 0 and time.perf_counter() >= ends_s

    while True:
        visitor = Visitor(plan, site, played.measures, next(numbers), is_over)
        held = await visitor.converse()
        if held.violations:
            if len(played.broken) >= _KEPT_HISTORIES:
                held.events = []
            played.broken.append(held)
        if not plan.duration_s or is_over():
            return


async def _watch_lag(measures: Measures) -> None:
    """Measure how late this program is itself: its own times cannot be better."""
    while True:
        due_s = time.perf_counter() + _LOOK_S
        await asyncio.sleep(_LOOK_S)
        measures.lag_ms.append((time.perf_counter() - due_s) * 1000)


async def _watch_progress(measures: Measures, tell: Tell) -> None:
    for number in itertools.count(1):
        await asyncio.sleep(_TELL_S)
        tell(
            f"{number * _TELL_S:.0f} s: {measures.num_sent} messages sent, "
            f"{sum(measures.states.values())} replies, "
            f"{sum(measures.errors.values())} errors"
        )
