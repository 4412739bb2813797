"""A candidate's replies against the operator's bounds, by table."""

import pytest

from inference.routing.canary import Bounds, Record, find_p95_ms, judge

BOUNDS = Bounds(
    min_replies=20,
    max_ttft_s=2.0,
    max_error_percent=10.0,
    max_thumbs_down_percent=20.0,
    max_handoff_percent=30.0,
)
GOOD = {
    "ttfts_ms": [500] * 19 + [9000], "num_calls": 20, "num_errors": 2,
    "num_replies": 20, "num_thumbs_down": 4, "num_conversations": 10, "num_handoffs": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, ""),
        ({"num_errors": 3}, "15.0 % of its calls failed, more than 10 %"),
        ({"ttfts_ms": [500] * 18 + [2100] * 2},
         "95 % of its first words came within 2.10 s, not 2 s"),
        ({"ttfts_ms": []}, ""),
        ({"num_thumbs_down": 5},
         "25.0 % of its replies got a thumb down, more than 20 %"),
        ({"num_handoffs": 4},
         "40.0 % of its conversations asked for a person, more than 30 %"),
        ({"num_conversations": 0, "num_handoffs": 0}, ""),
        # too few replies to judge by, but not too few calls
        ({"num_replies": 19, "num_thumbs_down": 19}, ""),
        ({"num_replies": 0, "num_errors": 20},
         "100.0 % of its calls failed, more than 10 %"),
        ({"num_replies": 0, "num_calls": 19, "num_errors": 19}, ""),
    ],
)  # fmt: skip
def test_is_rolled_back_when_a_bound_is_crossed(values, why):
    assert judge(Record(**GOOD | values), BOUNDS) == why


def test_without_bounds_nothing_is_crossed():
    worst = Record([99_000] * 50, 50, 50, 50, 50, 50, 50)
    assert judge(worst, Bounds(min_replies=1)) == ""


@pytest.mark.parametrize(
    ("times_ms", "p95_ms"), [([7], 7), (range(1, 21), 19), (range(1, 101), 95)]
)
def test_the_95th_percentile_is_by_nearest_rank(times_ms, p95_ms):
    assert find_p95_ms(list(times_ms)) == p95_ms
