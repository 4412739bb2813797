"""Kills one process after the other, of every kind, at random moments."""

import time
from collections.abc import Callable
from random import Random

from tests.faults.crowd import Crowd
from tests.faults.play import NUM_VISITORS, SCRIPT, Round, finish, read_times
from tests.faults.system import System

_LONGEST_S = 120.0
_MOST_S = 2.0


def play_kills(system: System, num_kills: int, seed: str) -> Round:
    """Kill `num_kills` times among visitors; check everything afterwards."""
    dice = Random(seed)
    system.repair()
    system.use_scripts(SCRIPT)
    played = Round("kills", seed)
    with Crowd(system.url, NUM_VISITORS, wait_s=_LONGEST_S) as crowd:
        crowd.wait_until_reading()
        began_s = time.monotonic()
        for _ in range(num_kills):
            time.sleep(dice.uniform(0, _MOST_S))
            kind = dice.choice(sorted(KILLS))
            KILLS[kind](system, dice)
            time.sleep(dice.uniform(0, 0.5))
            played.broken += system.find_dead()
            system.repair()
        healed_s = time.monotonic()
        played.held_s = round(healed_s - began_s, 1)
        if not crowd.wait_until_served(healed_s, _LONGEST_S):
            played.broken.append(f"not all were served within {_LONGEST_S:.0f} s")
        finish(system, crowd, played)
    read_times(played, crowd.questions, began_s, healed_s)
    return played


KILLS: dict[str, Callable[[System, Random], None]] = {
    "web": lambda system, dice: system.choose_web(dice).kill(),
    "worker": lambda system, dice: system.choose_worker(dice).kill(),
    "redis": lambda system, dice: system.redis.kill(),
    "postgres": lambda system, dice: system.postgres.kill(),
}
