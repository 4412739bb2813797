"""How budgets stand, and what is booked for them."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from inference import spends
from inference.models import Budget, Spend
from inference.spends import read_standings
from tests.inference.test_budgets import (
    ANN,
    BEN,
    REQUEST,
    TODAY,
    booked,
    gate,
    make_budget,
    make_priced,
    now,
    spend,
)

__all__ = ["gate", "now"]  # fixtures

pytestmark = pytest.mark.django_db


class TestStandings:
    def test_they_say_what_is_spent_and_in_flight(self, gate):
        row = make_priced()
        make_budget(row, "8")
        make_budget(None, "100", period="month")
        spend(gate, "2")
        gate.admit("cloud", REQUEST, ANN)
        Spend.objects.create(backend="other", day=TODAY.replace(day=1), usd=5)
        everything, own = read_standings(TODAY)
        assert everything.booked_usd == Decimal(7)
        assert everything.in_flight_usd == Decimal(1)
        assert (own.booked_usd, own.left_usd) == (Decimal(2), Decimal(5))
        assert own.share == Decimal("0.25")
        assert own.state == "open"

    def test_one_of_each_visitor_shows_who_spent_most(self, gate):
        make_budget(make_priced(), "4", is_per_visitor=True)
        spend(gate, "1", ANN)
        spend(gate, "3", BEN)
        [standing] = read_standings(TODAY)
        assert (standing.booked_usd, standing.state) == (Decimal(3), "open")

    def test_they_say_when_little_or_nothing_is_left(self, gate):
        budget = make_budget(make_priced(), "2", alert_percent=50)
        spend(gate, "1")
        assert read_standings(TODAY)[0].state == "nearly spent"
        spend(gate, "1")
        assert read_standings(TODAY)[0].state == "spent"
        assert str(budget) == "cloud, day"


def test_there_is_one_budget_of_a_kind():
    make_budget()
    with pytest.raises(ValidationError, match="such a budget already"):
        Budget(limit_usd=3).full_clean()


def test_what_was_spent_is_never_lowered():
    for usd, expected in (("2", "2"), ("1", "2"), ("3", "3")):
        spends.book_at_least("cloud", TODAY, Decimal(usd))
        assert booked() == Decimal(expected)
