"""One round: visitors chat, something goes wrong, is healed, and nothing is broken."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from support.management.loadtest.history import check
from support.management.loadtest.report import count_violations
from tests.faults.crowd import Crowd, Question
from tests.faults.recording import read_stored
from tests.faults.registry import Fault
from tests.faults.system import System

NUM_VISITORS = 5
# echoes the visitor's mark and the passages; the nonce tells the texts of calls apart
SCRIPT = 'pace 0.025\nnonce\necho\nsay "\\n"\nnonce\n' + "\n".join(
    f'say "{a}{b}o "' for a in "bdfklm" for b in "aeiu"
)
_LONGEST_S = 100.0

_OPEN_CALLS = """
    SELECT count(*) FROM support_attempt AS call
    JOIN support_turn AS turn ON turn.id = call.turn_id
    WHERE call.outcome = 'running' AND turn.state NOT IN ('queued', 'running')
    AND turn.conversation_id::text IN (
"""


@dataclass(slots=True)
class Round:
    """What came of one round; seconds as visitors felt them.

    `pause_s` is the longest time that somebody who waited saw nothing new, from the
    injection on; `recovery_s` the same of what was left when the fault was over (or,
    for what is never healed, all of it).
    """

    fault: str
    seed: str
    held_s: float = 0.0
    pause_s: float = 0.0
    recovery_s: float = 0.0
    slowest_ack_s: float = 0.0
    messages: int = 0
    acknowledged: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    promises: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def play_round(system: System, fault: Fault, seed: str) -> Round:
    """Inject a fault among visitors, heal it, and check everything afterwards."""
    dice = Random(f"{fault.name}-{seed}")
    prepare(system, fault)
    played = Round(fault.name, seed)
    with Crowd(system.url, NUM_VISITORS, seed=dice.randrange(10**6)) as crowd:
        crowd.wait_until_reading()
        time.sleep(dice.uniform(0, 1.5))
        began_s = time.monotonic()
        hold_s = fault.hold_s + fault.hold_leases * system.lease_s
        healed_s = hold(fault.inject(system, dice), hold_s)
        played.held_s = healed_s - began_s
        played.broken += system.find_dead()
        system.repair()
        if not crowd.wait_until_served(healed_s, _LONGEST_S):
            played.broken.append(f"not all were served within {_LONGEST_S:.0f} s")
        finish(system, crowd, played)
    from_s = healed_s if fault.is_over_when_healed else began_s
    read_times(played, crowd.questions, began_s, from_s)
    check_limits(fault, played)
    return played


def play_in_a_row(system: System, faults: Sequence[Fault], seed: str) -> Round:
    """Inject and heal faults one after the other among the same visitors."""
    dice = Random(seed)
    system.repair()
    system.use_scripts(SCRIPT)
    played = Round("in a row", seed)
    with Crowd(system.url, NUM_VISITORS, seed=dice.randrange(10**6)) as crowd:
        crowd.wait_until_reading()
        began_s = time.monotonic()
        for fault in faults:
            hold_s = fault.hold_s + fault.hold_leases * system.lease_s
            healed_s = hold(fault.inject(system, dice), hold_s)
            played.broken += system.find_dead()
            system.repair()
            if not crowd.wait_until_served(healed_s, _LONGEST_S):
                played.broken.append(f"{fault.name}: not all were served afterwards")
        played.held_s = time.monotonic() - began_s
        finish(system, crowd, played)
    read_times(played, crowd.questions, began_s, healed_s)
    return played


def prepare(system: System, fault: Fault) -> None:
    """Have everything run, and the backend that the fault is about."""
    system.repair()
    if fault.backend == "scripted":
        system.use_scripts(SCRIPT)
    else:
        system.use_model()


def hold(injected: AbstractContextManager[None], hold_s: float) -> float:
    """Inject, wait, heal; return when that was done."""
    with injected:
        time.sleep(hold_s)
    return time.monotonic()


def finish(system: System, crowd: Crowd, played: Round) -> None:
    """Let the visitors part; check what they saw, what is stored and the ledger."""
    helds = crowd.part()
    played.broken += system.find_dead()
    events = [event for held in helds for event in held.events]
    conversations = [held.conversation for held in helds if held.conversation]
    for conversation in conversations:
        events.append(read_stored(system.stack, conversation))
        if events[-1].open_turns:
            played.broken.append(f"turns are open: {events[-1].open_turns}")
    violations = check(events, crowd.marks)
    played.promises = count_violations(violations)
    played.broken += [str(found) for found in violations]
    played.broken += _check_ledger(system, conversations)
    played.broken += _check_logs(system, crowd.marks.values())
    _count(played, crowd)


def _count(played: Round, crowd: Crowd) -> None:
    questions = crowd.questions
    played.messages = len(questions)
    played.acknowledged = sum(question.ack_s is not None for question in questions)
    played.outcomes = dict(Counter(question.state or "none" for question in questions))
    played.errors = dict(crowd.errors)
    gave_up = [
        kind for kind in crowd.errors if kind.startswith(("no reply", "not read"))
    ]
    played.broken += gave_up
    played.broken += [
        f"no outcome: {question.content}"
        for question in questions
        if not question.state and question.ack_s is not None
    ]


def _check_ledger(system: System, conversations: Sequence[str]) -> list[str]:
    """Return what is wrong with the calls that were booked."""
    places = ", ".join("?" * len(conversations))
    [(num_open,)] = system.stack.execute(f"{_OPEN_CALLS}{places})", *conversations)
    return (
        [f"{num_open} calls of ended turns are booked as running"] if num_open else []
    )


def _check_logs(system: System, marks) -> list[str]:
    """Return whose text is in a log: nobody's may be."""
    logs = system.read_logs()
    return [f"text of {mark} is in a log" for mark in marks if mark in logs]


def read_times(
    played: Round, questions: Sequence[Question], began_s: float, from_s: float
) -> None:
    """Measure what the visitors had to wait."""
    now_s = time.monotonic()
    played.pause_s = _measure(questions, lambda q: q.measure_silence(began_s, now_s))
    played.recovery_s = _measure(questions, lambda q: q.measure_silence(from_s, now_s))
    asked = [q for q in questions if q.sent_s >= began_s or (q.ack_s or 0) >= began_s]
    played.slowest_ack_s = _measure(asked, lambda q: (q.ack_s or now_s) - q.sent_s)


def _measure(
    questions: Sequence[Question], measure: Callable[[Question], float]
) -> float:
    return round(max(map(measure, questions), default=0.0), 3)


def check_limits(fault: Fault, played: Round) -> None:
    """Note where a promise's time was not kept."""
    if played.recovery_s > fault.within_s:
        played.broken.append(
            f"somebody waited {played.recovery_s:.1f} s, promised are {fault.within_s}"
        )
    limit_s = fault.acks_within_s
    if limit_s is not None and played.slowest_ack_s > limit_s:
        played.broken.append(
            f"acknowledged after {played.slowest_ack_s:.1f} s, promised are {limit_s}"
        )
