"""All metrics as Prometheus reads them: those of the processes, and of the database.

With `PROMETHEUS_MULTIPROC_DIR` every process that shares the folder counts into it,
and one answer holds the sums of all. What stands in the database is the same for all
processes; it is read for each answer and kept apart, so that it is not added up.
"""

from collections import Counter
from collections.abc import Iterator

from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from support.models import (
    OPEN_STATES,
    Conversation,
    ConversationStatus,
    Turn,
    TurnState,
)
from support.monitoring import engine_metrics, health, money_metrics


class DatabaseCollector(Collector):
    """Gauges of what the database says now; each one answered by an index."""

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; without a database only that it is gone.

        Six queries, and those of the budgets.
        """
        try:
            gauges = list(self._read())
        except DatabaseError:
            gauges = []
        yield GaugeMetricFamily(
            "chat_database_up",
            "Whether the database answers",
            value=1 if gauges else 0,
        )
        yield from gauges

    def _read(self) -> Iterator[Metric]:
        counts = Counter(
            dict(
                Turn.objects.filter(state__in=OPEN_STATES)
                .values_list("state")
                .annotate(Count("pk"))
            )
        )
        turns = GaugeMetricFamily(
            "chat_open_turns", "Questions without an outcome yet", labels=["state"]
        )
        for state in OPEN_STATES:
            turns.add_metric([state.value], counts[state.value])
        yield turns
        queued = Turn.objects.filter(state=TurnState.QUEUED)
        oldest = queued.aggregate(at=Min("created_at"))["at"]
        age_s = (timezone.now() - oldest).total_seconds() if oldest else 0.0
        yield GaugeMetricFamily(
            "chat_oldest_queued_turn_seconds",
            "Age of the oldest question that nobody works on; 0 without one",
            value=max(age_s, 0.0),
        )
        yield GaugeMetricFamily(
            "chat_conversations_waiting",
            "Conversations that wait for a person",
            value=Conversation.objects.filter(
                status=ConversationStatus.WAITING
            ).count(),
        )
        yield self._read_pulses()
        yield from engine_metrics.build_metrics()
        yield from money_metrics.build_metrics()

    def _read_pulses(self) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(
            "chat_queue_alive",
            "Whether a worker takes the queue's jobs, or is full",
            labels=["queue"],
        )
        for pulse in health.read_pulses():
            gauge.add_metric([pulse.queue], 1 if pulse.is_alive else 0)
        return gauge


_database = CollectorRegistry()
_database.register(DatabaseCollector())


def build_exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    processes: CollectorRegistry = REGISTRY
    if settings.PROMETHEUS_MULTIPROC_DIR:
        processes = CollectorRegistry()
        MultiProcessCollector(processes, settings.PROMETHEUS_MULTIPROC_DIR)
    return generate_latest(processes) + generate_latest(_database)
