"""Promise 11: a question that kills whoever answers it harms nobody else."""

import threading
import time
from contextlib import contextmanager

import pytest

from tests.faults.crowd import Crowd
from tests.faults.play import NUM_VISITORS, SCRIPT, Round, finish, read_times
from tests.faults.points import POISON
from tests.faults.recording import RecordedVisitor
from tests.faults.system import QUICK, System, wait_until
from tests.services import skip_without_programs

WORD = "hemlock"
MOST_CLAIMS = 3


@pytest.fixture
def lone_system(tmp_path):
    """One worker: whoever is answered is answered beside the poison."""
    skip_without_programs()
    with System(tmp_path, QUICK, num_workers=1) as system:
        yield system


@contextmanager
def supervised(system):
    """Start again what dies, as every supervisor does; poisoned it stays."""
    is_over = threading.Event()

    def supervise() -> None:
        while not is_over.wait(0.5):
            for worker in system.workers:
                if not worker.is_running:
                    worker.start()
                    worker.die_at(f"{POISON} {WORD}")

    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.faults
@pytest.mark.parametrize("which", ["system", "lone_system"])
def test_a_poisonous_question_is_given_up_and_all_others_are_answered(
    request, rounds, which
):
    system = request.getfixturevalue(which)
    system.repair()
    system.use_scripts(SCRIPT)
    for worker in system.workers:
        worker.die_at(f"{POISON} {WORD}")
    played = Round(f"poison, {len(system.workers)} workers", "")
    with supervised(system), Crowd(system.url, NUM_VISITORS) as crowd:
        crowd.wait_until_reading()
        poisoner = RecordedVisitor(system.stack, [], "poisoner")
        poisoner.connect()
        began_s = time.monotonic()
        poisoner.ask(f"What do you know of {WORD}?")
        done = poisoner.receive_until("done", 180)
        played.held_s = time.monotonic() - began_s
        finish(system, crowd, played)
        read_times(played, crowd.questions, began_s, began_s)
        poisoner.disconnect()
    wait_until(lambda: all(w.is_running for w in system.workers), 60, "workers")
    rounds.append(played)
    assert done["state"] == "failed"
    [(claims,)] = system.stack.execute(
        "SELECT num_claims FROM support_turn WHERE id = ?", done["turn"]
    )
    assert claims == MOST_CLAIMS
    assert played.broken == []
    assert played.outcomes == {"answered": played.messages}
