"""How the engines are doing: workers write it down, the page and metrics read it."""

import logging
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta

from django.db import close_old_connections, connection
from django.utils import timezone

from inference import registry
from inference.engine_stats import EngineStats
from support.models import EngineReport

logger = logging.getLogger(__name__)

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


class EngineReporter:
    """The thread of a worker that writes its engines' figures down."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="engine-reports", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopping.wait(REPORT_S):
            try:
                store_reports()
            except Exception as error:
                # the edge of a thread; the next report is the remedy
                logger.warning("the engines could not be reported: %s", error)
            finally:
                close_old_connections()
        connection.close()
