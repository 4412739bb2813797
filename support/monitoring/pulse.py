"""Whether workers take jobs: a canary in each queue, and the row that it writes.

A worker that is up, holds its connections and takes nothing looks healthy from
outside. So every worker puts a small job into each queue that it listens to, behind
the real ones; running it is the only thing that keeps the queue's pulse alive.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from kombu.exceptions import OperationalError

from support.chat.worker_thread import WorkerThread
from support.models import QueuePulse
from support.monitoring.tasks import store_pulse, take_canary

logger = logging.getLogger(__name__)

BEAT_S = 2.0
_RESEND_S = 10.0


class Pulse(WorkerThread):
    """The thread of a worker that sends the canaries.

    `is_full` says whether the worker runs as many jobs as it may: then it takes no
    canary either, and says so instead. Workers of one queue share its pulse: whoever
    finds that a canary was just taken sends none.
    """

    begins_at_once = True
    name = "pulse"
    complaint = "the pulse missed a beat"

    def __init__(self, queues: Sequence[str], is_full: Callable[[], bool]) -> None:
        super().__init__()
        self._queues = queues
        self._is_full = is_full
        self._sent_at: dict[str, datetime] = {}

    @property
    def interval_s(self) -> float:
        """Return how long to wait between beats."""
        return BEAT_S

    def beat(self) -> None:
        """Send a canary into each queue that is due for one. Two queries a queue."""
        for queue in self._queues:
            if self._is_full():
                store_pulse(queue, full_at=timezone.now())
            elif self._is_due(queue):
                self._sent_at[queue] = timezone.now()
                take_canary.apply_async((queue,), queue=queue, retry=False)

    def _is_due(self, queue: str) -> bool:
        """Return whether no canary was taken of late and none of ours is waiting.

        One that nobody takes for long may be lost; it is replaced, but not so often
        that a queue without workers fills up.
        """
        now = timezone.now()
        row = QueuePulse.objects.filter(pk=queue).first()
        took_at = row.took_at if row else None
        if took_at and now - took_at < timedelta(seconds=BEAT_S / 2):
            return False
        sent_at = self._sent_at.get(queue)
        if sent_at is None or (took_at and took_at >= sent_at):
            return True
        return now - sent_at > timedelta(seconds=_RESEND_S)

    def do_round(self) -> None:
        """Send what is due; a queue that cannot be reached is tried again."""
        try:
            self.beat()
        except OperationalError as error:
            logger.warning("the canary could not be sent: %s", error)
        except Exception:
            # the edge of a thread: the next beat is the remedy
            logger.exception("the pulse missed a beat")
