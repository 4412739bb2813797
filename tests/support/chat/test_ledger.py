"""What a call cost, in the ledger and on the page of its turn."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from inference import registry
from inference.models import Backend, BackendKind, Price
from inference.types import AttemptOutcome, AttemptReport, AttemptStarted, Usage
from support.chat.ledger import Ledger
from support.models import Attempt
from support.monitoring import metrics
from tests.factories import make_attempt, make_backend, make_turn

pytestmark = pytest.mark.django_db


def book(backend: Backend, usage: Usage | None = None) -> Attempt:
    ledger = Ledger(make_turn())
    model = backend.model or "script"
    ledger.open(AttemptStarted(backend.name, model, 1))
    done, now = AttemptOutcome.COMPLETED, datetime.now(UTC)
    report = AttemptReport(backend.name, model, 1, done, now, 900, usage=usage)
    ledger.close(registry.bill(report))
    return Attempt.objects.get()


def make_cloud(model: str = "gpt-4o-mini") -> Backend:
    return Backend.objects.create(
        name="cloud",
        kind=BackendKind.OPENAI_COMPATIBLE,
        model=model,
        endpoint="https://api.openai.com/v1",
    )


def read_page(admin_client, attempt: Attempt) -> str:
    url = f"/admin/support/turn/{attempt.turn_id}/change/"
    return admin_client.get(url).content.decode()


def test_a_local_call_is_free(admin_client):
    attempt = book(make_backend(), Usage(10, 5))
    assert attempt.cost_usd == 0
    assert "<p>free</p>" in read_page(admin_client, attempt)


def test_a_cloud_call_has_its_price(admin_client):
    attempt = book(make_cloud(), Usage(1000, 100, cached_tokens=400))
    assert attempt.cost_usd == Decimal("0.00018")
    assert "<p>$0.00018</p>" in read_page(admin_client, attempt)


def test_a_model_without_a_price_is_unpriced(admin_client):
    attempt = book(make_cloud("no-such-model"), Usage(1000, 100))
    assert attempt.cost_usd is None
    assert "<p>unpriced</p>" in read_page(admin_client, attempt)


def test_a_call_that_is_not_over_has_no_cost_yet(admin_client):
    ledger = Ledger(make_turn())
    ledger.open(AttemptStarted("cloud", "gpt-4o-mini", 1))
    page = read_page(admin_client, Attempt.objects.get())
    assert "<p>not yet known</p>" in page


def test_a_cost_that_cannot_be_worked_out_loses_nothing_else():
    cloud = make_cloud()
    Price.objects.create(backend=cloud, input_usd_per_mtok=1, output_usd_per_mtok=1)
    attempt = book(cloud, Usage(10, 5, cached_tokens=99))
    assert attempt.outcome == "completed"
    assert (attempt.prompt_tokens, attempt.cost_usd) == (10, None)


def test_an_estimate_is_marked(admin_client):
    attempt = book(make_cloud(), Usage(1000, 100, cached_tokens=400, is_estimated=True))
    assert attempt.is_usage_estimated
    assert "<p>$0.00018 (estimated)</p>" in read_page(admin_client, attempt)


def test_closing_takes_two_queries_and_one_of_the_metrics(django_assert_num_queries):
    metrics.watch_calls()
    backend = make_backend()
    ledger = Ledger(make_turn())
    ledger.open(AttemptStarted(backend.name, "script", 1))
    done, now = AttemptOutcome.COMPLETED, datetime.now(UTC)
    with django_assert_num_queries(3):
        ledger.close(AttemptReport(backend.name, "script", 1, done, now, 900))


def test_the_page_says_where_a_call_was_computed_and_why(admin_client):
    ledger = Ledger(make_turn())
    started = AttemptStarted("cloud", "m", 1, "eu.example", "EU", leaves_house=True)
    ledger.open(started)
    attempt = Attempt.objects.get()
    attempt.turn.trace = ["Skipped <b>: the conversation is private."]
    attempt.turn.save(update_fields=["trace"])
    page = read_page(admin_client, attempt)
    assert "eu.example, EU (left the house)" in page
    assert "<li>Skipped &lt;b&gt;: the conversation is private.</li>" in page


def test_a_call_in_this_installation_is_computed_here(admin_client):
    page = read_page(admin_client, book(make_backend()))
    assert "<p>here</p>" in page


def test_a_later_worker_knows_the_calls_before(db):
    turn = make_turn()
    for outcome in ("failed", "lost", "failed"):
        make_attempt(turn, backend="local", outcome=outcome)
    make_attempt(turn, backend="cloud", outcome="cancelled")
    turn.attempt = 2
    earlier = Ledger(turn).earlier
    assert (earlier.num_calls, earlier.num_failed["local"]) == (4, 2)
    assert earlier.num_failed["cloud"] == 0
    assert earlier.asked == {"local", "cloud"}
