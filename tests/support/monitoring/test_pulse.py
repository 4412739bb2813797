"""A real worker that takes jobs, and one that is up and takes none."""

import threading
import time

import pytest
from celery import current_app
from celery.worker import WorkController, state
from django.db import connections
from django.utils import timezone

from support.models import QueuePulse
from support.monitoring import health, pulse, worker
from support.monitoring.pulse import Pulse
from support.monitoring.tasks import store_pulse, take_canary
from tests.factories import past

pytestmark = pytest.mark.django_db(transaction=True)

RED_WITHIN_S = 10.0
# a quarter of what they are; tests/system/test_readiness.py keeps the real time
QUICK_BEAT_S, QUICK_STALE_S = pulse.BEAT_S / 4, health.STALE_S / 4


def wait_until(is_true, timeout_s: float) -> float:
    """Return how long it took."""
    started_s = time.monotonic()
    while not is_true():
        assert time.monotonic() - started_s < timeout_s, "it did not come true"
        time.sleep(0.1)
    return time.monotonic() - started_s


class RealWorker(WorkController):  # type: ignore[misc]  # celery has no types
    """A worker in a thread, as embedded mode has it, without chat's part."""

    def on_consumer_ready(self, consumer) -> None:
        self.test_consumer = consumer
        worker.start(sender=consumer)


@pytest.fixture
def real_worker(settings, monkeypatch):
    """A worker with two threads that takes canaries from the in-memory broker."""
    monkeypatch.setattr(pulse, "BEAT_S", QUICK_BEAT_S)
    monkeypatch.setattr(health, "STALE_S", QUICK_STALE_S)
    settings.EMBEDDED_WORKER = True
    current_app.amqp.queues  # noqa: B018 - made once, before the thread asks for it
    controller = RealWorker(
        app=current_app._get_current_object(),
        pool="threads",
        concurrency=2,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    thread = threading.Thread(target=controller.start, daemon=True)
    thread.start()
    yield controller
    worker.stop()
    controller.stop()
    thread.join(10)
    state.should_stop = None
    connections.close_all()


@pytest.fixture
def is_ready(client):
    return lambda: client.get("/readyz").status_code == 200


def test_a_worker_that_stops_to_take_jobs_turns_readiness_red(real_worker, is_ready):
    wait_until(is_ready, 20)
    first = QueuePulse.objects.earliest("took_at").took_at
    wait_until(lambda: not QueuePulse.objects.filter(took_at=first), 20)  # and more
    wait_until(is_ready, RED_WITHIN_S)
    queues = sorted(current_app.amqp.queues)
    for queue in queues:
        real_worker.test_consumer.cancel_task_queue(queue)
    wait_until(lambda: not is_ready(), RED_WITHIN_S)
    assert any(thread.name == "pulse" for thread in threading.enumerate())
    for queue in queues:
        real_worker.test_consumer.add_task_queue(queue)
    wait_until(is_ready, RED_WITHIN_S)


class Sent:
    """Stands at the broker's place: what was sent, and nothing takes it."""

    def __init__(self, monkeypatch) -> None:
        self.queues: list[str] = []
        monkeypatch.setattr(
            take_canary,
            "apply_async",
            lambda _, queue, retry: self.queues.append(queue),
        )


@pytest.fixture
def sent(monkeypatch):
    return Sent(monkeypatch)


def make_pulse(is_full: bool = False) -> Pulse:
    return Pulse(["local"], lambda: is_full)


def test_a_canary_that_waits_is_not_sent_again(sent):
    beating = make_pulse()
    for _ in range(3):
        beating.beat()
    assert sent.queues == ["local"]


def test_a_canary_that_was_taken_is_followed_by_the_next(sent):
    beating = make_pulse()
    beating.beat()
    store_pulse("local", took_at=timezone.now())
    beating.beat()  # too soon
    QueuePulse.objects.update(took_at=past(1.5))
    beating._sent_at["local"] = past(2)
    beating.beat()
    assert sent.queues == ["local", "local"]


def test_a_lost_canary_is_replaced(sent):
    beating = make_pulse()
    beating.beat()
    beating._sent_at["local"] = past(11)
    beating.beat()
    assert sent.queues == ["local", "local"]


def test_workers_of_one_queue_share_its_pulse(sent):
    store_pulse("local", took_at=timezone.now())
    for _ in range(3):
        make_pulse().beat()
    assert sent.queues == []


def test_a_full_worker_says_so_and_sends_nothing(sent):
    make_pulse(is_full=True).beat()
    assert sent.queues == []
    assert QueuePulse.objects.get().full_at is not None


def test_taking_a_canary_leaves_the_other_time_alone():
    store_pulse("local", full_at=past(5))
    take_canary("local")
    row = QueuePulse.objects.get()
    assert row.took_at > row.full_at


def test_the_worker_listens_to_the_queues_that_readiness_asks_for():
    queues = set(current_app.amqp.queues.consume_from)
    assert {state.queue for state in health.read_pulses()} == queues


def test_a_beat_reads_one_row(sent, django_assert_num_queries):
    store_pulse("local", took_at=past(3))
    with django_assert_num_queries(1):
        make_pulse().beat()
