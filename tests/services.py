"""A real Redis and a real Postgres for the tests that are named for them.

They are those of REDIS_URL and DATABASE_URL if these are set, else private ones that
are started here. Where their programs are missing the tests are skipped, or fail with
REQUIRE_SERVICES=1.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from redis import Redis as Client

from deploy.services import Postgres, Redis, Service, find_missing
from tests.ports import free_port

AnyService = TypeVar("AnyService", bound=Service)


class TestRedis(Redis):
    """Redis that forgets everything when it ends."""

    __test__ = False
    options = {"save": '""', "appendonly": "no", "maxmemory-policy": "noeviction"}


class TestPostgres(Postgres):
    """Postgres that does not wait for the disk."""

    __test__ = False
    options = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@contextmanager
def running(kind: type[AnyService]) -> Iterator[AnyService]:
    """Start a service in a folder of its own, which is gone afterwards."""
    skip_without_programs()
    folder = Path(tempfile.mkdtemp(prefix="chatbot-service-"))
    folder.chmod(0o755)  # its user may be another one
    try:
        with kind(folder / "data", free_port()) as service:
            yield service
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def skip_without_programs() -> None:
    missing = find_missing()
    if missing and os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a Redis that tests may fill and empty."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    with running(TestRedis) as redis:
        yield redis.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Client]:
    """A client of that Redis."""
    with Client.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a Postgres that tests may make tables in."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given
        return
    with running(TestPostgres) as postgres:
        yield postgres.url
