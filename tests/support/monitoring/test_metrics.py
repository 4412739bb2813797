"""What Prometheus reads, who may read it, and that it names nobody."""

import os
import subprocess
import sys
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from chatbot.settings import _read_networks
from inference import registry
from inference.models import Budget, HourlyCost, Spend
from inference.types import AttemptOutcome, AttemptReport, AttemptStarted, Usage
from support.chat.ledger import Ledger
from support.models import Conversation, ConversationStatus, QueuePulse, Turn
from support.monitoring import metrics
from tests.factories import change_turn, make_backend, make_turn, past

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _watching():
    metrics.watch_calls()


@pytest.fixture
def scrape(client, settings):
    settings.METRICS_TOKEN = "letmein"

    def get() -> dict[tuple, float]:
        response = client.get("/metrics", HTTP_AUTHORIZATION="Bearer letmein")
        assert response["Content-Type"].startswith("text/plain; version=")
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(response.content.decode())
            for sample in family.samples
        }

    return get


def close_call(turn: Turn, backend: str = "m1", **values) -> None:
    """Book a call as the router's caller does."""
    number, bills = values.pop("number", 1), "cost_usd" not in values
    ledger = Ledger(turn)
    ledger._num_before = 0
    ledger.open(AttemptStarted(backend, "m", number))
    measured: dict[str, Any] = {
        "outcome": AttemptOutcome.COMPLETED, "duration_ms": 1500, "ttft_ms": 300,
        "usage": Usage(prompt_tokens=400, completion_tokens=25, cached_tokens=0),
    } | values  # fmt: skip
    report = AttemptReport(backend, "m", number, started_at=timezone.now(), **measured)
    ledger.close(registry.bill(report) if bills else report)


def test_a_call_is_counted_under_the_names_of_the_conventions(scrape):
    make_backend(name="m1", model="models/small.gguf")
    before = scrape()
    close_call(make_turn())
    after = scrape()
    labels = ("chat", "m1", "scripted", "small.gguf")
    grown = {key for key, value in after.items() if value != before.get(key)}
    assert ("gen_ai_client_operation_duration_seconds_sum", "", *labels) in grown
    name = "gen_ai_client_operation_time_to_first_chunk_seconds_sum"
    assert after[name, *labels] == pytest.approx(0.3)
    name = "gen_ai_client_token_usage_sum"
    usage = {key[-2]: after[key] for key in grown if key[0] == name}
    assert sorted(after[k] for k in grown if k[0] == name) == [25, 400], usage
    assert ("chat_calls_total", "completed", "m1") in grown
    assert ("chat_queue_time_seconds_count", "m1") in grown


def test_unpriced_calls_are_counted_apart_from_costs(scrape, monkeypatch):
    make_backend(name="free")
    close_call(make_turn(), "free")
    close_call(make_turn(), "deleted")
    found = scrape()
    assert found["chat_cost_usd_total", "free"] == 0
    assert found["chat_unpriced_calls_total", "deleted"] == 1
    assert ("chat_cost_usd_total", "deleted") not in found
    assert ("chat_unpriced_calls_total", "free") not in found


def test_a_reply_of_a_helper_is_a_fallback(scrape):
    turn = make_turn()
    failed = {"outcome": AttemptOutcome.FAILED, "error": "Timeout", "ttft_ms": None}
    close_call(turn, "first", **failed, usage=None)
    close_call(turn, "helper", number=2)
    found = scrape()
    assert found["chat_fallback_replies_total", "helper"] == 1
    assert ("chat_queue_time_seconds_count", "helper") not in found
    name = "gen_ai_client_operation_duration_seconds_count"
    assert found[name, "Timeout", "chat", "first", "unknown", "unknown"] == 1


def test_a_broken_receiver_does_not_break_the_ledger(monkeypatch, caplog):
    monkeypatch.setattr(metrics, "describe", None)
    turn = make_turn()
    close_call(turn)
    assert turn.attempts.get().outcome == AttemptOutcome.COMPLETED
    assert "Error calling" in caplog.text


def test_a_second_close_is_not_counted_twice(scrape):
    turn = make_turn()
    close_call(turn, "once")
    report = AttemptReport(
        "once", "m", 1, AttemptOutcome.COMPLETED, timezone.now(), duration_ms=1
    )
    ledger = Ledger(turn)
    ledger._num_before = 0
    ledger.close(report)
    assert scrape()["chat_calls_total", "completed", "once"] == 1


def test_the_database_says_what_is_waiting(scrape):
    change_turn(make_turn(), created_at=past(90))
    make_turn()
    Conversation.objects.update(status=ConversationStatus.WAITING)
    queue = current_app.conf.task_default_queue
    QueuePulse.objects.create(queue=queue, took_at=timezone.now())
    found = scrape()
    assert found["chat_open_turns", "queued"] == 2
    assert found["chat_open_turns", "running"] == 0
    assert found["chat_oldest_queued_turn_seconds",] == pytest.approx(90, abs=5)
    assert found["chat_conversations_waiting",] == 2
    assert found["chat_queue_alive", queue] == 1
    assert found["chat_database_up",] == 1


