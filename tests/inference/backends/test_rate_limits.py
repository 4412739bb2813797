from datetime import UTC, datetime

import pytest

from inference.backends.rate_limits import RateWatch, read_rate_limits
from inference.types import RateLimits, Usage
from tests.inference.routing.scripted_calls import ScriptedClock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEFT = "x-ratelimit-remaining-requests"
RESET = "x-ratelimit-reset-requests"


@pytest.fixture
def clock():
    return ScriptedClock()


@pytest.fixture
def watch(clock):
    return RateWatch(clock)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("120ms", 0.12),
        ("12.5", 12.5),
        ("2026-11-22T12:00:30Z", 30),
        ("2026-11-22T12:00:30+00:00", 30),
        ("2026-11-22T11:00:00Z", 0),
        ("soon", None),
        ("1s later", None),
        ("999999999", None),
        ("", None),
    ],
)
def test_reads_when_a_limit_is_reset(reset, seconds):
    limits = read_rate_limits({LEFT: "3", RESET: reset}, NOW)
    assert limits == RateLimits(3, seconds)


@pytest.mark.parametrize("left", ["", "many", "-1", "1.5", "²", "9" * 5000])
def test_says_nothing_of_what_it_cannot_read(left):
    assert read_rate_limits({LEFT: left, RESET: "1s"}, NOW) is None


def test_is_full_until_the_reset(watch, clock):
    watch.learn(RateLimits(requests_left=0, requests_reset_s=30))
    clock.now_s += 29
    assert watch.is_full()
    clock.now_s += 2
    assert not watch.is_full()
    assert watch.read() is None


def test_calls_since_then_take_from_what_is_left(watch):
    watch.learn(RateLimits(requests_left=2, requests_reset_s=30))
    watch.start_call()
    assert not watch.is_full()
    watch.start_call()
    assert watch.is_full()


def test_is_full_with_fewer_tokens_than_a_call_takes(watch):
    watch.learn_usage(Usage(900, 100))
    watch.learn(RateLimits(tokens_left=1000, tokens_reset_s=30))
    assert not watch.is_full()
    watch.learn(RateLimits(tokens_left=999, tokens_reset_s=30))
    assert watch.is_full()


def test_a_limit_without_a_reset_is_soon_forgotten(watch, clock):
    watch.learn(RateLimits(requests_left=0))
    assert watch.is_full()
    clock.now_s += 1
    assert not watch.is_full()


def test_an_answer_that_says_nothing_changes_nothing(watch):
    watch.learn(RateLimits(requests_left=0, requests_reset_s=30))
    watch.learn(None)
    assert watch.is_full()


def test_who_was_told_nothing_is_not_full(watch):
    assert not watch.is_full()
    assert watch.read() is None
