"""Looks ahead while nobody asks: a spill ends though no request comes any more."""

from inference import routes
from support.chat.turns import worker_name
from support.chat.worker_thread import WorkerThread

LOOK_S = 0.5


class SpillWatch(WorkerThread):
    """The thread of a worker with models that says which of its backends spill."""

    name = "spill-watch"
    complaint = "the first tokens could not be foreseen"

    def __init__(self) -> None:
        super().__init__()
        self._worker = worker_name()

    @property
    def interval_s(self) -> float:
        """Return how long to wait before each look."""
        return LOOK_S

    def do_round(self) -> None:
        """Look ahead, and tell those who queue jobs."""
        routes.report_spills(self._worker)
