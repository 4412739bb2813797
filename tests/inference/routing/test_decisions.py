"""What the router decides for one request, and what it says of it."""

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import (
    AuthenticationFailed,
    GoesElsewhere,
    Interrupted,
    InvalidResponse,
    Overloaded,
    RequestRejected,
    Timeout,
    Unavailable,
)
from inference.routing.breaker import BreakerState
from inference.routing.gates import NO_CALL
from inference.routing.journey import RetryPolicy
from inference.routing.plan import Asker, Earlier, Errand
from inference.types import (
    AttemptStarted,
    DeadlineKind,
    Deadlines,
    Delta,
)
from tests.inference.routing.scripted_calls import says
from tests.inference.routing.trips import (
    DEADLINES,
    REQUEST,
    YES,
    Booking,
    Trip,
    fails,
)


def test_a_plain_answer_is_two_sentences():
    trip = Trip({"local": YES}).run()
    assert trip.trace == [
        "Asked local first: it comes first in the order.",
        "local answered.",
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unavailable("10.0.0.1 refused"), "it could not be reached"),
        (Overloaded("429"), "it was too busy"),
        (RequestRejected("your text ..."), "it refused the request"),
        (AuthenticationFailed("sk-1234"), "it did not accept its key"),
        (InvalidResponse("<html>"), "its answer made no sense"),
        (Interrupted("reset"), "the connection broke"),
        (Timeout(DeadlineKind.FIRST_TOKEN, 5.0), "no word came within 5 s"),
        (Timeout(DeadlineKind.GAP, 2.0), "it fell silent for 2 s"),
        (Timeout(DeadlineKind.CONNECT, 3.0), "it could not be reached within 3 s"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_is_said_without_quoting_it(error, said):
    trip = Trip({"local": [fails(error)], "cloud": YES}).run()
    assert trip.trace[1:] == [
        f"local failed at once: {said}.", "Asked cloud.", "cloud answered.",
    ]  # fmt: skip


def test_a_failure_in_the_middle_is_said():
    broken = [[(0.1, Delta("Our")), (0.1, InvalidResponse("?"))]]
    trip = Trip({"local": broken, "cloud": YES}).run()
    assert trip.trace[1] == (
        "local failed in the middle of its reply: its answer made no sense."
    )


def test_what_a_gate_refuses_is_skipped():
    gate = Booking({"cloud": "over its budget of $10 a day"})
    trip = Trip({"cloud": YES, "local": YES}, gate=gate).run()
    assert trip.calls.names == ["local"]
    assert trip.trace[0] == "Skipped cloud: over its budget of $10 a day."
    assert gate.settled == ["local"]


def test_a_refused_trial_is_left_to_the_next():
    trip = Trip({"cloud": [fails(AuthenticationFailed("key"))], "local": YES}).run()
    trip.clock.now_s += 61
    trip.gate.refused["cloud"] = "no"
    trip.run()
    assert trip.router.breakers.ask("cloud", "").is_trial


def test_when_all_are_refused_nobody_is_asked():
    trip = Trip({"cloud": YES}, gate=Booking({"cloud": "no"})).run()
    assert str(trip.error) == "nobody may be asked"
    assert trip.trace == ["Skipped cloud: no.", "Gave up: nobody may be asked."]


def test_a_private_conversation_never_leaves():
    trip = Trip({"cloud": YES, "local": YES}, asker=Asker(is_private=True))
    trip.values["cloud"] = {"leaves_house": True}
    trip.run()
    assert trip.calls.names == ["local"]
    assert trip.trace[0] == "Skipped cloud: the conversation is private."


def test_says_where_a_call_is_computed():
    trip = Trip({"cloud": YES})
    trip.values["cloud"] = {"host": "eu.example", "region": "EU", "leaves_house": True}
    started = trip.run().items[0]
    assert started == AttemptStarted(
        "cloud", "cloud-model", 1, "eu.example", "EU", True
    )


class TestRetries:
    def test_a_short_pause_is_waited_for_when_nothing_is_left(self):
        busy = fails(Overloaded("429", retry_after_s=3.0))
        trip = Trip({"cloud": [busy, *YES]}).run()
        assert trip.items[-1].text == "Yes"
        assert trip.clock.now_s == pytest.approx(1003.45)
        assert trip.trace[2] == "Asked cloud again."

    def test_whoever_can_answer_now_goes_before_the_pause(self):
        busy = fails(Overloaded("429", retry_after_s=3.0))
        trip = Trip({"cloud": [busy, *YES], "local": YES}).run()
        assert trip.calls.names == ["cloud", "local"]
        assert trip.clock.now_s < 1001

    @pytest.mark.parametrize("retry_after_s", [9.0, 120.0])
    def test_a_long_pause_is_not_waited_for(self, retry_after_s):
        busy = fails(Overloaded("429", retry_after_s=retry_after_s))
        trip = Trip({"cloud": [busy, *YES]}).run()
        assert trip.calls.names == ["cloud"]
        pause = f"it asked for a pause of {retry_after_s:g} s"
        assert f"Did not wait for cloud: {pause}." in trip.trace

    def test_a_pause_beyond_the_deadline_is_not_waited_for(self):
        brief = Deadlines(connect_s=1, first_token_s=5, gap_s=2, total_s=4)
        busy = fails(Overloaded("429", retry_after_s=5.0))
        trip = Trip({"cloud": [busy, *YES]})
        trip.values["cloud"] = {"deadlines": brief}
        assert trip.run().calls.names == ["cloud"]

    def test_pauses_grow_and_differ(self):
        policy = RetryPolicy(pause_s=0.4, chance=lambda: 0.75)
        error = Unavailable("x")
        pauses_s = [policy.choose_pause_s(error, number) for number in (1, 2, 3, 9)]
        assert pauses_s == [0.5, 1.0, 2.0, 8.0]
        assert RetryPolicy(chance=lambda: 0.25).choose_pause_s(error, 1) < 0.3

    def test_what_was_rejected_is_not_asked_again(self):
        trip = Trip({"local": [fails(RequestRejected("no"))]}).run()
        assert trip.calls.names == ["local"]

    def test_after_the_total_deadline_nobody_is_asked(self):
        late = [fails(Timeout(DeadlineKind.TOTAL, 20.0))]
        trip = Trip({"local": late, "cloud": YES}).run()
        assert trip.calls.names == ["local"]


class TestEarlierWorkers:
    def test_their_calls_count(self):
        gone = [fails(Unavailable("gone"))]
        earlier = Earlier(num_calls=4)
        trip = Trip({"a": gone, "b": gone, "c": YES}, earlier=earlier).run()
        assert trip.calls.names == ["a", "b"]
        assert trip.trace[-1] == "Gave up: 6 calls were made for this question."

    def test_whoever_failed_them_is_asked_after_the_others(self):
        earlier = Earlier(1, {"local": 1}, frozenset({"local"}))
        trip = Trip({"local": YES, "cloud": YES}, earlier=earlier).run()
        assert trip.calls.names == ["cloud"]

    def test_whoever_failed_them_twice_is_not_asked(self):
        earlier = Earlier(2, {"local": 2}, frozenset({"local"}))
        trip = Trip({"local": YES}, earlier=earlier).run()
        assert trip.calls.names == []
        assert trip.trace[0] == "Skipped local: it failed for an earlier worker."


class TestBreaker:
    def test_the_last_one_standing_is_asked(self):
        trip = Trip({"local": [fails(AuthenticationFailed("key")), *YES]})
        trip.run()
        assert trip.router.breakers.read(["local"])["local"].state is BreakerState.OPEN
        assert trip.run().items[-1].text == "Yes"
        why = "it failed of late and is given a pause"
        assert f"Passed over local: {why}." in trip.trace

    def test_an_answer_closes_it_at_once(self):
        trip = Trip({"local": [fails(AuthenticationFailed("key")), *YES]})
        trip.run()
        trip.clock.now_s += 1
        trip.run()
        standing = trip.router.breakers.read(["local"])["local"]
        assert standing.state is BreakerState.CLOSED

    def test_a_call_that_was_never_made_teaches_nothing(self):
        trip = Trip({"local": YES})
        with closing(trip.stream()) as stream:
            next(stream)
        assert trip.gate.settled == [NO_CALL.backend]
        assert trip.router.breakers.read(["local"])["local"].num_calls == 0


class TestSpill:
    @pytest.fixture
    def trip(self):
        trip = Trip({"local": YES, "cloud": YES})
        trip.values["local"] = {"target_ttft_s": 2.0}
        trip.backends["local"].foreseen_s = 4.2
        return trip

    def test_what_would_come_late_goes_to_the_next(self, trip):
        trip.run()
        assert trip.calls.names == ["cloud"]
        assert trip.items[-1].spilled_from == "local"
        assert trip.trace == [
            "Passed over local: its first word was foreseen after 4.2 s, later than "
            "its target of 2 s.",
            "Asked cloud.",
            "cloud answered.",
        ]

    def test_what_comes_in_time_stays(self, trip):
        trip.backends["local"].foreseen_s = 1.9
        assert trip.run().calls.names == ["local"]
        assert trip.items[-1].spilled_from == ""

    def test_it_lasts_for_a_moment(self, trip):
        trip.run()
        trip.backends["local"].foreseen_s = 0.1
        trip.run()
        assert trip.calls.names == ["cloud", "cloud"]
        why = "it is catching up after a long queue"
        assert f"Passed over local: {why}." in trip.trace
        trip.clock.now_s += 4
        assert trip.run().calls.names[-1] == "local"

    def test_without_another_one_it_is_waited_for(self, trip):
        del trip.backends["cloud"]
        assert trip.run().calls.names == ["local"]

    def test_a_private_conversation_waits(self, trip):
        trip.values["cloud"] = {"leaves_house": True}
        private = Errand(REQUEST, trip.cancel, asker=Asker(is_private=True))
        trip.errand = private
        assert trip.run().calls.names == ["local"]

    def test_when_the_next_one_fails_it_is_waited_for(self, trip):
        trip.calls._scripts["cloud"] = [fails(RequestRejected("no"))]
        trip.run()
        assert trip.calls.names == ["cloud", "local"]
        last = trip.items[-1]
        assert (last.spilled_from, last.stands_in_for) == ("", "")

    def test_the_workers_of_the_next_one_take_it_over(self, trip):
        trip.values["cloud"] = {"elsewhere": "cloud"}
        trip.errand = Errand(REQUEST, trip.cancel, can_hand_over={"cloud"}.__contains__)
        trip.run()
        assert (trip.error.queue, trip.error.spilled_from) == ("cloud", "local")
        assert trip.calls.names == []
        assert trip.gate.settled == [NO_CALL.backend]
        assert trip.trace[-1] == "Left it to the workers of cloud."

    def test_without_such_workers_it_is_called_here(self, trip):
        trip.values["cloud"] = {"elsewhere": "cloud"}
        assert trip.run().calls.names == ["cloud"]

    def test_a_failure_is_no_reason_to_hand_over(self, trip):
        trip.backends["local"].foreseen_s = None
        trip.calls._scripts["local"] = [fails(RequestRejected("no"))]
        trip.values["cloud"] = {"elsewhere": "cloud"}
        trip.errand = Errand(REQUEST, trip.cancel, can_hand_over={"cloud"}.__contains__)
        assert trip.run().calls.names == ["local", "cloud"]


ERRORS = [
    Unavailable("x"), Overloaded("x"), Overloaded("x", retry_after_s=2.0),
    Overloaded("x", retry_after_s=60.0), RequestRejected("x"), Interrupted("x"),
    InvalidResponse("x"), AuthenticationFailed("x"),
    Timeout(DeadlineKind.FIRST_TOKEN, 5.0),
]  # fmt: skip
script = st.lists(
    st.one_of(
        st.sampled_from(ERRORS).map(fails),
        st.sampled_from(ERRORS).map(lambda e: [(0.1, Delta("Our")), (0.1, e)]),
        st.just(says("Yes")),
    ),
    min_size=1,
    max_size=4,
)
options = st.fixed_dictionaries(
    {
        "leaves_house": st.booleans(),
        "target_ttft_s": st.none() | st.just(2.0),
        "elsewhere": st.sampled_from(["", "cloud"]),
    }
)
traits = st.fixed_dictionaries(
    {
        "ready": st.booleans(),
        "full": st.booleans(),
        "foreseen_s": st.sampled_from([None, 0.5, 9.0]),
    }
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(script, options, traits), min_size=1, max_size=4),
    st.booleans(),
    st.sets(st.sampled_from("abcd")),
    st.integers(0, 7),
    st.booleans(),
)
def test_no_call_is_made_that_must_not_be(crowd, is_private, refused, before, can):
    crowd = dict(zip("abcd", crowd, strict=False))
    trip = Trip(
        {name: script for name, (script, _, _) in crowd.items()},
        gate=Booking(dict.fromkeys(refused, "no")),
        asker=Asker(is_private=is_private),
        earlier=Earlier(num_calls=before),
        can_hand_over=lambda queue: can,
    )
    for name, (_, values, each) in crowd.items():
        trip.values[name] = values
        vars(trip.backends[name]).update(each)
    trip.run()
    called = trip.calls.names
    assert len(called) <= max(6 - before, 0)
    assert not set(called) & refused
    if is_private:
        assert not any(crowd[name][1]["leaves_house"] for name in called)
    for name in set(called):
        again = [report for report in trip.reports if report.backend == name][:-1]
        assert len(again) <= 1
        assert all(
            report.error in {"Unavailable", "Overloaded", "Interrupted"}
            for report in again
        )
    assert [report.backend for report in trip.reports] == called
    assert len(trip.gate.settled) == len(trip.gate.admitted)
    assert trip.clock.now_s <= 1000 + DEADLINES.total_s
    if isinstance(trip.error, GoesElsewhere):
        assert (called, before) == ([], 0)
