"""The connections to Postgres, as settings.py asks for them.

Through an outage, and through a migration while they are open.
"""

import runpy
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import NotSupportedError, OperationalError, connections, transaction
from django.db.utils import ConnectionHandler
from psycopg_pool import ConnectionPool, PoolTimeout

from chatbot.prepared import execute
from tests.services import TestPostgres, running

ROOT = Path(__file__).resolve().parents[2]
WHO = "SELECT id, name FROM pet WHERE id = %s"


@pytest.fixture(scope="module")
def postgres():
    """A Postgres of its own, to be killed, and started again."""
    with running(TestPostgres) as postgres:
        yield postgres


@pytest.fixture
def pool(postgres, monkeypatch):
    """The pool of a process of that Postgres."""
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    read = runpy.run_path(str(ROOT / "chatbot/settings.py"))
    options = read["DATABASES"]["default"]["OPTIONS"]["pool"]
    check = ConnectionPool.check_connection  # Django's, for CONN_HEALTH_CHECKS
    with ConnectionPool(postgres.url, check=check, open=True, **options) as pool:
        yield pool


def test_a_postgres_that_comes_back_is_found_within_one_wait(postgres, pool):
    with pool.connection() as connection:
        connection.execute("SELECT 1")
    postgres.kill()
    until_s = time.monotonic() + 8
    while time.monotonic() < until_s:
        with pytest.raises(PoolTimeout):
            pool.getconn(timeout=1)
    postgres.start()
    with pool.connection() as connection:  # waits for 5 s, as every thread does
        assert connection.execute("SELECT 2").fetchone() == (2,)


@pytest.fixture
def prepares():
    """Whether frequent statements are prepared."""
    return True


@pytest.fixture
def connection(postgres, monkeypatch, prepares, db):
    """A thread's connection, as Django makes it."""
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    monkeypatch.setenv("DATABASE_PREPARES", str(prepares))
    read = runpy.run_path(str(ROOT / "chatbot/settings.py"))["DATABASES"]
    handler = ConnectionHandler({"default": {}, "private": read["default"]})
    connection: Any = handler["private"]
    connections["private"] = connection  # for transactions, which go by names
    yield connection
    del connections["private"]
    connection.close_pool()


def ask(connection, sql, *values):
    """Return the rows of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def is_anything_prepared(connection) -> bool:
    return bool(ask(connection, "SELECT statement FROM pg_prepared_statements"))


@pytest.mark.parametrize("prepares", [True, False])
def test_what_comes_often_is_prepared_unless_it_must_not_be(connection, prepares):
    for number in range(9):
        ask(connection, "SELECT %s + 1", number)
    assert is_anything_prepared(connection) is prepares


@pytest.fixture
def migrated(postgres, connection):
    """A connection that prepared a question about a table changed since."""
    with psycopg.connect(postgres.url, autocommit=True) as another:
        another.execute("DROP TABLE IF EXISTS pet")
        another.execute("CREATE TABLE pet (id int, name varchar(10))")
        another.execute("INSERT INTO pet VALUES (1, 'Rex')")
        for _ in range(9):
            ask(connection, WHO, 1)
        assert is_anything_prepared(connection)
        another.execute("ALTER TABLE pet ALTER COLUMN name TYPE varchar(20)")
    return connection


def test_a_migration_beside_it_is_not_seen_by_who_asks(migrated):
    assert ask(migrated, WHO, 1) == [(1, "Rex")]
    assert not is_anything_prepared(migrated)


def test_a_connection_is_watched_once_however_often_it_is_opened(migrated):
    for _ in range(3):
        migrated.close()
        ask(migrated, "SELECT 1")
    assert migrated.execute_wrappers == [execute]


@pytest.mark.parametrize("savepoints", [0, 1])
def test_a_transaction_that_a_migration_broke_can_be_tried_again(migrated, savepoints):
    def ask_within(savepoints):
        with transaction.atomic("private"):
            return ask_within(savepoints - 1) if savepoints else ask(migrated, WHO, 1)

    with pytest.raises(OperationalError, match="plan"):
        ask_within(savepoints)
    assert ask_within(savepoints) == [(1, "Rex")]


def test_what_postgres_does_not_support_is_said_as_before(connection):
    with pytest.raises(NotSupportedError):
        ask(connection, "SELECT DISTINCT 1 FOR UPDATE")
