"""A worker or the web process ends in the middle of a reply; the others go on."""

from subprocess import Popen

import pytest

from tests.system.server import Visitor
from tests.system.stack import WORDS, Stack, slow


@pytest.fixture(scope="module")
def stack(new_stack):
    """One web process and its workers for all tests of this file."""
    return new_stack()


@pytest.fixture
def server(stack):
    """Where visitors go."""
    return stack


@pytest.fixture
def begin(stack, visitor):
    """Return a function that has a slow reply begun: its worker, and who reads it."""

    def begin(pause_s: float) -> tuple[Popen, Visitor]:
        stack.use_scripts(slow(pause_s))
        worker = stack.start_with_worker()
        one = visitor()
        one.ask("count")
        one.receive_until("delta", 60)
        return worker, one

    return begin


def read_claims(stack: Stack, visitor: Visitor) -> tuple[int, int]:
    """Return by how many workers the visitor's only turn was claimed, and its attempt.

    A turn that is handed over is not claimed by one worker more.
    """
    [turn] = visitor.finals
    [found] = stack.execute(
        "SELECT num_claims, attempt FROM support_turn WHERE id = ?", turn
    )
    return found


def test_a_worker_that_is_told_to_end_finishes_a_short_reply(stack, begin):
    worker, one = begin(0.05)
    assert stack.terminate(worker) < 10
    assert one.receive_reply() == WORDS
    assert {attempt for views in one.views.values() for attempt, _ in views} == {1}


def test_a_worker_that_is_told_to_end_hands_a_long_reply_over(
    stack, begin, monkeypatch
):
    stack.kill_workers()
    with monkeypatch.context() as brief:
        brief.setitem(stack.settings, "SHUTDOWN_GRACE_S", "1")
        worker, one = begin(0.5)  # longer than a worker takes to start
    stack.use_scripts(slow(0.01))
    stack.start_worker()
    assert stack.terminate(worker) < 10
    assert one.receive_reply() == WORDS
    one.check_views()
    assert read_claims(stack, one) == (1, 2)


def test_a_killed_worker_is_replaced(stack, begin):
    worker, one = begin(0.5)  # longer than a worker takes to start
    stack.use_scripts(slow(0.01))
    stack.start_worker()
    worker.kill()
    assert one.receive_reply() == WORDS
    one.check_views()
    _, attempt = read_claims(stack, one)
    assert attempt == 2


def test_a_web_process_that_is_told_to_end_says_so_to_its_sockets(stack, begin):
    _, one = begin(0.1)
    assert stack.terminate_web() < 10
    assert one.receive_close_code() == 1012
    stack.start()
    one.connect()
    assert one.receive_reply() == WORDS
    assert {attempt for views in one.views.values() for attempt, _ in views} == {1}
