"""Faults at random, two or more at once: `make chaos SEED=7 MINUTES=10`.

The seed alone decides what happens when, for how long, and to whom: the same seed gives
the same schedule. It is printed first.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.catalogue import FAULTS
from tests.faults.crowd import Crowd
from tests.faults.play import NUM_VISITORS, SCRIPT, Round, finish, read_times
from tests.faults.registry import Fault
from tests.faults.report import format_rounds, write_report
from tests.faults.system import PRODUCTION, System

_CALM_S = 15.0  # at the end of the schedule nothing new begins
_LONGEST_S = 180.0
_MOST_S = 20.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that begins and ends at given seconds after the start."""

    fault: str
    begins_s: float
    ends_s: float

    def __str__(self) -> str:
        return f"{self.begins_s:6.1f} s to {self.ends_s:6.1f} s  {self.fault}"


def build_schedule(
    seed: str, minutes: float, faults: Mapping[str, Fault]
) -> list[Planned]:
    """Return what is to happen, in order; each target has one fault at a time.

    Targets are walked through side by side, so that faults of different ones overlap.
    """
    ends_s = minutes * 60 - _CALM_S
    usable = [
        fault
        for fault in faults.values()
        if fault.is_for_chaos and fault.backend == "scripted"
    ]
    planned = []
    for target in sorted({fault.target for fault in usable}):
        dice = Random(f"{seed}-{target}")
        own = sorted(
            (fault for fault in usable if fault.target == target),
            key=lambda fault: fault.name,
        )
        at_s = dice.uniform(2, 10)
        while at_s < ends_s:
            fault = dice.choice(own)
            held_s = fault.hold_s + fault.hold_leases * float(
                PRODUCTION["TURN_LEASE_S"]
            )
            held_s = held_s or dice.uniform(0, 2)
            until_s = round(at_s + min(held_s, _MOST_S), 1)
            planned.append(Planned(fault.name, round(at_s, 1), until_s))
            at_s = until_s + dice.uniform(4, 12)
    return sorted(planned, key=lambda one: (one.begins_s, one.fault))


class Conductor:
    """Injects and heals by a schedule; `conduct` returns when all of it is over."""

    def __init__(self, system: System, schedule: Sequence[Planned], seed: str) -> None:
        self._system = system
        self._seed = seed
        self._schedule = list(schedule)
        self._active: list[tuple[float, str, AbstractContextManager[None]]] = []
        self.broken: list[str] = []
        self.num_overlaps = 0

    def conduct(self) -> None:
        """Play the schedule, as late as it may be on a busy machine."""
        began_s = time.monotonic()
        for number, planned in enumerate(self._schedule):
            self._heal_until(planned.begins_s, began_s)
            self._inject(number, planned)
        self._heal_until(float("inf"), began_s)

    def _inject(self, number: int, planned: Planned) -> None:
        fault = FAULTS[planned.fault]
        injected = fault.inject(self._system, Random(f"{self._seed}-{number}"))
        say(f"{planned.fault}: {fault.title}")
        injected.__enter__()
        self.num_overlaps += bool(self._active)
        self._active.append((planned.ends_s, planned.fault, injected))
        self._active.sort(key=lambda each: each[0])

    def _heal_until(self, at_s: float, began_s: float) -> None:
        """Heal what ends before a moment, then wait for it."""
        while self._active and self._active[0][0] <= at_s:
            ends_s, name, injected = self._active.pop(0)
            time.sleep(max(began_s + ends_s - time.monotonic(), 0))
            injected.__exit__(None, None, None)
            say(f"{name} is over")
            self.broken += self._system.find_dead()
            self._system.start_dead()
        if self._schedule and at_s != float("inf"):
            time.sleep(max(began_s + at_s - time.monotonic(), 0))


def play_chaos(system: System, seed: str, minutes: float) -> Round:
    """Play a schedule among visitors; check everything afterwards."""
    schedule = build_schedule(seed, minutes, FAULTS)
    system.repair()
    system.use_scripts(SCRIPT)
    played = Round("chaos", seed)
    wait_s = minutes * 60 + _LONGEST_S
    with Crowd(system.url, NUM_VISITORS, seed=1, wait_s=wait_s) as crowd:
        crowd.wait_until_reading()
        began_s = time.monotonic()
        conductor = Conductor(system, schedule, seed)
        conductor.conduct()
        played.broken += conductor.broken
        system.repair()
        healed_s = time.monotonic()
        played.held_s = round(healed_s - began_s, 1)
        if not crowd.wait_until_served(healed_s, _LONGEST_S):
            played.broken.append(f"not all were served within {_LONGEST_S:.0f} s")
        finish(system, crowd, played)
    read_times(played, crowd.questions, began_s, healed_s)
    say(f"{len(schedule)} faults, {conductor.num_overlaps} of them during another")
    return played


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Play chaos and say what came of it; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--json", type=Path, default=Path("var/chaos.json"))
    arguments = parser.parse_args()
    seed = arguments.seed or str(Random().randrange(10**6))
    say(f"SEED={seed}")
    for planned in build_schedule(seed, arguments.minutes, FAULTS):
        say(str(planned))
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        System(Path(folder), PRODUCTION, num_webs=2, num_workers=2) as system,
    ):
        played = play_chaos(system, seed, arguments.minutes)
    write_report(arguments.json, [played])
    say(format_rounds([played]))
    say(json.dumps(played.describe(), indent=2))
    return 1 if played.broken else 0


if __name__ == "__main__":
    sys.exit(main())
