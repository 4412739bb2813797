"""Fixtures of all tests, and their order."""

import gc
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings

from inference import registry, routes
from inference.ceilings import open_shared_counts
from inference.models import Queue
from support.chat import dispatch, rate_limits
from support.chat.reply_buffer import reply_buffer
from tests.inference.backends.openai_stand_in import OpenAIStandIn
from tests.inference.providers import Provider
from tests.services import postgres_url, redis_client, redis_url  # noqa: F401 - fixtures

# that the machine is busy is no fault of what is tested
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


HERE = Path(__file__).parent
# these wait for servers and pages, most of their time
WAITING = tuple(HERE / name for name in ("system", "faults", "browser"))
# and these need no event loop, which there is none of where a browser has been
WITHOUT_LOOP = tuple(
    HERE / "inference" / name for name in ("engine", "backends", "lab")
)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Import all tests without looking for garbage, of which there is none.

    It would take a fifth of the time, in each process; nor is it looked at later.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """Mix files that wait and files that compute; those of the browser come late.

    Processes take files in this order, so that some compute while others wait. The
    browser's library keeps an event loop running in the thread until the session ends,
    and tests that need one can run none beside it.
    """
    places = {}
    halves = defaultdict(list)
    for file in dict.fromkeys(item.path for item in items):
        is_late = is_in(file, (HERE / "browser", *WITHOUT_LOOP))
        halves[is_late, is_in(file, WAITING)].append(file)
    for (is_late, _), files in halves.items():
        for place, file in enumerate(files):
            places[file] = (is_late, (place + 0.5) / len(files))
    items.sort(key=lambda item: places[item.path])


def is_in(file: Path, folders: Iterable[Path]) -> bool:
    return any(map(file.is_relative_to, folders))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Cut what asynchronous tests left open: Postgres drops no database in use.

    Their own queries run in a thread that lives as long as the tests.
    """
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def _fresh_process_state():
    """Forget what this process remembers outside the database."""
    yield
    registry.close()
    registry.registry.queues = frozenset(Queue.values)
    registry.registry.begin_again()
    routes.forget_outlook()
    dispatch.forget_live_queues()
    reply_buffer.clear()
    rate_limits._process_limiter.cache_clear()
    rate_limits._shared_limiter.cache_clear()
    open_shared_counts.cache_clear()


@pytest.fixture
def stand_in():
    """A provider of three dialects that fails on order: docs/providers.md."""
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def provider():
    """A provider in OpenAI's form on a real socket; it answers as the test says."""
    stand_in = OpenAIStandIn()
    yield stand_in
    stand_in.close()
