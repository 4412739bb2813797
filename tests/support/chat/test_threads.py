"""Calls that wait for a database that does not answer."""

import asyncio
import time

import pytest
from django.db import OperationalError

from support.chat import threads
from support.chat.threads import NUM_THREADS, DatabaseStuck, in_thread

# its threads have connections to close, from other tests
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _shorter(monkeypatch):
    """A database that fails a call after 0.5 s instead of 5."""
    monkeypatch.setattr(threads, "STUCK_S", 0.4)
    monkeypatch.setattr(threads, "PATIENCE_S", 0.4)
    monkeypatch.setattr(threads, "_queue", threads._Queue())


def wait_in_vain():
    time.sleep(0.5)
    raise OperationalError("canceling statement due to statement timeout")


def find_at_once():
    return "found"


def take_long():
    time.sleep(0.2)
    return "found"


async def gather(function, number):
    calls = [in_thread(function)() for _ in range(number)]
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_queues_behind_a_stuck_database_fails_with_it():
    failures = await gather(wait_in_vain, 10 * NUM_THREADS)
    stuck = [failure for failure in failures if isinstance(failure, DatabaseStuck)]
    assert len(stuck) == 9 * NUM_THREADS


async def test_what_comes_afterwards_is_tried():
    await gather(wait_in_vain, 1)
    assert await gather(find_at_once, 1) == ["found"]


async def test_one_stuck_call_does_not_harm_the_others():
    stuck = asyncio.create_task(gather(wait_in_vain, 1))
    found = await gather(take_long, NUM_THREADS - 1)
    await stuck
    assert set(found) == {"found"}


async def test_a_database_with_much_to_do_refuses_nobody():
    found = await gather(take_long, 4 * NUM_THREADS)
    assert set(found) == {"found"}


async def test_a_quick_error_is_nobody_elses():
    def fail():
        raise OperationalError("deadlock detected")

    calls = [in_thread(take_long)() for _ in range(2 * NUM_THREADS)]
    calls.append(in_thread(fail)())
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results].count(str) == 2 * NUM_THREADS
