"""What machines cost by the hour, and each call's share of it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import registry
from inference.hourly import (
    add_up_reserved,
    count_machine_ms,
    find_current,
    read_hourly_costs,
)
from inference.models import HourlyCost
from inference.types import AttemptOutcome, AttemptReport, EngineTimings
from tests.factories import make_backend

BEGINNING = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def cost(hours: float, usd="1", power="0", num_machines=1) -> HourlyCost:
    """Return a row that counts from so many hours after the beginning on."""
    return HourlyCost(
        hardware_usd=Decimal(usd),
        power_usd=Decimal(power),
        num_machines=num_machines,
        valid_from=BEGINNING + hours * HOUR,
    )


def reserve(costs, start: float, end: float) -> Decimal | None:
    return add_up_reserved(costs, BEGINNING + start * HOUR, BEGINNING + end * HOUR)


class TestReserved:
    def test_an_idle_month_costs_all_its_hours(self):
        assert reserve([cost(0, "0.75", power="0.05")], 0, 30 * 24) == 576

    def test_each_cost_counts_until_the_next(self):
        costs = [cost(0, "1"), cost(10, "2"), cost(15, "0")]
        assert reserve(costs, 5, 20) == 5 * 1 + 5 * 2

    def test_there_is_none_before_the_first(self):
        assert reserve([cost(10)], 0, 10) is None
        assert reserve([cost(10)], 0, 12) == 2
        assert reserve([], 0, 10) is None

    def test_one_that_was_given_back_costs_nothing_and_is_known(self):
        assert reserve([cost(0, "0")], 0, 10) == 0

    def test_machines_cost_as_many_times(self):
        assert reserve([cost(0, "0.5", num_machines=3)], 0, 2) == 3

    def test_it_is_exact_to_the_eighth_place(self):
        # $0.10 an hour for a second, rounded to the even digit once
        assert reserve([cost(0, "0.1")], 0, 1 / 3600) == Decimal("0.00002778")

    @given(
        starts=st.lists(st.integers(0, 100), min_size=1, max_size=5, unique=True),
        prices=st.lists(st.decimals(0, 9, places=2), min_size=5, max_size=5),
        cut=st.integers(0, 100),
    )
    def test_two_halves_are_the_whole(self, starts, prices, cut):
        starts.sort()
        costs = [cost(n, str(usd)) for n, usd in zip(starts, prices, strict=False)]
        halves = [reserve(costs, 0, cut), reserve(costs, cut, 101)]
        assert sum(filter(None, halves)) == reserve(costs, 0, 101)

    def test_time_is_that_of_all_machines(self):
        costs = [cost(0), cost(1, num_machines=2)]
        end = BEGINNING + 2 * HOUR
        assert count_machine_ms(costs, BEGINNING, end) == 3 * 3_600_000

    def test_the_one_that_counts_now(self):
        costs = [cost(0), cost(5)]
        assert find_current(costs, BEGINNING + 5 * HOUR) is costs[1]
        assert find_current(costs, BEGINNING - HOUR) is None


@pytest.mark.django_db
class TestShares:
    @pytest.fixture
    def row(self):
        row = make_backend(name="local")
        for each in (cost(0, "3", power="0.6", num_machines=4), cost(9, "99")):
            each.backend = row
            each.save()
        return row

    def bill(self, busy_ms: int, hours=1.0) -> Decimal | None:
        timings = EngineTimings(0, None, busy_ms)
        done, at = AttemptOutcome.COMPLETED, BEGINNING + hours * HOUR
        report = AttemptReport("local", "m", 1, done, at, 900, engine=timings)
        return registry.bill(report).hardware_usd

    def test_a_call_pays_for_the_time_that_it_kept_one_machine_busy(self, row):
        assert self.bill(2500) == Decimal("0.0025")
        assert self.bill(0) == 0

    def test_by_the_cost_of_the_time_when_it_began(self, row):
        assert self.bill(1000, hours=8.9) == Decimal("0.001")
        assert self.bill(1000, hours=9) == Decimal("0.0275")

    def test_it_is_unknown_before_there_was_a_cost(self, row):
        assert self.bill(1000, hours=-1) is None

    def test_a_provider_has_no_share_of_ours(self, row):
        done = AttemptOutcome.COMPLETED
        report = AttemptReport("local", "m", 1, done, BEGINNING + HOUR, 900)
        assert registry.bill(report).hardware_usd is None

    def test_costs_are_read_in_their_order(self, row, django_assert_num_queries):
        with django_assert_num_queries(1):
            [costs] = read_hourly_costs().values()
        assert [each.hardware_usd for each in costs] == [3, 99]