def test_no_label_names_a_visitor(scrape):
    turn = make_turn(content="I am Ada, ada@example.com")
    close_call(turn, "m1", error="Timeout", error_detail="ada@example.com said no")
    labels = {label for key in scrape() for label in key[1:]}
    private = {str(turn.id), str(turn.conversation_id), "ada@example.com"}
    assert not any(word in label for word in private for label in labels)


class TestWhoMayRead:
    def test_nobody_by_default(self, client):
        assert client.get("/metrics").status_code == 404

    @pytest.mark.parametrize(
        "header",
        ["", "Bearer", "Bearer ", "Bearer letmei", "Basic letmein", "Bearer létmein"],
    )
    def test_nobody_without_the_token(self, client, settings, header):
        settings.METRICS_TOKEN = "letmein"
        response = client.get("/metrics", HTTP_AUTHORIZATION=header)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")

    def test_an_empty_token_lets_nobody_in(self, client, settings):
        settings.METRICS_ALLOWED = [ip_network("10.9.9.9")]
        response = client.get("/metrics", HTTP_AUTHORIZATION="Bearer ")
        assert response.status_code == 401

    @pytest.mark.parametrize(
        ("address", "status"),
        [
            ("10.0.0.7", 200),
            ("::ffff:10.0.0.7", 200),
            ("10.0.1.7", 401),
            ("2001:db8::1", 401),
            ("", 401),
        ],
    )
    def test_addresses_of_the_network(self, client, settings, address, status):
        settings.METRICS_ALLOWED = _read_networks("METRICS_ALLOWED", ["10.0.0.0/24"])
        response = client.get("/metrics", REMOTE_ADDR=address)
        assert response.status_code == status

    def test_a_forwarded_address_is_not_believed(self, client, settings):
        settings.METRICS_ALLOWED = _read_networks("METRICS_ALLOWED", ["10.0.0.0/24"])
        response = client.get("/metrics", HTTP_X_FORWARDED_FOR="10.0.0.7")
        assert response.status_code == 401

    def test_a_malformed_network_stops_the_start(self):
        with pytest.raises(
            ImproperlyConfigured, match=r"METRICS_ALLOWED: .*10\.0\.0\.7/8"
        ):
            _read_networks("METRICS_ALLOWED", ["10.0.0.7/8"])


COUNT = """
import django; django.setup()
from support.monitoring import metrics
metrics.CALLS.labels("shared", "completed").inc({number})
metrics.OPERATION_DURATION.labels("shared", "chat", "x", "y", "").observe(0.5)
"""
READ = """
import django; django.setup()
from support.monitoring import exposition
exposition._database = type(exposition._database)()
print(exposition.build_exposition().decode())
"""


def test_processes_that_share_a_folder_are_added_up(tmp_path):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}

    def run(code: str) -> str:
        return subprocess.check_output(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, text=True
        )

    run(COUNT.format(number=3))
    run(COUNT.format(number=4))
    lines = run(READ).splitlines()
    assert 'chat_calls_total{backend="shared",outcome="completed"} 7.0' in lines
    [count] = [
        x
        for x in lines
        if x.startswith("gen_ai_client_operation_duration_seconds_count")
    ]
    assert count.endswith(" 2.0")
    names = [path.name for path in (tmp_path / "metrics").iterdir()]
    assert len(names) == 4
    assert all(name.count("_") == 1 for name in names)


def test_cost_is_what_the_ledger_says(scrape):
    close_call(make_turn(), "paid", cost_usd=Decimal("0.5"))
    found = scrape()
    assert found["chat_cost_usd_total", "paid"] == 0.5
    assert ("chat_estimated_cost_usd_total", "paid") not in found


def test_estimates_and_hardware_are_counted_apart(scrape):
    costs = {"cost_usd": Decimal("0.5"), "hardware_usd": Decimal("0.25")}
    close_call(make_turn(), "own", usage=Usage(4, 2, is_estimated=True), **costs)
    found = scrape()
    assert found["chat_estimated_cost_usd_total", "own"] == 0.5
    assert found["chat_hardware_cost_usd_total", "own"] == 0.25


def test_budgets_and_hours_are_gauges(scrape):
    row = make_backend(name="own")
    Budget.objects.create(backend=row, period="day", limit_usd=8)
    HourlyCost.objects.create(backend=row, hardware_usd="0.5", num_machines=2)
    Spend.objects.create(backend="own", day=timezone.localdate(), usd=2)
    found = scrape()
    assert found["chat_budget_limit_usd", "all", "day", "own"] == 8
    assert found["chat_budget_used_ratio", "all", "day", "own"] == 0.25
    assert found["chat_reserved_usd_per_hour", "own"] == 1
