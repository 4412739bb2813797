"""The pages of prices, hourly costs and budgets."""

import re
from decimal import Decimal

import pytest
from django.utils import timezone

from inference.models import Backend, BackendKind, Budget, HourlyCost, Price, Spend
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

MONEY = "/admin/inference"
BUDGET = {
    "backend": "", "period": "day", "limit_usd": "10", "alert_percent": "80",
}  # fmt: skip
NOW = {"valid_from_0": "2026-11-01", "valid_from_1": "00:00:00"}


def read(client, page: str) -> str:
    response = client.get(f"{MONEY}/{page}")
    assert response.status_code == 200
    return re.sub(r"<[^>]*>", " ", response.content.decode())


def save(client, page: str, values: dict[str, str]) -> str:
    response = client.post(f"{MONEY}/{page}", values, follow=True)
    assert response.status_code == 200
    return response.content.decode()


class TestPrices:
    VALUES = NOW | {
        "model": "gpt-5-mini", "input_usd_per_mtok": "0.25",
        "output_usd_per_mtok": "2", "cache_write_usd_per_mtok": "0.3",
        "source": "the bill of October",
    }  # fmt: skip

    def test_one_is_added(self, admin_client):
        save(admin_client, "price/add/", self.VALUES)
        price = Price.objects.get()
        assert price.cache_write_usd_per_mtok == Decimal("0.3")
        assert "the bill of October" in read(admin_client, "price/")

    def test_it_must_end_after_it_began(self, admin_client):
        ended = {"valid_to_0": "2026-10-01", "valid_to_1": "00:00:00"}
        page = save(admin_client, "price/add/", self.VALUES | ended)
        assert "A price must end after it begins." in page

    def test_it_says_that_the_past_stays(self, admin_client):
        assert "nothing here changes the past" in read(admin_client, "price/add/")


class TestHours:
    def test_one_is_added(self, admin_client):
        row = make_backend(name="own")
        values = {"hardware_usd": "1.2", "power_usd": "0.05", "num_machines": "2"}
        save(admin_client, "hourlycost/add/", NOW | values | {"backend": str(row.pk)})
        assert HourlyCost.objects.get().total_usd == Decimal("2.5")
        assert "$2.5" in read(admin_client, "hourlycost/")


class TestBudgets:
    def test_the_list_shows_what_is_spent(self, admin_client):
        Budget.objects.create(backend=make_backend(name="cloud"), limit_usd=8)
        Spend.objects.create(backend="cloud", day=timezone.localdate(), usd=2)
        page = " ".join(read(admin_client, "budget/").split())
        assert "cloud, day 8.00000000 $2 $0 25 % 80 open" in page

    def test_the_page_of_one_shows_it_too(self, admin_client):
        budget = Budget.objects.create(limit_usd=8)
        Spend.objects.create(backend="cloud", day=timezone.localdate(), usd=8)
        page = " ".join(read(admin_client, f"budget/{budget.pk}/change/").split())
        assert "100 %" in page
        assert "state: spent" in page.lower().replace(" :", ":")

    def test_more_budgets_cost_no_more_queries(
        self, admin_client, django_assert_num_queries
    ):
        for number in range(9):
            row = make_backend(name=f"own-{number}")
            Budget.objects.create(backend=row, limit_usd=8)
        with django_assert_num_queries(7):  # two for the session, two for the count
            admin_client.get(f"{MONEY}/budget/")

    def test_a_changed_limit_is_told_of_anew(self, admin_client):
        today = timezone.localdate()
        told = {"alerted_for": today, "spent_for": today}
        budget = Budget.objects.create(limit_usd=8, **told)
        page = f"budget/{budget.pk}/change/"
        save(admin_client, page, BUDGET | {"limit_usd": "8"})
        budget.refresh_from_db()
        assert budget.spent_for == today
        save(admin_client, page, BUDGET | {"limit_usd": "12"})
        changed = Budget.objects.get()
        assert (changed.alerted_for, changed.spent_for) == (None, None)

    def test_staff_are_warned_of_a_backend_without_a_price(self, admin_client):
        make_backend(name="own")
        kind = BackendKind.OPENAI_COMPATIBLE
        Backend.objects.create(name="odd", kind=kind, model="m", endpoint="https://x.y")
        page = save(admin_client, "budget/add/", BUDGET)
        assert "No price is known of odd. It is left out" in page

    def test_there_is_one_of_a_kind(self, admin_client):
        Budget.objects.create(limit_usd=8)
        assert "such a budget already" in save(admin_client, "budget/add/", BUDGET)
