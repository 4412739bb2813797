"""Whether this installation can serve: the database, its tables, broker, workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from celery import current_app
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from kombu.exceptions import OperationalError

from support.models import QueuePulse

# With a canary every 2 s and probes every second, red comes within 10 s.
STALE_S = 8.0
_BROKER_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must work, and how it stands in words."""

    name: str
    is_ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PulseState:
    """What is known of a queue's workers."""

    queue: str
    took_at: datetime | None
    full_at: datetime | None

    @property
    def is_alive(self) -> bool:
        """Return whether jobs are taken, or as many run as may run at once."""
        return _is_fresh(self.took_at) or self.is_full

    @property
    def is_full(self) -> bool:
        """Return whether a worker just had as many jobs as it may have."""
        return _is_fresh(self.full_at)

    @property
    def detail(self) -> str:
        """Return how the queue stands, in words."""
        if self.is_full and not _is_fresh(self.took_at):
            return "busy: a worker runs as many jobs as it may"
        if self.took_at is None:
            return "no worker has taken a job yet"
        seconds = max((timezone.now() - self.took_at).total_seconds(), 0)
        if self.is_alive:
            return f"a job was taken {seconds:.0f} s ago"
        return f"no worker has taken a job for {seconds:.0f} s"


def check_readiness() -> list[Check]:
    """Return the checks; those that need the database end with the first one.

    Four small queries and one connection to the broker. Raises nothing that an
    unreachable service causes.
    """
    try:
        checks = [_check_database(), _check_migrations()]
        checks += [_check_queue(pulse) for pulse in read_pulses()]
    except DatabaseError as error:
        checks = [Check("database", False, type(error).__name__)]
    checks.append(_check_broker())
    return checks


def read_pulses() -> list[PulseState]:
    """Return the state of each queue that jobs are sent to. One query."""
    rows = {row.queue: row for row in QueuePulse.objects.all()}
    states = []
    for queue in sorted(current_app.amqp.queues):
        row = rows.get(queue, QueuePulse(queue=queue))
        states.append(PulseState(queue, row.took_at, row.full_at))
    return states


def _is_fresh(at: datetime | None) -> bool:
    return at is not None and timezone.now() - at < timedelta(seconds=STALE_S)


def _check_database() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Check("database", True, "answers")


def _check_migrations() -> Check:
    applied = MigrationRecorder(connection).applied_migrations()
    missing = [
        f"{app}.{name}"
        for (app, name), replaced in _migrations_of_code().items()
        if (app, name) not in applied
        and not (replaced and all(key in applied for key in replaced))
    ]
    if missing:
        return Check("migrations", False, f"not applied: {', '.join(sorted(missing))}")
    return Check("migrations", True, "applied")


@cache
def _migrations_of_code() -> dict[tuple[str, str], Sequence[tuple[str, str]]]:
    """Return the migrations that this code comes with, and what each replaces."""
    loader = MigrationLoader(None)
    return {key: each.replaces for key, each in loader.disk_migrations.items()}


def _check_queue(pulse: PulseState) -> Check:
    return Check(f"queue {pulse.queue}", pulse.is_alive, pulse.detail)


def _check_broker() -> Check:
    timeouts = {
        "socket_connect_timeout": _BROKER_TIMEOUT_S,
        "socket_timeout": _BROKER_TIMEOUT_S,
    }
    try:
        with current_app.connection_for_write(transport_options=timeouts) as broker:
            broker.ensure_connection(max_retries=1, timeout=_BROKER_TIMEOUT_S)
    except (OperationalError, OSError) as error:
        return Check("broker", False, type(error).__name__)
    return Check("broker", True, "answers")
