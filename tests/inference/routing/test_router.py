from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import (
    AuthenticationFailed,
    Interrupted,
    InvalidResponse,
    NoBackendLeft,
    Overloaded,
    RequestRejected,
    Unavailable,
)
from inference.routing.journey import RetryPolicy
from inference.routing.order import Ranking
from inference.routing.plan import Candidate, Errand
from inference.routing.router import Router
from inference.types import (
    AttemptOutcome,
    AttemptStarted,
    CancelToken,
    ChatMessage,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    Reset,
    Routed,
)
from tests.inference.routing.scripted_calls import (
    END,
    NamedBackend,
    ScriptedCalls,
    ScriptedClock,
    says,
)

REQUEST = CompletionRequest((ChatMessage("user", "Where is my tent?"),), max_tokens=9)
DEADLINES = Deadlines(connect_s=1, first_token_s=5, gap_s=2, total_s=20)


class Trip:
    """One routed request: what came out, what was reported, what was called."""

    def __init__(self, max_calls=6, backends=None, deadlines=None, **scripts):
        self.clock = ScriptedClock()
        self.calls = ScriptedCalls(self.clock, **scripts)
        policy = RetryPolicy(max_calls, pause_s=0.0)
        self.router = Router(policy, clock=self.clock, open_call=self.calls)
        patience = dict.fromkeys(scripts, DEADLINES) | (deadlines or {})
        self.candidates = [
            Candidate(backend, patience[backend.name])
            for backend in backends or [NamedBackend(name) for name in scripts]
        ]
        self.cancel = CancelToken()
        self.reports = []
        self.items = []

    def stream(self):
        errand = Errand(REQUEST, self.cancel, self.reports.append)
        return self.router.route(errand, Ranking(tuple(self.candidates)))

    def run(self):
        for item in self.stream():
            self.items.append(item)
        return self

    @property
    def seen(self):
        """What a visitor reads, resets as None."""
        return [
            item.text if isinstance(item, Delta) else None
            for item in self.items
            if isinstance(item, Delta | Reset)
        ]

    @property
    def outcomes(self):
        return [(report.backend, report.error) for report in self.reports]


def test_answers_from_the_first_backend():
    trip = Trip(local=[says("In ", "stock")], cloud=[says("no")]).run()
    assert trip.items == [
        AttemptStarted("local", "local-model", 1),
        Delta("In "),
        Delta("stock"),
        Routed("In stock", trip.items[-1].completion, tuple(trip.reports)),
    ]


def test_measures_the_call():
    report = Trip(local=[says("a", "b", pause_s=0.25)]).run().reports[0]
    assert (report.ttft_ms, report.duration_ms, report.num_deltas) == (250, 500, 2)
    assert report.outcome is AttemptOutcome.COMPLETED
    assert report.usage.prompt_tokens == 5


def test_falls_back_unseen_before_the_first_delta():
    trip = Trip(local=[[(0.1, Unavailable("gone"))]], cloud=[says("Yes")]).run()
    assert trip.seen == ["Yes"]
    assert trip.outcomes == [("local", "Unavailable"), ("cloud", "")]


def test_resets_in_the_open_after_the_first_delta():
    broken = [(0.1, Delta("Our te")), (0.1, Interrupted("cut"))]
    trip = Trip(local=[broken], cloud=[says("Yes")]).run()
    assert trip.seen == ["Our te", None, "Yes"]
    assert trip.items[-1].text == "Yes"


def test_keeps_the_shown_text_when_nobody_is_left():
    broken = [(0.1, Delta("Our te")), (0.1, InvalidResponse("?"))]
    trip = Trip(local=[broken])
    with pytest.raises(NoBackendLeft) as caught:
        trip.run()
    assert trip.seen == ["Our te"]
    assert caught.value.attempts == tuple(trip.reports)


def test_asks_a_lone_backend_again_when_its_connection_broke():
    trip = Trip(local=[[(0.1, Unavailable("restarting"))], says("Yes")]).run()
    assert trip.outcomes == [("local", "Unavailable"), ("local", "")]


