"""Whose the engine's time was: the shares of all requests are all of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.busy_times import BusyTimes
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.runner import Outcome
from inference.engine.wire import Finished
from tests.inference.engine.fake_runner import FakeRunner
from tests.inference.engine.test_engine import ask


class Clock:
    """A clock that steps take their time of."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def make_bench(clock, step_s, outcomes=()):
    """Return an engine whose steps take what the function says of their tokens."""
    runner = FakeRunner(num_cells=400, end_every=0, outcomes=outcomes)

    def take_time(step):
        clock.now_s += step_s(step.num_tokens) if step.chunks else 0.0

    runner.on_compute = take_time
    config = EngineConfig("-", max_sequences=4, max_batch_tokens=16)
    return Engine(runner, config, clock)


def run(engine, clock, idle_s=0.0):
    """Run to the end; return the share of each request, in milliseconds."""
    shares = {}
    while engine.has_work:
        clock.now_s += idle_s
        for event in engine.step():
            if isinstance(event, Finished):
                shares[event.key] = event.completion.engine.busy_ms
    return shares


@settings(max_examples=25)
@given(
    requests=st.lists(
        st.tuples(st.text("ab ", max_size=60), st.integers(1, 30)),
        min_size=1,
        max_size=9,
    ),
    base_s=st.floats(0.0001, 2.0),
    token_s=st.floats(0.0, 0.1),
    disturbances=st.lists(
        st.sampled_from([Outcome.COMPUTED, Outcome.ABORTED]), max_size=3
    ),
)
def test_the_shares_are_the_busy_time(requests, base_s, token_s, disturbances):
    clock = Clock()
    engine = make_bench(clock, lambda n: base_s + n * token_s, disturbances)
    for number, (question, max_tokens) in enumerate(requests):
        engine.submit(str(number), ask(question, max_tokens))
    if disturbances:
        engine.cancel_soon("0")
    shares = run(engine, clock, idle_s=3.0)
    assert len(shares) == len(requests)
    busy_s = engine.read_stats().busy_s
    # to the millisecond that fractions are kept of, however many requests there are
    assert sum(shares.values()) == pytest.approx(busy_s * 1000, abs=1.0)


def test_a_request_alone_has_all_of_it():
    clock = Clock()
    engine = make_bench(clock, lambda n: 0.5)
    engine.submit("a", ask("tents?", 4))
    [busy_ms] = run(engine, clock, idle_s=9.0).values()
    assert busy_ms == 1000 * engine.read_stats().busy_s
    assert busy_ms % 500 == 0


def test_who_has_more_tokens_computed_pays_more():
    clock = Clock()
    engine = make_bench(clock, lambda n: 0.01 * n)
    engine.submit("short", ask("hi", 5))
    engine.submit("long", ask("tents and boots and kayaks " * 3, 5))
    shares = run(engine, clock)
    assert shares["long"] > shares["short"] > 0


def test_waiting_costs_nothing():
    clock = Clock()
    engine = make_bench(clock, lambda n: 1.0)
    engine.submit("a", ask("tents?", 2))
    engine.submit("b", ask("boots?", 2))
    engine.cancel_soon("b")
    assert run(engine, clock)["b"] == 0


class TestTimes:
    def test_a_step_is_divided_by_tokens(self):
        times = BusyTimes()
        times.begin(10.0)
        times.divide(14.0, {"a": 3, "b": 1})
        assert (times.close("a"), times.close("b")) == (3000, 1000)

    def test_what_follows_the_decode_call_is_divided_with_the_next_step(self):
        times = BusyTimes()
        times.begin(10.0)
        times.divide(11.0, {"a": 1})
        times.end(11.5)
        times.begin(20.0)
        times.divide(21.0, {"b": 1})
        assert (times.close("a"), times.close("b")) == (1000, 1500)
        assert times.total_s == 2.5

    def test_fractions_of_milliseconds_are_not_lost(self):
        times = BusyTimes()
        times.begin(0.0)
        times.divide(0.001, dict.fromkeys("abcd", 1))
        assert sorted(times.close(key) for key in "abcd") == [0, 0, 0, 1]

    def test_who_computed_nothing_was_not_busy(self):
        assert BusyTimes().close("a") == 0
