"""The chat's Celery tasks: an id in, one call."""

import logging
import queue
import threading
from uuid import UUID

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from support.chat import answering, dispatch, tryouts
from support.models import Turn

logger = logging.getLogger(__name__)


@shared_task
def answer_turn(turn_id: str) -> None:
    """Answer a turn, then queue the conversation's next one."""
    next_turn_id = answering.produce(UUID(turn_id))
    if next_turn_id is not None:
        queue_turn(next_turn_id)


@shared_task
def run_backend_test(test_id: int) -> None:
    """Make the call of an operator's test."""
    tryouts.run_test(test_id)


@shared_task
def replay_questions(replay_id: int) -> None:
    """Ask a candidate old questions again."""
    tryouts.run_replay(replay_id)


class _Doorbell:
    """Publishes jobs from a thread of its own.

    A job may be lost: the reaper rings again. So it is sent once, and nobody waits
    for a broker that is frozen or gone, which takes seconds to turn out.
    """

    def __init__(self) -> None:
        self._jobs: queue.Queue[tuple[UUID, str]] = queue.Queue(maxsize=1000)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self, turn_id: UUID, queue_name: str) -> None:
        """Have the job of a turn published soon; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="doorbell", daemon=True
                )
                self._thread.start()
        try:
            self._jobs.put_nowait((turn_id, queue_name))
        except queue.Full:
            logger.warning("turn=%s not queued, the reaper will", turn_id)

    def wait(self, timeout_s: float = 5.0) -> None:
        """Wait until what was rung for is published, when this process ends."""
        is_done = threading.Thread(target=self._jobs.join, daemon=True)
        is_done.start()
        is_done.join(timeout_s)

    def _run(self) -> None:
        while True:
            turn_id, queue_name = self._jobs.get()
            try:
                answer_turn.apply_async((str(turn_id),), queue=queue_name, retry=False)
            except (OperationalError, RedisError, OSError) as error:
                logger.warning(
                    "turn=%s not queued, the reaper will: %s", turn_id, error
                )
            except Exception:
                # the edge of a thread: the next job may fare better
                logger.exception("turn=%s not queued, the reaper will", turn_id)
            finally:
                self._jobs.task_done()


doorbell = _Doorbell()


def queue_turn(turn_id: UUID) -> None:
    """Publish the job that answers a turn, to the workers of its next backend.

    Two queries and those of `choose_queue`; the broker is not waited for.
    """
    found = Turn.objects.filter(pk=turn_id)
    found.update(published_at=timezone.now())
    turn = found.select_related("conversation").only("queue", "conversation").first()
    if turn is not None:
        queue_name = turn.queue or dispatch.choose_queue(turn.conversation)
        doorbell.ring(turn_id, queue_name)
