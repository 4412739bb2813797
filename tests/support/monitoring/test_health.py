"""Readiness: each check turns red for its own reason, and says which."""

import pytest
from celery import current_app
from django.db import OperationalError, connection
from django.utils import timezone

from support.models import QueuePulse
from support.monitoring import health
from tests.factories import past

pytestmark = pytest.mark.django_db(transaction=True)

QUEUES = sorted(current_app.amqp.queues)


def make_pulses(**times) -> None:
    for queue in QUEUES:
        QueuePulse.objects.create(queue=queue, **times)


def in_all_queues(detail: str) -> dict[str, str]:
    return {f"queue {queue}": detail for queue in QUEUES}


@pytest.fixture
def taken():
    """The last job of each queue was taken a moment ago."""
    make_pulses(took_at=timezone.now())


@pytest.fixture
def probe(client):
    def get() -> tuple[int, dict[str, str]]:
        response = client.get("/readyz")
        checks = response.json()["checks"]
        is_red = {name for name, check in checks.items() if not check["ok"]}
        return response.status_code, {name: checks[name]["detail"] for name in is_red}

    return get


def test_is_ready_when_all_answers_and_jobs_are_taken(client, taken):
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    assert set(response.json()["checks"]) == {
        "database", "migrations", "broker", *in_all_queues(""),
    }  # fmt: skip
    assert "no-store" in response["Cache-Control"]


def test_is_not_ready_before_a_worker_took_a_job(probe):
    assert probe() == (503, in_all_queues("no worker has taken a job yet"))


def test_is_not_ready_when_the_last_job_is_old(probe):
    make_pulses(took_at=past(health.STALE_S + 0.1))
    assert probe() == (503, in_all_queues("no worker has taken a job for 8 s"))


def test_is_ready_while_a_worker_is_full(client):
    make_pulses(took_at=past(40), full_at=past(2))
    response = client.get("/readyz")
    assert response.status_code == 200
    check = response.json()["checks"][f"queue {QUEUES[0]}"]
    assert check["detail"].startswith("busy")


def test_is_not_ready_when_a_full_worker_is_heard_no_more(probe):
    make_pulses(took_at=past(40), full_at=past(9))
    assert probe()[0] == 503


def test_the_pulse_of_another_queue_does_not_count(probe):
    QueuePulse.objects.create(queue="elsewhere", took_at=timezone.now())
    assert probe()[0] == 503


def test_names_the_migration_that_is_missing(probe, taken):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_migrations SET name = 'x'"
            " WHERE app = 'support' AND name = '0001_initial'"
        )
    try:
        found = probe()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE django_migrations SET name = '0001_initial' WHERE name = 'x'"
            )
    assert found == (503, {"migrations": "not applied: support.0001_initial"})


def test_a_database_that_is_gone_is_named(probe, taken, monkeypatch):
    def refuse() -> None:
        raise OperationalError("could not connect")

    connection.close()
    monkeypatch.setattr(connection, "connect", refuse)
    assert probe() == (503, {"database": "OperationalError"})


def test_a_broker_that_is_gone_is_named(probe, taken, monkeypatch):
    conf = current_app.conf
    monkeypatch.setattr(conf, "broker_write_url", "redis://127.0.0.1:1/0")
    assert probe() == (503, {"broker": "OperationalError"})


def test_life_needs_no_database_and_no_host_name(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/livez", HTTP_HOST="10.1.2.3:8000")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_only_read(client, path):
    assert client.post(path).status_code == 405
