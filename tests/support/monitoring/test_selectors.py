"""What is read of the ledger, and that it stays within bounds."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from support.models import AttemptOutcome, Notice, Role, TurnState
from support.monitoring import selectors
from support.monitoring.periods import PERIODS, build_window
from tests.factories import make_attempt, make_backend, make_turn, past

pytestmark = pytest.mark.django_db


def read(period: str = "day", backend: str = ""):
    return selectors.read_calls(build_window(PERIODS[period], timezone.now())).total(
        backend
    )


def make_call(turn=None, **values):
    turn = turn or make_turn()
    return make_attempt(turn, **{"started_at": past(60)} | values)


def end_turn(turn, state: TurnState, seconds: float = 5):
    turn.reply = turn.conversation.messages.create(
        seq=1000, role=Role.ASSISTANT, notice=Notice.REPLY_FAILED, created_at=past(0)
    )
    turn.state, turn.finished_at = state, past(seconds)
    turn.save()


def test_an_empty_period_has_no_figures():
    figures = read()
    assert (figures.num_calls, figures.known_cost_usd) == (0, None)
    assert figures.ttft.percentiles == (None, None, None)
    assert figures.writing_speed is None


def test_percentiles_are_numpys():
    values = [(n * 7919) % 1500 + 20 for n in range(60)]
    turn = make_turn()
    for value in values:
        make_call(turn, ttft_ms=value, duration_ms=value * 3)
    figures = read()
    assert figures.ttft.percentiles == pytest.approx(
        np.percentile(values, [50, 95, 99])
    )
    assert figures.duration.p95 == pytest.approx(np.percentile(values, 95) * 3)


def test_a_single_call_is_its_percentiles():
    make_call(ttft_ms=120, duration_ms=900, queue_ms=7)
    figures = read()
    spreads = (figures.ttft, figures.duration, figures.queue)
    assert [spread.percentiles for spread in spreads] == [
        (120, 120, 120), (900, 900, 900), (7, 7, 7),
    ]  # fmt: skip


def test_failures_do_not_count_as_durations():
    make_call(duration_ms=100)
    make_call(outcome=AttemptOutcome.FAILED, duration_ms=15000)
    make_call(outcome=AttemptOutcome.CANCELLED, duration_ms=20, ttft_ms=5)
    figures = read()
    assert (figures.duration_ms, figures.ttft_ms) == ([100], [5])


def test_only_the_first_call_of_a_turn_has_a_queue_time():
    turn = make_turn()
    make_call(turn, queue_ms=4, outcome=AttemptOutcome.FAILED)
    make_call(turn, queue_ms=3004)
    assert read().queue_ms == [4]


def test_each_outcome_is_counted_apart():
    outcomes = ["completed", "failed", "failed", "lost", "cancelled"]
    for outcome in outcomes:
        make_call(outcome=outcome)
    make_call(outcome=AttemptOutcome.RUNNING, finished_at=None)
    figures = read()
    assert (
        figures.num_calls, figures.num_replies, figures.num_failed, figures.num_lost,
        figures.num_cancelled, figures.num_failures,
    ) == (6, 1, 2, 1, 1, 3)  # fmt: skip


def test_a_fallback_is_a_reply_by_another_backend_than_the_first():
    turn = make_turn()
    make_call(turn, backend="local", outcome=AttemptOutcome.FAILED)
    make_call(turn, backend="cloud")
    assert (read(backend="cloud").num_fallbacks, read().num_fallbacks) == (1, 1)


def test_a_second_try_of_one_backend_is_no_fallback():
    turn = make_turn()
    make_call(turn, backend="local", outcome=AttemptOutcome.FAILED)
    make_call(turn, backend="local")
    assert read().num_fallbacks == 0


def test_a_failed_helper_is_no_fallback():
    turn = make_turn()
    make_call(turn, backend="local", outcome=AttemptOutcome.FAILED)
    make_call(turn, backend="cloud", outcome=AttemptOutcome.FAILED)
    assert read().num_fallbacks == 0


def test_unpriced_is_not_zero():
    make_call(cost_usd=None)
    make_call(cost_usd=None, outcome=AttemptOutcome.FAILED)
    figures = read()
    assert (figures.known_cost_usd, figures.num_unpriced) == (None, 2)


def test_free_is_zero_and_priced():
    make_call(cost_usd=0)
    figures = read()
    assert (figures.known_cost_usd, figures.num_unpriced) == (Decimal(0), 0)


def test_a_running_call_is_not_unpriced_yet():
    make_call(cost_usd=None, outcome=AttemptOutcome.RUNNING, finished_at=None)
    assert read().num_unpriced == 0


def test_costs_add_up_to_the_last_place():
    for _ in range(10):
        make_call(cost_usd=Decimal("0.10000001"))
    make_call(cost_usd=None)
    figures = read()
    assert figures.known_cost_usd == Decimal("1.00000010")
    assert (figures.num_priced, figures.num_unpriced) == (10, 1)


def test_writing_speed_is_from_the_first_to_the_last_token():
    make_call(ttft_ms=1000, duration_ms=2000, completion_tokens=51)
    make_call(ttft_ms=100, duration_ms=100, completion_tokens=1)
    make_call(ttft_ms=None, duration_ms=100, completion_tokens=90)
    figures = read()
    assert (figures.writing_speed, figures.completion_tokens) == (50, 142)


def test_calls_are_put_into_their_steps():
    now = timezone.now()
    window = build_window(PERIODS["hour"], now)
    make_call(started_at=window.starts[3])
    make_call(started_at=window.starts[4] - timedelta(microseconds=1))
    make_call(started_at=window.starts[4])
    make_call(started_at=window.start - timedelta(microseconds=1))
    steps = selectors.read_calls(window).by_step()
    assert {number: step.num_calls for number, step in enumerate(steps)} == {
        number: {3: 2, 4: 1}.get(number, 0) for number in range(12)
    }


def test_a_call_from_after_the_window_is_left_out():
    make_call(started_at=timezone.now() + timedelta(hours=1))
    assert read().num_calls == 0


def test_backends_are_those_of_the_window_and_the_enabled_ones():
    make_call(backend="deleted")
    make_call(backend="long-ago", started_at=past(40 * 86400))
    make_backend(name="idle")
    make_backend(name="off", is_enabled=False)
    window = build_window(PERIODS["month"], timezone.now())
    assert selectors.read_calls(window).names == ["deleted", "idle"]


def test_above_the_limit_the_latest_calls_are_read(monkeypatch):
    monkeypatch.setattr(selectors, "MAX_CALLS", 3)
    for seconds in (500, 400, 300, 200, 100):
        make_call(started_at=past(seconds), queue_ms=seconds)
    calls = selectors.read_calls(build_window(PERIODS["day"], timezone.now()))
    assert calls.is_cut
    # what began in the same moment as the limit's call is not told apart
    assert sorted(calls.total().queue_ms) == [100, 200, 300, 400]


def test_below_the_limit_nothing_is_cut(monkeypatch):
    monkeypatch.setattr(selectors, "MAX_CALLS", 3)
    for seconds in (300, 200, 100):
        make_call(started_at=past(seconds))
    calls = selectors.read_calls(build_window(PERIODS["day"], timezone.now()))
    assert (calls.is_cut, calls.total().num_calls) == (False, 3)


def test_turns_are_counted_by_how_they_ended():
    window = build_window(PERIODS["hour"], timezone.now() + timedelta(seconds=1))
    end_turn(make_turn(), TurnState.FAILED, seconds=0)
    end_turn(make_turn(), TurnState.ANSWERED, seconds=0)
    end_turn(make_turn(), TurnState.FAILED, seconds=7200)
    make_turn()
    counts = sum(selectors.count_turns(window), Counter())
    assert counts == {TurnState.FAILED: 1, TurnState.ANSWERED: 1}


def test_more_calls_cost_no_more_queries(django_assert_num_queries):
    window = build_window(PERIODS["day"], timezone.now())
    for name in ("a", "b", "c"):
        make_call(backend=name)
        make_call(backend=name, started_at=past(7200))
    with django_assert_num_queries(6):
        selectors.read_calls(window)
        selectors.count_turns(window)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's plan")
def test_the_calls_of_a_window_are_found_by_an_index():
    window = build_window(PERIODS["day"], timezone.now())
    plan = selectors._group_calls(window, window.start).explain()
    assert "USING INDEX attempt_window (started_at>? AND started_at<?)" in plan


@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's plan")
def test_turns_are_counted_by_the_index_alone():
    plan = selectors._group_turns(
        build_window(PERIODS["day"], timezone.now())
    ).explain()
    assert "USING COVERING INDEX turn_window (finished_at>? AND finished_at<?)" in plan
