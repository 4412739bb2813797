"""The state machine of a breaker: by case, and by property over any order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    InvalidResponse,
    Misconfigured,
    Overloaded,
    RequestRejected,
)
from inference.routing.breaker import (
    Asked,
    BreakerPolicy,
    BreakerState,
    Change,
    Ended,
    Health,
    Leave,
    Lesson,
    WasReset,
    build_ended,
    dump,
    load,
    step,
)

POLICY = BreakerPolicy(3, pause_s=5, max_pause_s=60)
FAILURE = InvalidResponse("?")


class Breaker:
    """A health on a clock, with what changed so far."""

    def __init__(self, policy=POLICY):
        self.health = Health()
        self.policy = policy
        self.now_s = 1000.0
        self.changes = []
        self.words = []

    def do(self, event):
        done = step(self.health, event, self.now_s, self.policy)
        self.health = done.health
        if done.change:
            self.changes.append(done.change)
            self.words.append(done.words)
        return done.leave

    def ask(self, is_last=False):
        return self.do(Asked(is_last))

    def end(self, error=None, leave=None, was_answered=True):
        leave = leave or Leave(self.now_s)
        self.do(build_ended(leave, error, was_answered))

    def fail(self, times=1, error=FAILURE):
        for _ in range(times):
            self.end(error)

    @property
    def state(self):
        return self.health.state(self.now_s)


@pytest.fixture
def breaker():
    return Breaker()


def test_opens_after_failures_in_a_row(breaker):
    breaker.fail(3)
    assert breaker.state is BreakerState.OPEN
    assert breaker.ask() is None
    assert breaker.words == ["for 5 s: 3 failures in a row, the last InvalidResponse"]


def test_a_success_starts_the_count_again(breaker):
    breaker.fail(2)
    breaker.end()
    breaker.fail(2)
    assert breaker.state is BreakerState.CLOSED


def test_opens_when_too_large_a_share_fails(breaker):
    for _ in range(5):
        breaker.end()
        breaker.fail()
    assert breaker.words == ["for 5 s: 5 of 10 calls failed, the last InvalidResponse"]


def test_a_smaller_share_is_lived_with(breaker):
    for _ in range(20):
        breaker.end()
        breaker.end()
        breaker.fail()
    assert breaker.state is BreakerState.CLOSED


def test_what_is_older_than_the_window_does_not_count(breaker):
    breaker.fail(2)
    breaker.now_s += 61
    breaker.fail(2)
    assert breaker.state is BreakerState.CLOSED


def test_rejected_requests_are_not_the_backends_fault(breaker):
    breaker.fail(9, RequestRejected("too long"))
    assert breaker.state is BreakerState.CLOSED


def test_lets_one_trial_through_after_the_pause(breaker):
    breaker.fail(3)
    breaker.now_s += 5
    assert [bool(breaker.ask()), bool(breaker.ask())] == [True, False]


def test_whoever_is_asked_last_is_called_all_the_same(breaker):
    breaker.fail(3)
    leave = breaker.ask(is_last=True)
    assert (leave, breaker.state) == (Leave(1000.0), BreakerState.OPEN)


def test_an_answer_while_open_closes(breaker):
    breaker.fail(3)
    breaker.now_s += 1
    breaker.end(leave=breaker.ask(is_last=True))
    assert breaker.state is BreakerState.CLOSED


def test_an_answer_that_was_begun_before_says_nothing(breaker):
    early = breaker.ask()
    breaker.now_s += 1
    breaker.fail(3)
    breaker.end(leave=early)
    assert breaker.state is BreakerState.OPEN


def test_a_good_trial_closes(breaker):
    breaker.fail(3)
    breaker.now_s += 5
    breaker.end(leave=breaker.ask())
    assert breaker.state is BreakerState.CLOSED
    assert breaker.changes == [Change.OPENED, Change.TRIED, Change.CLOSED]


def test_a_cancelled_trial_lets_the_next_begin(breaker):
    breaker.fail(3)
    breaker.now_s += 5
    breaker.end(leave=breaker.ask(), was_answered=False)
    assert breaker.ask()


def test_a_trial_that_is_never_reported_does_not_block_for_ever(breaker):
    breaker.fail(3)
    breaker.now_s += 5
    breaker.ask()
    breaker.now_s += 60
    assert breaker.ask()


def test_a_forgotten_trial_that_ends_late_does_not_end_the_next(breaker):
    breaker.fail(3)
    breaker.now_s += 5
    first = breaker.ask()
    breaker.now_s += 60
    breaker.ask()
    breaker.end(leave=first, was_answered=False)
    assert breaker.ask() is None


def test_failed_trials_double_the_pause_up_to_the_longest(breaker):
    breaker.fail(3)
    pauses = []
    for _ in range(6):
        opened_s = breaker.now_s
        while breaker.state is BreakerState.OPEN:
            breaker.now_s += 1
        pauses.append(breaker.now_s - opened_s)
        breaker.end(FAILURE, breaker.ask())
    assert pauses == [5, 10, 20, 40, 60, 60]


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        (AuthenticationFailed("key"), 60),
        (AccountExhausted("no money"), 60),
        (Misconfigured("no such model"), 60),
        (Overloaded("busy", retry_after_s=7), 7),
        (Overloaded("busy", retry_after_s=900), 60),
    ],
    ids=str,
)
def test_opens_at_once_when_the_backend_speaks_clearly(breaker, error, pause_s):
    breaker.end(error)
    breaker.now_s += pause_s - 0.01
    assert breaker.state is BreakerState.OPEN
    breaker.now_s += 0.01
    assert breaker.ask().is_trial


def test_overload_without_a_time_is_an_ordinary_failure(breaker):
    breaker.end(Overloaded("busy"))
    assert breaker.state is BreakerState.CLOSED


def test_a_failure_while_open_does_not_lengthen_the_pause(breaker):
    breaker.fail(3)
    breaker.now_s += 4
    breaker.end(FAILURE)
    breaker.now_s += 1
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_reset_is_news_once(breaker):
    breaker.fail(3)
    breaker.do(WasReset())
    breaker.do(WasReset())
    assert breaker.state is BreakerState.CLOSED
    assert breaker.changes == [Change.OPENED, Change.RESET]


def test_a_health_is_stored_and_read_again(breaker):
    breaker.end()
    breaker.fail(3)
    assert load(dump(breaker.health)) == breaker.health


@pytest.mark.parametrize("values", [{}, {"calls": 1}, {"calls": [], "novelty": 1}])
def test_what_is_no_health_is_refused(values):
    with pytest.raises(ValueError, match="no health"):
        load(values)


actions = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.0, 90.0)),
    st.tuples(st.just("ask"), st.booleans()),
    st.tuples(st.just("end"), st.sampled_from(Lesson), st.floats(0, 120) | st.none()),
    st.tuples(st.just("reset")),
)


@given(st.lists(actions, max_size=60))
def test_whatever_happens_it_keeps_its_word(story):
    breaker, given_leave, trials = Breaker(), [], []
    for verb, *values in story:
        before = breaker.state
        if verb == "wait":
            breaker.now_s += values[0]
        elif verb == "ask":
            leave = breaker.ask(*values)
            if before is BreakerState.CLOSED or values[0]:
                assert leave is not None
            elif before is BreakerState.OPEN:
                assert leave is None
            if leave:
                given_leave.append(leave)
                trials += [leave] if leave.is_trial else []
        elif verb == "end" and given_leave:
            breaker.do(Ended(given_leave.pop(0), *values))
        elif verb == "reset":
            breaker.do(WasReset())
            assert breaker.state is BreakerState.CLOSED
        health = breaker.health
        assert load(dump(health)) == health
        assert len(health.calls) <= POLICY.max_kept
        assert health.open_until_s <= breaker.now_s + POLICY.max_pause_s
    breaker.now_s += POLICY.max_pause_s + POLICY.trial_s
    assert breaker.ask() is not None  # nothing is shut for ever


@given(st.lists(st.booleans(), max_size=80))
def test_it_opens_when_the_rule_says_so(calls):
    breaker = Breaker(BreakerPolicy(max_kept=40))
    told = []
    for is_failure in calls:
        if breaker.state is not BreakerState.CLOSED:
            break
        told.append(is_failure)
        breaker.end(FAILURE if is_failure else None)
    last = told[-40:]
    rules = [
        len(last) >= 3 and all(last[-3:]),
        len(last) >= 10 and bool(last) and last[-1] and sum(last) * 2 >= len(last),
    ]
    assert (breaker.state is BreakerState.OPEN) is any(rules)
