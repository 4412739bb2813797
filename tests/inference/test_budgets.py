"""What a budget lets pass, what it books, and whom it tells."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError
from django.utils import timezone

from inference import spends
from inference.budgets import BudgetGate
from inference.models import (
    Backend,
    BackendEvent,
    BackendKind,
    Budget,
    Price,
    Reservation,
    Spend,
)
from inference.routing.gates import FREE, NO_CALL, Refused
from inference.routing.plan import Asker
from inference.spends import hash_visitor
from inference.types import (
    AttemptOutcome,
    AttemptReport,
    ChatMessage,
    CompletionRequest,
)
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)
TODAY = NOON.date()
# 84 bytes and 16 for the message are 100 tokens at most, and 100 more are written: at
# $1,000 and $9,000 a million a call costs at most $1
REQUEST = CompletionRequest((ChatMessage("user", "x" * 84),), max_tokens=100)
ANN, BEN = Asker(visitor="ann"), Asker(visitor="ben")


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """The time that it is; tests may change it."""
    clock = {"now": NOON}
    monkeypatch.setattr(timezone, "now", lambda: clock["now"])
    return clock


def bound(name: str, request: CompletionRequest) -> int:
    return request.max_tokens


@pytest.fixture
def gate():
    return BudgetGate(lambda name: Backend.objects.filter(name=name).first(), bound)


def make_priced(name: str = "cloud") -> Backend:
    row = make_backend(name=name)
    make_price(row)
    return row


def make_price(row: Backend, **values) -> Price:
    rates = {"input_usd_per_mtok": 1000, "output_usd_per_mtok": 9000}
    long_ago = NOON - timedelta(days=99)
    return Price.objects.create(backend=row, valid_from=long_ago, **(rates | values))


def make_budget(row: Backend | None = None, limit="10", **values) -> Budget:
    return Budget.objects.create(backend=row, limit_usd=Decimal(limit), **values)


def report(cost_usd="0.25") -> AttemptReport:
    usd = None if cost_usd is None else Decimal(cost_usd)
    done = AttemptOutcome.COMPLETED
    return AttemptReport("cloud", "m", 1, done, NOON, 900, cost_usd=usd)


def spend(gate, cost_usd="0.25", asker=ANN, backend="cloud") -> None:
    gate.admit(backend, REQUEST, asker).settle(report(cost_usd))


def booked(**key) -> Decimal:
    return Spend.objects.get(**({"visitor": ""} | key)).usd


class TestACall:
    def test_it_reserves_the_most_that_it_may_cost(self, gate):
        make_budget(make_priced())
        gate.admit("cloud", REQUEST, ANN)
        assert Reservation.objects.get().usd == 1
        assert not Spend.objects.exists()

    def test_it_is_booked_with_what_it_cost(self, gate):
        make_budget(make_priced())
        spend(gate, "0.25")
        spend(gate, "0.12345678")
        assert booked(day=TODAY) == Decimal("0.37345678")
        assert not Reservation.objects.exists()

    def test_it_is_booked_in_full_if_nobody_knows_what_it_cost(self, gate):
        make_budget(make_priced())
        spend(gate, None)
        assert booked() == 1

    def test_one_that_was_not_made_costs_nothing(self, gate):
        make_budget(make_priced())
        gate.admit("cloud", REQUEST, ANN).settle(NO_CALL)
        assert not Reservation.objects.exists()
        assert not Spend.objects.exists()

    def test_it_belongs_to_the_day_on_which_it_began(self, gate, now):
        make_budget(make_priced())
        leave = gate.admit("cloud", REQUEST, ANN)
        now["now"] += timedelta(days=1)
        leave.settle(report())
        assert booked(day=TODAY) == Decimal("0.25")

    def test_days_are_those_of_the_server(self, gate, now, settings):
        settings.TIME_ZONE = "Pacific/Auckland"
        make_budget(make_priced())
        spend(gate)
        assert booked(day=TODAY + timedelta(days=1)) == Decimal("0.25")


class TestTheLimit:
    def test_a_call_that_may_pass_it_is_refused(self, gate):
        make_budget(make_priced(), "1.50")
        spend(gate, "0.51")
        with pytest.raises(
            Refused, match=r"over its budget of \$1.5 a day: \$0.51 are"
        ):
            gate.admit("cloud", REQUEST, ANN)
        assert not Reservation.objects.exists()

    def test_it_may_be_reached(self, gate):
        make_budget(make_priced(), "1.50")
        spend(gate, "0.50")
        spend(gate, "1")
        assert booked() == Decimal("1.50")

    def test_what_is_in_flight_counts(self, gate):
        make_budget(make_priced(), "1.50")
        first = gate.admit("cloud", REQUEST, ANN)
        with pytest.raises(Refused, match="calls in flight may use up its budget"):
            gate.admit("cloud", REQUEST, BEN)
        first.settle(report("0.25"))
        gate.admit("cloud", REQUEST, BEN)

    def test_a_new_day_begins_at_nothing(self, gate, now):
        make_budget(make_priced(), "1")
        spend(gate, "1")
        now["now"] += timedelta(days=1)
        spend(gate, "1")
        assert booked(day=TODAY) == booked(day=TODAY + timedelta(days=1)) == 1

    def test_a_month_goes_on_over_days_and_ends(self, gate, now):
        make_budget(make_priced(), "1", period="month")
        spend(gate, "0.75")
        now["now"] += timedelta(days=15)
        with pytest.raises(Refused, match=r"budget of \$1 a month"):
            gate.admit("cloud", REQUEST, ANN)
        now["now"] += timedelta(days=1)
        spend(gate)

    def test_every_budget_has_to_hold(self, gate):
        row = make_priced()
        make_budget(row, "9", period="month")
        make_budget(row, "1")
        spend(gate, "0.75")
        with pytest.raises(Refused, match=r"\$1 a day"):
            gate.admit("cloud", REQUEST, ANN)

    def test_backends_have_their_own(self, gate):
        make_budget(make_priced("one"), "1")
        make_budget(make_priced("two"), "1")
        spend(gate, "1", backend="one")
        spend(gate, "1", backend="two")
        assert booked(backend="one") == booked(backend="two") == 1

    def test_one_of_all_counts_all(self, gate):
        make_priced("one")
        make_priced("two")
        make_budget(None, "1")
        spend(gate, "0.5", backend="one")
        with pytest.raises(Refused, match=r"over the budget of \$1 a day for all back"):
            gate.admit("two", REQUEST, ANN)

    def test_a_call_larger_than_the_budget_is_never_made(self, gate):
        make_budget(make_priced(), "0.99")
        with pytest.raises(Refused, match=r"\$0 are spent"):
            gate.admit("cloud", REQUEST, ANN)


class TestVisitors:
    def test_each_has_the_whole_budget(self, gate):
        make_budget(make_priced(), "1", is_per_visitor=True)
        spend(gate, "0.5", ANN)
        with pytest.raises(Refused, match="for each visitor"):
            gate.admit("cloud", REQUEST, ANN)
        spend(gate, "0.5", BEN)
        assert booked(visitor="") == 1
        assert booked(visitor=hash_visitor("ben")) == Decimal("0.5")

    def test_in_flight_calls_are_theirs_alone(self, gate):
        make_budget(make_priced(), "1.5", is_per_visitor=True)
        gate.admit("cloud", REQUEST, ANN)
        gate.admit("cloud", REQUEST, BEN)
        with pytest.raises(Refused):
            gate.admit("cloud", REQUEST, ANN)

    def test_nobodys_call_has_no_such_budget(self, gate):
        make_budget(make_priced(), "0.5", is_per_visitor=True)
        assert gate.admit("cloud", REQUEST, Asker()) is FREE

    def test_their_names_are_not_stored(self, gate):
        make_budget(make_priced(), is_per_visitor=True)
        spend(gate)
        word = Spend.objects.exclude(visitor="").get().visitor
        assert len(word) == 64
        assert "ann" not in word

    def test_without_such_a_budget_nothing_is_stored_of_them(self, gate):
        make_budget(make_priced())
        spend(gate)
        assert Spend.objects.get().visitor == ""

    def test_what_they_cost_is_forgotten(self, gate, now):
        make_budget(make_priced(), is_per_visitor=True)
        spend(gate)
        now["now"] += timedelta(days=63)
        spends.sweep()
        assert Spend.objects.get().visitor == ""


class TestPrices:
    def test_a_backend_without_a_known_price_is_left_out(self, gate):
        Backend.objects.create(
            name="cloud",
            kind=BackendKind.OPENAI_COMPATIBLE,
            model="m",
            endpoint="https://llm.example/v1",
        )
        assert gate.admit("cloud", REQUEST, ANN) is FREE
        make_budget()
        with pytest.raises(Refused, match="its price is not known, so its budget"):
            gate.admit("cloud", REQUEST, ANN)

    def test_a_machine_of_ours_is_stopped_by_no_budget(self, gate):
        make_budget(make_backend(name="cloud"), "0.00000001")
        assert gate.admit("cloud", REQUEST, ANN) is FREE

    def test_a_free_model_is_stopped_by_no_budget(self, gate):
        row = make_backend(name="cloud")
        make_price(row, input_usd_per_mtok=0, output_usd_per_mtok=0)
        make_budget(row, "0.00000001")
        assert gate.admit("cloud", REQUEST, ANN) is FREE


class TestTelling:
    def test_staff_are_told_once_when_little_is_left(self, gate):
        make_budget(make_priced(), "10", alert_percent=50)
        for cost in ("4.99", "0.01", "0.5"):
            spend(gate, cost)
        event = BackendEvent.objects.get(kind="budget_alert")
        assert event.backend == "cloud"
        assert event.text == "$5 are spent of its budget of $10 a day"

    def test_what_others_spent_meanwhile_is_told_with_the_next_call(self, gate):
        make_budget(make_priced(), "10", alert_percent=50)
        leaves = [gate.admit("cloud", REQUEST, ANN) for _ in range(2)]
        for leave in leaves:
            leave.settle(report("3"))
        assert not BackendEvent.objects.exists()
        gate.admit("cloud", REQUEST, ANN)
        assert BackendEvent.objects.get().text.startswith("$6 are spent")

    def test_they_are_told_again_in_the_next_period(self, gate, now):
        make_budget(make_priced(), "2", alert_percent=50)
        spend(gate, "1")
        now["now"] += timedelta(days=1)
        spend(gate, "1")
        assert BackendEvent.objects.filter(kind="budget_alert").count() == 2

    def test_they_are_told_once_that_it_is_spent(self, gate):
        make_budget(make_priced(), "1", alert_percent=100)
        spend(gate, "0.5")
        for _ in range(3):
            with pytest.raises(Refused):
                gate.admit("cloud", REQUEST, ANN)
        assert BackendEvent.objects.get().kind == "budget_spent"

    def test_nothing_is_said_of_a_visitor(self, gate):
        make_budget(make_priced(), "1", is_per_visitor=True)
        spend(gate, "1")
        text = BackendEvent.objects.get().text
        assert text == "$1 are spent of its budget of $1 a day for each visitor"


class TestDeadWorkers:
    def test_what_they_reserved_is_spent(self, gate, now):
        make_budget(make_priced())
        gate.admit("cloud", REQUEST, ANN)
        now["now"] += timedelta(seconds=119)
        assert spends.sweep() == 0
        now["now"] += timedelta(seconds=2)
        assert spends.sweep() == 1
        assert booked(day=TODAY) == 1
        assert not Reservation.objects.exists()

    @pytest.mark.parametrize(
        ("ends_with", "usd"),
        [(report("0.25"), "0.25"), (report(None), "1"), (NO_CALL, "0")],
    )
    def test_one_that_was_only_slow_is_booked_with_what_it_cost(
        self, gate, now, ends_with, usd
    ):
        make_budget(make_priced(), is_per_visitor=True)
        leave = gate.admit("cloud", REQUEST, ANN)
        now["now"] += timedelta(hours=1)
        spends.sweep()
        leave.settle(ends_with)
        assert {row.usd for row in Spend.objects.all()} == {Decimal(usd)}

    def test_a_database_that_is_away_at_the_end_leaves_it_to_the_sweep(
        self, gate, monkeypatch, caplog
    ):
        make_budget(make_priced())
        leave = gate.admit("cloud", REQUEST, ANN)
        with monkeypatch.context() as patch:
            patch.setattr(spends, "settle", _fail)
            leave.settle(report())
        assert "backend=cloud not booked yet" in caplog.text
        assert Reservation.objects.exists()


def _fail(*_: object):
    raise DatabaseError("gone")


class TestQueries:
    @pytest.mark.parametrize(("is_per_visitor", "more"), [(False, 0), (True, 1)])
    def test_one_with_budgets_costs_as_many_however_many(
        self, django_assert_num_queries, is_per_visitor, more
    ):
        row = make_priced()
        make_budget(row, is_per_visitor=is_per_visitor)
        make_budget(None, period="month")
        gate = BudgetGate({"cloud": row}.get, bound)
        spend(gate)  # the day's first makes the row
        with django_assert_num_queries(4 + 2):  # and a savepoint, as tests have one
            leave = gate.admit("cloud", REQUEST, ANN)
        with django_assert_num_queries(2 + more + 2):
            leave.settle(report())
