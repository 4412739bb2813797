"""How the engines are doing: workers write it down, the page and metrics read it."""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta

from django.utils import timezone

from inference import registry
from inference.engine_stats import EngineStats
from support.chat.worker_thread import WorkerThread
from support.models import EngineReport

REPORT_S = 2.0
# Older figures are not those of a running engine, much older ones of no interest.
FRESH_S = 10.0
_KEPT = timedelta(hours=1)

_NAMES = frozenset(field.name for field in fields(EngineStats))


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that runs in a worker."""

    worker: str
    backend: str
    stats: EngineStats


def read_engines() -> list[Engine]:
    """Return the engines that reported of late, by backend. One query."""
    since = timezone.now() - timedelta(seconds=FRESH_S)
    rows = EngineReport.objects.filter(at__gt=since).order_by("backend", "worker")
    return [Engine(row.worker, row.backend, _read_stats(row.figures)) for row in rows]


def store_reports() -> None:
    """Write down the figures of this process' engines. Two queries if there are any."""
    stats = registry.read_engines()
    if not stats:
        return
    worker = f"{socket.gethostname()}:{os.getpid()}"
    now = timezone.now()
    EngineReport.objects.bulk_create(
        [
            EngineReport(worker=worker, backend=name, at=now, figures=asdict(figures))
            for name, figures in stats.items()
        ],
        update_conflicts=True,
        update_fields=["at", "figures"],
        unique_fields=["worker", "backend"],
    )
    EngineReport.objects.filter(at__lt=now - _KEPT).delete()


def _read_stats(figures: Mapping[str, float]) -> EngineStats:
    """Return figures, which a worker of another version may have written."""
    known = {name: value for name, value in figures.items() if name in _NAMES}
    return EngineStats(**known)  # type: ignore[arg-type]  # as it was written


class EngineReporter(WorkerThread):
    """The thread of a worker that writes its engines' figures down."""

    name = "engine-reports"
    complaint = "the engines could not be reported"

    @property
    def interval_s(self) -> float:
        """Return how long to wait before each report."""
        return REPORT_S

    def do_round(self) -> None:
        """Write the figures down."""
        store_reports()