def test_whoever_stood_beside_a_fatal_request_gets_one_more_try():
    broken, beside = Interrupted("the engine stopped"), Interrupted("again")
    beside.is_others_fault = True
    trip = Trip(local=[[(0.1, broken)], [(0.1, beside)], says("Yes")]).run()
    assert trip.outcomes == [("local", "Interrupted")] * 2 + [("local", "")]


def test_does_not_ask_again_what_was_rejected():
    trip = Trip(local=[[(0.1, RequestRejected("no"))]])
    with pytest.raises(NoBackendLeft):
        trip.run()
    assert trip.calls.names == ["local"]


def test_makes_no_more_calls_than_allowed():
    gone = [[(0.1, Unavailable("gone"))]]
    trip = Trip(max_calls=2, a=gone, b=gone, c=[says("late")])
    with pytest.raises(NoBackendLeft):
        trip.run()
    assert trip.calls.names == ["a", "b"]


@pytest.mark.parametrize(
    ("events", "detail"),
    [
        ([(6.0, Delta("late"))], "first_token deadline passed after 5.0 s"),
        ([(1.0, Delta("a")), (2.5, Delta("b"))], "gap deadline passed after 2.0 s"),
        ([(1.0, Delta("a")), (0.5, END)], "the stream ended without a completion"),
        ([(1.0, END)], "the stream ended without a completion"),
    ],
)
def test_leaves_a_backend_that_stalls_or_ends_badly(events, detail):
    trip = Trip(local=[events], cloud=[says("Yes")]).run()
    assert trip.reports[0].error_detail == detail
    assert trip.items[-1].text == "Yes"
    assert trip.calls.opened[0][1].is_abandoned


BRIEF = Deadlines(connect_s=1, first_token_s=0.5, gap_s=0.25, total_s=20)


@pytest.mark.parametrize(
    ("events", "detail"),
    [
        ([(0.6, Delta("late"))], "first_token deadline passed after 0.5 s"),
        ([(0.1, Delta("a")), (0.3, Delta("b"))], "gap deadline passed after 0.2 s"),
    ],
)
def test_an_impatient_backend_is_left_beside_a_patient_one(events, detail):
    late = says("Yes", pause_s=1.9)
    trip = Trip(deadlines={"local": BRIEF}, local=[events], cloud=[late]).run()
    assert trip.reports[0].error_detail == detail
    assert trip.items[-1].text == "Yes"


def test_a_patient_backend_is_waited_for_beside_an_impatient_one():
    late = says("Yes", pause_s=1.9)
    trip = Trip(deadlines={"cloud": BRIEF}, local=[late], cloud=[says("no")]).run()
    assert trip.calls.names == ["local"]
    assert trip.items[-1].text == "Yes"


def test_total_deadline_covers_all_calls_together():
    slow = [[(1.9, Delta(str(n))) for n in range(50)]]
    trip = Trip(a=slow, b=[says("never")])
    with pytest.raises(NoBackendLeft):
        trip.run()
    assert trip.reports[0].error_detail == "total deadline passed after 20.0 s"
    assert trip.calls.names == ["a"]


def test_empty_deltas_do_not_count_as_text():
    trip = Trip(local=[[(0.1, Delta("")), (0.1, Unavailable("gone"))], says("Yes")])
    assert trip.run().seen == ["Yes"]
    assert trip.reports[0].ttft_ms is None


def test_cancelled_between_deltas_it_keeps_the_text_and_the_usage():
    trip = Trip(local=[says("one ", "two ", "three")])
    for item in trip.stream():
        trip.items.append(item)
        if item == Delta("two "):
            trip.cancel.cancel()
    routed = trip.items[-1]
    assert routed.text == "one two "
    assert routed.completion.finish_reason is FinishReason.CANCELLED
    assert routed.completion.usage.completion_tokens == 2
    assert [report.outcome for report in trip.reports] == [AttemptOutcome.CANCELLED]


def test_a_backend_that_ignores_the_cancel_is_not_waited_for():
    trip = Trip(local=[[(0.1, Delta("a")), (99.0, Delta("b"))]])
    stream = trip.stream()
    [next(stream), next(stream)]
    trip.cancel.cancel()
    assert next(stream).completion.usage is None
    assert trip.clock() < 1001


