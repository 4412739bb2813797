"""Threads that wait, so that neither an event loop nor a connection has to."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar, cast

from channels.db import database_sync_to_async
from django.db import connection

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# One thread for all sockets, as is the default, would let a query that waits for a
# lock hold up every visitor of this process.
NUM_THREADS = 8
_executor = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="consumer")


def in_thread(
    function: Callable[Arguments, Result],
) -> Callable[Arguments, Awaitable[Result]]:
    """Return a coroutine function that runs `function` in one of eight threads.

    Its database connection is given back at the end of each call.
    """
    wrapped = database_sync_to_async(
        function, thread_sensitive=False, executor=_executor
    )
    return cast("Callable[Arguments, Awaitable[Result]]", wrapped)


def give_back_connection() -> None:
    """Return this thread's database connection to the pool, before a long wait.

    A model takes seconds for a reply and the database milliseconds of them. With a
    connection for each reply, 100 replies at once would need 100 of Postgres'.
    Nothing happens within a transaction, or where no pool is.
    """
    is_pooled = bool(connection.settings_dict["OPTIONS"].get("pool"))
    if is_pooled and not connection.in_atomic_block:
        connection.close()
