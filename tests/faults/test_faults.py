"""Every fault, several times, on the whole system: `make faults`.

FAULTS_SEED repeats a run's dice, FAULT_ROUNDS is how often each fault is injected.
"""

import os
import random

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.play import play_in_a_row, play_round

# a socket of a visitor that was lost while it was being opened, left by websockets 17.4
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
NUM_ROUNDS = int(os.environ.get("FAULT_ROUNDS") or 3)
SEED = os.environ.get("FAULTS_SEED") or str(random.randrange(10**6))


@pytest.mark.faults
@pytest.mark.parametrize("number", range(NUM_ROUNDS))
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_breaks_no_promise(system, rounds, name, number):
    played = play_round(system, FAULTS[name], f"{SEED}-{number}")
    rounds.append(played)
    assert played.broken == [], f"FAULTS_SEED={SEED}"


def test_a_row_of_faults_breaks_no_promise(quick_system, rounds):
    quick = [fault for fault in FAULTS.values() if fault.is_quick]
    played = play_in_a_row(quick_system, quick, SEED)
    rounds.append(played)
    assert played.broken == [], f"FAULTS_SEED={SEED}"
    assert played.messages > 5 * len(quick)
