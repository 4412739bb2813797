"""What the page says of money: spending, budgets, hardware, and what has no price."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from inference.models import Budget, HourlyCost, Reservation, Spend
from inference.spends import hash_visitor
from support.models import AttemptOutcome
from support.monitoring import selectors, spending
from tests.factories import make_attempt, make_backend, make_turn, past
from tests.support.monitoring.test_page import table, tiles

pytestmark = pytest.mark.django_db

URL = "/admin/monitoring/"
# the middle of a month, so that its days before are of it, too
NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _noon(monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOON)


@pytest.fixture
def read(admin_client):
    return lambda **query: admin_client.get(URL, query).content.decode()


def make_call(backend="cloud", cost_usd="0.25", days_ago=0.0, **values):
    started_at = NOON - timedelta(days=days_ago, minutes=1)
    values = {"started_at": started_at, "finished_at": started_at} | values
    return make_attempt(make_turn(), backend=backend, cost_usd=cost_usd, **values)


class TestSpending:
    def test_today_and_the_month_are_told_apart(self, read):
        make_call()
        make_call(cost_usd="0.5", days_ago=1)
        make_call(cost_usd="9", days_ago=20)
        make_call("other", "1", days_ago=2)
        rows = {row[0]: row[1:] for row in table(read(), "Spending")}
        assert rows["cloud"] == ["$0.250", "-", "0", "$0.750", "-", "0"]
        assert rows["other"] == ["-", "-", "0", "$1.00", "-", "0"]
        assert rows["All"][0::3] == ["$0.250", "$1.75"]

    def test_sums_say_how_much_of_them_is_estimated(self, read):
        make_call()
        make_call(cost_usd="0.125", is_usage_estimated=True)
        page = read()
        assert table(page, "Spending")[0][1:3] == ["$0.375", "$0.125"]
        assert "$0.125 of it estimated" in tiles(page)["Cost"]

    def test_what_has_no_price_is_named_and_in_no_sum(self, read):
        make_call(cost_usd=None, model="new-model", prompt_tokens=4)
        make_call(cost_usd=None, model="new-model", outcome=AttemptOutcome.LOST)
        page = read()
        assert table(page, "Spending")[0][1:4] == ["unpriced", "-", "2"]
        assert table(page, "Unpriced calls") == [["cloud", "new-model", "2", "1"]]

    def test_nothing_is_named_where_all_have_a_price(self, read):
        make_call()
        assert "unpriced-title" not in read()

    def test_a_call_that_runs_is_not_unpriced(self, read):
        running = {"outcome": AttemptOutcome.RUNNING, "finished_at": None}
        make_call(cost_usd=None, **running)
        assert "unpriced-title" not in read()

    def test_a_day_is_the_servers(self, settings):
        settings.TIME_ZONE = "Pacific/Auckland"  # where it is 1:00 of the 16th
        make_call(days_ago=0.1)
        [spent] = spending.read_spending(NOON)
        assert (spent.today.usd, spent.month.usd) == (None, Decimal("0.25"))


class TestBudgets:
    def test_they_are_shown_with_what_is_spent(self, read):
        row = make_backend(name="cloud")
        Budget.objects.create(backend=row, limit_usd=4)
        Spend.objects.create(backend="cloud", day=NOON.date(), usd=3)
        Reservation.objects.create(backend="cloud", day=NOON.date(), usd="0.5")
        [shown] = table(read(), "Budgets")
        assert shown == [
            "cloud, day", "$4.00", "$3.00", "$0.500", "$0.500", "75 %", "open",
        ]  # fmt: skip

    def test_there_is_no_table_without_one(self, read):
        assert "budgets-title" not in read()

    def test_a_new_one_begins_with_what_the_ledger_says(self):
        row = make_backend(name="cloud")
        make_call(cost_usd="0.25")
        make_call(cost_usd="0.5", days_ago=3)
        make_call(cost_usd="9", days_ago=20)
        make_call("other", "1")
        Budget.objects.create(backend=row, limit_usd=4)
        booked = Spend.objects.values_list("backend", "day", "usd").order_by("day")
        assert list(booked) == [
            ("cloud", NOON.date() - timedelta(days=3), Decimal("0.5")),
            ("cloud", NOON.date(), Decimal("0.25")),
        ]

    def test_one_of_all_begins_with_everything(self):
        make_call(cost_usd="0.25")
        make_call("other", "1")
        Budget.objects.create(limit_usd=4)
        [standing] = spending.read_standings(NOON)
        assert standing.booked_usd == Decimal("1.25")

    def test_one_that_is_changed_books_nothing(self):
        budget = Budget.objects.create(limit_usd=4)
        make_call()
        budget.save()
        assert not Spend.objects.exists()

    def test_the_sweeper_sweeps(self):
        old = past(3600)
        day, word = NOON.date(), hash_visitor("ann")
        Reservation.objects.create(
            backend="cloud", day=day, visitor=word, usd=2, created_at=old
        )
        spending.Sweeper().do_round()
        assert {spend.usd for spend in Spend.objects.all()} == {Decimal(2)}


class TestHardware:
    @pytest.fixture(autouse=True)
    def _hours(self):
        HourlyCost.objects.create(
            backend=make_backend(name="own"),
            hardware_usd="1.4",
            power_usd="0.1",
            valid_from=NOON - timedelta(days=90),
        )

    def test_an_idle_month_shows_the_full_cost(self, read):
        [row] = table(read(period="month"), "Own hardware")
        hours = 29 * 24 + 12  # and the half of today
        assert row == [
            "own", "$1.50", "1", "0 h", "0 %", "-", f"${hours * 1.5:,.2f}", "-", "-",
        ]  # fmt: skip

    def test_calls_are_charged_both_ways(self, read):
        for _ in range(2):
            make_call("own", "0", busy_ms=1_800_000, hardware_usd="0.75")
        [row] = table(read(period="day"), "Own hardware")
        assert row[3:7] == ["1 h", "4.3 %", "$1.50", "$34.50"]  # 23 hours until noon
        assert row[7:] == ["$750.00", "$17,250.00"]

    def test_what_providers_bill_is_in_the_cost_of_replies(self, read):
        make_call("own", "0.25", busy_ms=1_800_000, hardware_usd="0.75")
        assert table(read(period="day"), "Own hardware")[0][7] == "$1,000.00"

    def test_of_too_many_calls_only_the_time_that_was_read_counts(
        self, read, monkeypatch
    ):
        monkeypatch.setattr(selectors, "MAX_CALLS", 1)
        for hours in (1, 2, 3):
            at = NOON - timedelta(hours=hours)
            values = {"busy_ms": 1_800_000, "hardware_usd": "0.75", "started_at": at}
            make_call("own", "0", **values, completion_tokens=3600)
        page = read(period="day")
        [row] = table(page, "Own hardware")
        assert row[4:7] == ["50.0 %", "$1.50", "$3.00"]  # of the last two hours
        assert "1.00" in tiles(page)["Tokens per second"]

    def test_only_the_chosen_backend_is_shown(self, read):
        make_backend(name="other")
        assert len(table(read(backend="own"), "Own hardware")) == 1
        assert "hardware-title" not in read(backend="other")

    def test_there_is_no_table_before_there_was_a_cost(self, read):
        HourlyCost.objects.update(valid_from=NOON + timedelta(days=1))
        assert "hardware-title" not in read()
