"""Promise 1: what was acknowledged is never lost, whatever is killed, whenever."""

import os
import random

import pytest

from tests.faults.kills import play_kills

NUM_KILLS = int(os.environ.get("KILL_ROUNDS") or 200)


@pytest.mark.faults
def test_kills_of_every_kind_at_any_moment_lose_nothing(system, rounds):
    seed = os.environ.get("FAULTS_SEED") or str(random.randrange(10**6))
    played = play_kills(system, NUM_KILLS, seed)
    rounds.append(played)
    assert played.broken == [], f"FAULTS_SEED={seed}"
    assert played.acknowledged >= NUM_KILLS
