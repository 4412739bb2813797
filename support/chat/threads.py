"""Threads that wait, so that neither an event loop nor a connection has to."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import ParamSpec, TypeVar, cast

from channels.db import database_sync_to_async
from django.db import OperationalError, connection

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# One thread for all sockets, as is the default, would let a query that waits for a
# lock hold up every visitor of this process.
NUM_THREADS = 8
_executor = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="consumer")

# A database that is away or locked fails a call after 5 s (chatbot/settings.py).
STUCK_S = 4.0
PATIENCE_S = 1.0


class DatabaseStuck(OperationalError):  # noqa: N818 - says what happened
    """A call waited for a thread while those before it waited for the database."""


class _Queue:
    """Lets no call wait for a database in which those before it found nothing.

    Eight calls that wait 5 s each for the database would have the next eight fail
    after 10 s, and so on. So when one fails by waiting, those that queued behind it
    fail too. What has just come in is tried: it may need another table.
    """

    def __init__(self) -> None:
        self._stuck_s = float("-inf")

    def run(self, function: Callable[[], Result], asked_s: float) -> Result:
        """Return what `function` does; raises DatabaseStuck if that is no use."""
        began_s = monotonic()
        if began_s - asked_s > PATIENCE_S and began_s - self._stuck_s < PATIENCE_S:
            raise DatabaseStuck("others waited for the database in vain")
        try:
            return function()
        except OperationalError:
            if monotonic() - began_s > STUCK_S:
                self._stuck_s = monotonic()
            raise


_queue = _Queue()


def in_thread(
    function: Callable[Arguments, Result],
) -> Callable[Arguments, Awaitable[Result]]:
    """Return a coroutine function that runs `function` in one of eight threads.

    Its database connection is given back at the end of each call. Raises
    DatabaseStuck if the calls before it have just waited for the database in vain.
    """

    async def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        asked_s = monotonic()
        run = database_sync_to_async(
            lambda: _queue.run(lambda: function(*args, **kwargs), asked_s),
            thread_sensitive=False,
            executor=_executor,
        )
        return cast("Result", await run())

    return call


def give_back_connection() -> None:
    """Return this thread's database connection to the pool, before a long wait.

    A model takes seconds for a reply and the database milliseconds of them. With a
    connection for each reply, 100 replies at once would need 100 of Postgres'.
    Nothing happens within a transaction, or where no pool is.
    """
    is_pooled = bool(connection.settings_dict["OPTIONS"].get("pool"))
    if is_pooled and not connection.in_atomic_block:
        connection.close()
