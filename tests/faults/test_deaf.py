"""Promise 19: readiness is red when workers live and take no jobs."""

import json

import pytest

from tests.faults.play import Round
from tests.faults.system import wait_until

RED_WITHIN_S = 10.0
GREEN_WITHIN_S = 60.0
PROBE_S = 1.0


@pytest.mark.faults
def test_deaf_workers_turn_readiness_red_and_hear_again_by_themselves(system, rounds):
    system.repair()
    system.use_scripts("say fine")
    wait_until(lambda: system.probe()[0] == 200, GREEN_WITHIN_S, "green before")
    for worker in system.workers:
        worker.redis.freeze_existing()
    red_s = wait_until(
        lambda: system.probe()[0] == 503, RED_WITHIN_S + PROBE_S, "red when deaf"
    )
    checks = json.loads(system.probe()[1])["checks"]
    assert checks["database"]["ok"]
    assert checks["broker"]["ok"]
    green_s = wait_until(
        lambda: system.probe()[0] == 200, GREEN_WITHIN_S, "green when they hear again"
    )
    assert system.find_dead() == []
    rounds.append(Round("deaf", "", red_s, pause_s=red_s, recovery_s=green_s))
