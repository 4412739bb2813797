"""Threads of the web process that may wait, so that its event loop need not."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar, cast

from channels.db import database_sync_to_async

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