def test_cancelled_before_the_first_call_it_makes_none():
    trip = Trip(local=[says("a")])
    trip.cancel.cancel()
    trip.run()
    assert trip.items[-1].text == ""
    assert trip.reports == []


def test_a_closed_stream_is_reported_as_cancelled():
    trip = Trip(local=[says("a", "b")])
    with closing(trip.stream()) as stream:
        [next(stream), next(stream)]
    assert [report.outcome for report in trip.reports] == [AttemptOutcome.CANCELLED]
    assert trip.calls.opened[0][1].is_abandoned


def test_a_stream_closed_before_the_call_reports_nothing():
    trip = Trip(local=[says("a")])
    with closing(trip.stream()) as stream:
        next(stream)
    assert (trip.reports, trip.calls.opened) == ([], [])


@pytest.mark.parametrize("trait", [{"ready": False}, {"full": True}])
def test_asks_an_unwilling_backend_last(trait):
    backends = [NamedBackend("local", **trait), NamedBackend("cloud")]
    trip = Trip(backends=backends, local=[says("a")], cloud=[says("b")]).run()
    assert trip.calls.names == ["cloud"]
    assert trip.items[-1].stands_in_for == "local"


def test_asks_a_lone_unwilling_backend_all_the_same():
    trip = Trip(backends=[NamedBackend("local", full=True)], local=[says("a")]).run()
    assert trip.items[-1].text == "a"


def test_a_backend_that_keeps_failing_cools_down():
    broken = [[(0.1, InvalidResponse("?"))]]
    trip = Trip(local=broken, cloud=[says("Yes")])
    for _ in range(3):
        trip.run()
    trip.run()
    assert trip.calls.names[-3:] == ["local", "cloud", "cloud"]


def test_a_cooled_down_backend_is_tried_again_after_the_pause():
    trip = Trip(local=[[(0.1, AuthenticationFailed("key"))]], cloud=[says("Yes")])
    trip.run()
    trip.clock.now_s += 61
    trip.run()
    assert trip.calls.names == ["local", "cloud", "local", "cloud"]


def test_changed_settings_forget_the_past():
    trip = Trip(local=[[(0.1, Overloaded("busy", 30))]], cloud=[says("Yes")]).run()
    trip.candidates[0] = replace(trip.candidates[0], version="new")
    trip.run()
    assert trip.calls.names == ["local", "cloud", "local", "cloud"]


pauses = st.floats(0.0, 8.0)
deltas = st.tuples(pauses, st.text("ab ", max_size=3).map(Delta))
endings = st.one_of(
    st.just(says()[0]),
    st.tuples(pauses, st.sampled_from([Unavailable("x"), RequestRejected("x"), END])),
)
scripts = st.builds(lambda body, end: [*body, end], st.lists(deltas), endings)


@given(st.lists(scripts, min_size=1, max_size=4), st.integers(0, 12))
def test_every_view_is_a_prefix_of_the_reply_and_every_call_is_reported(bodies, stop):
    names = [f"backend{number}" for number in range(len(bodies))]
    trip = Trip(**{name: [body] for name, body in zip(names, bodies, strict=True)})
    shown, routed = "", None
    try:
        for number, item in enumerate(trip.stream()):
            shown = "" if isinstance(item, Reset) else shown
            shown += item.text if isinstance(item, Delta) else ""
            routed = item if isinstance(item, Routed) else routed
            if number == stop:
                trip.cancel.cancel()
    except NoBackendLeft:
        assert not trip.cancel.is_cancelled
    assert routed is None or routed.text == shown
    assert [report.backend for report in trip.reports] == trip.calls.names
    assert [report.number for report in trip.reports] == [
        *range(1, len(trip.reports) + 1)
    ]
    assert len(trip.reports) <= 6
    assert all(call.is_abandoned for _, call in trip.calls.opened)
    assert trip.clock() <= 1000 + DEADLINES.total_s + 0.5
