"""The stores of breakers: one of a process, and one in Redis that all share."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.errors import AuthenticationFailed, InvalidResponse
from inference.redis_link import RedisLink
from inference.routing.breaker import (
    BreakerPolicy,
    BreakerState,
    Change,
    Leave,
    build_ended,
)
from inference.routing.breakers import ProcessBreakers
from inference.shared_breakers import PREFIX, SharedBreakers
from tests.ports import free_port

POLICY = BreakerPolicy(pause_s=0.05, max_pause_s=0.05)
FAILURE = InvalidResponse("?")


def fail(breakers, times=3, name="local", version="v1"):
    for _ in range(times):
        leave = breakers.ask(name, version, is_last=True)
        breakers.end(name, build_ended(leave, FAILURE, was_answered=False))


def state_of(breakers, name="local"):
    return breakers.read([name])[name].state


class Changes(list):
    def note(self, name, change, words):
        self.append((name, change))


@pytest.fixture
def changes():
    return Changes()


@pytest.fixture(params=["process", "redis"])
def pair(request, changes):
    """Two views on one store: two threads of a process, or two workers."""
    if request.param == "process":
        one = ProcessBreakers(on_change=changes.note, policy=POLICY)
        return one, one
    url = request.getfixturevalue("redis_url")
    request.getfixturevalue("redis_client").flushdb()
    return tuple(SharedBreakers(RedisLink(url), changes.note, POLICY) for _ in "ab")


def test_what_one_learns_the_other_knows(pair):
    one, other = pair
    fail(one, 2)
    fail(other, 1)
    assert state_of(one) is BreakerState.OPEN
    assert one.ask("local", "v1") is other.ask("local", "v1") is None
    assert one.ask("cloud", "v1") is not None


def test_the_standing_says_why(pair):
    one, other = pair
    leave = one.ask("local", "v1")
    error = AuthenticationFailed("key sk-1234 is wrong")
    one.end("local", build_ended(leave, error, was_answered=False))
    standing = other.read(["local"])["local"]
    assert standing.reason == "AuthenticationFailed"
    assert 0 < standing.open_for_s <= POLICY.max_pause_s


def test_of_many_at_once_one_gets_the_trial(pair, changes):
    fail(pair[0])
    time.sleep(POLICY.pause_s)
    barrier = threading.Barrier(16)

    def ask(number):
        barrier.wait()
        return pair[number % 2].ask("local", "v1")

    with ThreadPoolExecutor(16) as pool:
        leaves = [leave for leave in pool.map(ask, range(16)) if leave]
    assert [leave.is_trial for leave in leaves] == [True]
    assert changes.count(("local", Change.TRIED)) == 1


def test_no_lesson_is_lost_when_many_end_at_once(pair):
    def learn(number):
        breakers = pair[number % 2]
        breakers.end("local", build_ended(Leave(0.0, version=""), None, True))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(learn, range(32)))
    assert pair[0].read(["local"])["local"].num_calls == 32


def test_other_settings_begin_anew(pair):
    one, other = pair
    fail(one)
    assert other.ask("local", "v2") is not None
    assert state_of(one) is BreakerState.CLOSED


def test_a_call_with_old_settings_teaches_nothing_of_the_new(pair):
    one, other = pair
    old = one.ask("local", "v1")
    other.ask("local", "v2")
    for _ in range(3):
        one.end("local", build_ended(old, FAILURE, was_answered=False))
    assert state_of(one) is BreakerState.CLOSED


def test_a_reset_by_hand_counts_for_both(pair, changes):
    one, other = pair
    fail(one)
    other.reset("local")
    assert one.ask("local", "v1") is not None
    assert changes[-1] == ("local", Change.RESET)


def test_what_another_version_of_the_software_wrote_is_void(redis_url, redis_client):
    redis_client.set(PREFIX + "local", '{"version": "v1", "health": {"mood": 7}}')
    breakers = SharedBreakers(RedisLink(redis_url), policy=POLICY)
    assert state_of(breakers) is BreakerState.CLOSED
    assert breakers.ask("local", "v1") is not None


def test_without_redis_a_process_has_breakers_of_its_own(changes, caplog):
    link = RedisLink(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2)
    breakers = SharedBreakers(link, changes.note, POLICY)
    fail(breakers)
    assert breakers.ask("local", "v1") is None
    assert changes == [("local", Change.OPENED)]
    assert caplog.text.count("breakers are this process's own") == 1


def test_redis_that_is_back_counts_again(redis_url, redis_client, caplog):
    redis_client.flushdb()
    link = RedisLink(redis_url)
    breakers = SharedBreakers(link, policy=POLICY)
    link._paused_until_s = time.monotonic() + 60
    fail(breakers)
    link._paused_until_s = 0.0
    assert breakers.ask("local", "v1") is not None
    assert "breakers are shared again" in caplog.text
