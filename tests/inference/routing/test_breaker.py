import pytest

from inference.errors import (
    AuthenticationFailed,
    InvalidResponse,
    Overloaded,
    RequestRejected,
)
from inference.routing.breaker import Breaker, BreakerPolicy, BreakerState
from tests.inference.routing.scripted_calls import ScriptedClock

FAILURE = InvalidResponse("?")


@pytest.fixture
def clock():
    return ScriptedClock()


@pytest.fixture
def breaker(clock):
    return Breaker(clock, BreakerPolicy(3, pause_s=5, max_pause_s=60))


def fail(breaker, times, error=FAILURE):
    for _ in range(times):
        breaker.record_failure(error)


def test_opens_after_consecutive_failures(breaker):
    fail(breaker, 3)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows_call()


def test_a_success_starts_the_count_again(breaker):
    fail(breaker, 2)
    breaker.record_success()
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_rejected_requests_are_not_the_backends_fault(breaker):
    fail(breaker, 9, RequestRejected("too long"))
    assert breaker.state is BreakerState.CLOSED


def test_lets_one_trial_through_after_the_pause(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 5
    assert [breaker.allows_call(), breaker.allows_call()] == [True, False]


def test_a_good_trial_closes(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 5
    breaker.allows_call()
    breaker.record_success()
    assert breaker.state is BreakerState.CLOSED


def test_a_cancelled_trial_lets_the_next_begin(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 5
    breaker.allows_call()
    breaker.record_cancelled()
    assert breaker.allows_call()


def test_a_trial_that_is_never_reported_does_not_block_for_ever(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 5
    breaker.allows_call()
    clock.now_s += 60
    assert breaker.allows_call()


def test_failed_trials_double_the_pause_up_to_the_longest(breaker, clock):
    fail(breaker, 3)
    pauses = []
    for _ in range(6):
        opened_s = clock()
        while breaker.state is BreakerState.OPEN:
            clock.now_s += 1
        pauses.append(clock() - opened_s)
        breaker.allows_call()
        breaker.record_failure(FAILURE)
    assert pauses == [5, 10, 20, 40, 60, 60]


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        (AuthenticationFailed("key"), 60),
        (Overloaded("busy", retry_after_s=7), 7),
        (Overloaded("busy", retry_after_s=900), 60),
    ],
)
def test_opens_at_once_when_the_backend_speaks_clearly(breaker, clock, error, pause_s):
    breaker.record_failure(error)
    clock.now_s += pause_s - 0.01
    assert breaker.state is BreakerState.OPEN
    clock.now_s += 0.01
    assert breaker.state is BreakerState.HALF_OPEN  # type: ignore[comparison-overlap]


def test_overload_without_a_time_is_an_ordinary_failure(breaker):
    breaker.record_failure(Overloaded("busy"))
    assert breaker.state is BreakerState.CLOSED


def test_a_late_failure_does_not_lengthen_the_pause(breaker, clock):
    fail(breaker, 3)
    clock.now_s += 4
    breaker.record_failure(FAILURE)
    clock.now_s += 1
    assert breaker.state is BreakerState.HALF_OPEN
