"""Statements that Postgres keeps, when a migration changes the type of a column.

Each connection knows what it prepared. After such a change Postgres refuses to run the
old plan, for as long as the connection lives: a migration beside running processes
would leave them all failing.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.db import NotSupportedError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)


def watch_statements(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Run `execute` around all statements of a connection that prepares them."""
    wrappers = connection.execute_wrappers
    if connection.vendor == "postgresql" and execute not in wrappers:
        wrappers.append(execute)


def execute(
    run: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,
    context: dict[str, Any],
) -> Any:
    """Run a statement; prepare it anew where its plan is from before a migration.

    Raises OperationalError within a transaction, which cannot go on: those who try
    again when the database is away do so, and the rollback has dropped the plans.
    """
    try:
        return run(sql, params, many, context)
    except NotSupportedError as error:
        if not _is_stale(error.__cause__):
            raise
        connection = context["connection"]
        if connection.in_atomic_block:
            raise OperationalError(str(error)) from error
        logger.info("a table was changed: statements are prepared anew")
        connection.connection.execute("DEALLOCATE ALL")  # psycopg forgets them too
        return run(sql, params, many, context)


def _is_stale(error: Any) -> bool:
    """Say whether Postgres refused a plan; its text depends on its language."""
    diagnosis = getattr(error, "diag", None)
    return getattr(diagnosis, "source_function", None) == "RevalidateCachedQuery"
