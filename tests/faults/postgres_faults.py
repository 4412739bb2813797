"""F16 to F19, F21 and F29: what happens to Postgres."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from random import Random

import psycopg
from psycopg import sql

from tests.faults.registry import fault
from tests.faults.system import System

_APPLICATION = "the fault"
_LOCKED = ("support_conversation", "support_message", "support_turn")


@fault("F16", "Postgres is killed and started again", target="postgres",
       promises=(1, 4, 13), hold_s=7.0, within_s=10.0,
       is_over_when_healed=True)  # fmt: skip
def kill_postgres(system: System, dice: Random) -> Iterator[None]:
    system.postgres.kill()
    yield
    system.postgres.start()


@fault("F16b", "Postgres is away for longer than a lease", target="postgres",
       promises=(1, 4, 13), hold_s=5.0, hold_leases=1.0, within_s=10.0,
       is_over_when_healed=True)  # fmt: skip
def keep_postgres_away(system: System, dice: Random) -> Iterator[None]:
    system.postgres.kill()
    yield
    system.postgres.start()


@fault("F17", "all connections to Postgres are ended", target="postgres",
       promises=(1, 13), within_s=10.0)  # fmt: skip
def end_backends(system: System, dice: Random) -> Iterator[None]:
    with connect(system) as connection:
        end_others(connection)
    yield


@fault("F18", "the connections to Postgres are used up", target="postgres",
       promises=(1, 13, 17), hold_s=8.0, within_s=10.0,
       is_over_when_healed=True)  # fmt: skip
def use_up_connections(system: System, dice: Random) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        first = held.enter_context(connect(system))
        take_all(system, held)
        end_others(first)  # what is free now is taken before anybody comes back
        take_all(system, held)
        yield


@fault("F19", "a table is locked for 20 s", target="postgres", promises=(1, 13),
       hold_s=20.0, within_s=10.0, is_over_when_healed=True)  # fmt: skip
def lock_table(system: System, dice: Random) -> Iterator[None]:
    """Waiting for the lock takes seconds itself: others hold rows of the table."""
    table = dice.choice(_LOCKED)
    with connect(system) as connection, connection.transaction():
        connection.execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(table)))
        yield


@fault("F21", "everything takes Postgres 200 ms each way", target="postgres",
       promises=(1, 4), hold_s=12.0, within_s=20.0,
       is_over_when_healed=True)  # fmt: skip
def slow_postgres_down(system: System, dice: Random) -> Iterator[None]:
    system.postgres_proxy.delay_s = 0.2
    yield
    system.postgres_proxy.delay_s = 0.0


@fault("F29", "two migrations change columns beside everything", target="postgres",
       promises=(1, 4, 13), hold_s=20.0, within_s=10.0,
       is_over_when_healed=True)  # fmt: skip
def change_columns(system: System, dice: Random) -> Iterator[None]:
    """What is asked meanwhile is prepared when the second one changes it."""
    with connect(system) as connection:
        widen_texts(connection, _LOCKED)
        yield
        widen_texts(connection, _LOCKED)


def connect(system: System) -> psycopg.Connection:
    """Return a connection that no fault is in the way of."""
    return psycopg.connect(
        system.direct_database_url, autocommit=True, application_name=_APPLICATION
    )


def end_others(connection: psycopg.Connection) -> None:
    """End every connection but those of the faults."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name <> %s AND backend_type = 'client backend'",
        [_APPLICATION],
    )


def take_all(system: System, held: contextlib.ExitStack) -> None:
    """Take every connection that Postgres has left."""
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            held.enter_context(connect(system))


def widen_texts(connection: psycopg.Connection, tables: Sequence[str]) -> None:
    """Let every text of limited length in these tables be one character longer."""
    columns = connection.execute(
        "SELECT table_name, column_name, character_maximum_length"
        " FROM information_schema.columns"
        " WHERE table_name = ANY(%s) AND character_maximum_length IS NOT NULL",
        [list(tables)],
    ).fetchall()
    for table, column, length in columns:
        change = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE varchar({})")
        connection.execute(
            change.format(
                sql.Identifier(table), sql.Identifier(column), sql.Literal(length + 1)
            )
        )


class ConnectionCount(threading.Thread):
    """Counts the connections of all web processes and workers, ten times a second."""

    def __init__(self, system: System) -> None:
        super().__init__(name="connection-count", daemon=True)
        self.most = 0
        self._connection = connect(system)
        self._is_over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._is_over.wait(0.1):
            [(number,)] = self._connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name <> %s"
                " AND backend_type = 'client backend'",
                [_APPLICATION],
            ).fetchall()
            self.most = max(self.most, number)

    def close(self) -> int:
        """End; return the largest number seen."""
        self._is_over.set()
        self.join()
        self._connection.close()
        return self.most
