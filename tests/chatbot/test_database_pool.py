"""The connections to Postgres, as settings.py asks for them, through an outage."""

import runpy
import time
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import ConnectionHandler
from psycopg_pool import ConnectionPool, PoolTimeout

from tests.services import TestPostgres, running

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def postgres():
    """A Postgres of its own, to be killed."""
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


@pytest.mark.django_db
@pytest.mark.parametrize("prepares", [True, False])
def test_what_comes_often_is_prepared_unless_it_must_not_be(
    postgres, monkeypatch, prepares
):
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    monkeypatch.setenv("DATABASE_PREPARES", str(prepares))
    databases = runpy.run_path(str(ROOT / "chatbot/settings.py"))["DATABASES"]
    connection: Any = ConnectionHandler(databases)["default"]
    try:
        with connection.cursor() as cursor:
            for number in range(9):
                cursor.execute("SELECT %s + 1", [number])
            cursor.execute("SELECT statement FROM pg_prepared_statements")
            assert bool(cursor.fetchall()) is prepares
    finally:
        connection.close_pool()
