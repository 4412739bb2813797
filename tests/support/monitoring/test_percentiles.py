"""Percentiles are numpy's, for any values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.monitoring.percentiles import build_spread, percentile

# durations in ms as a day brings them: many alike, a few that ran into a deadline
FIXTURE = [210, 198, 15000, 205, 340, 1210, 260, 260, 980, 305, 41, 15003, 720, 330]


def test_a_fixture_has_the_percentiles_of_numpy():
    expected = np.percentile(FIXTURE, [50, 95, 99]).tolist()
    assert build_spread(FIXTURE).percentiles == pytest.approx(tuple(expected))


def test_a_fixture_has_the_percentiles_worked_out_by_hand():
    # ranks 6.5, 12.35 and 12.87 of 0 to 13
    assert build_spread(FIXTURE).percentiles == pytest.approx(
        (317.5, 15001.05, 15002.61), abs=0.001
    )


@given(st.lists(st.integers(0, 10**7), min_size=1), st.floats(0, 1))
def test_any_values_have_the_percentile_of_numpy(values, share):
    expected = float(np.percentile(values, share * 100))
    assert percentile(sorted(values), share) == pytest.approx(expected, abs=1e-3)


def test_no_value_has_no_percentile():
    spread = build_spread([])
    assert (spread.count, spread.percentiles) == (0, (None, None, None))


def test_a_single_value_is_all_its_percentiles():
    spread = build_spread([42])
    assert (spread.count, spread.percentiles) == (1, (42, 42, 42))
