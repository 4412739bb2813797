"""Redis dies, fails over or freezes under web and worker, which go on."""

import signal
import time
from subprocess import Popen

import pytest
from redis import Redis

from tests.system.server import Visitor
from tests.system.stack import WORDS, slow


@pytest.fixture(scope="module")
def stack(new_stack):
    """One web process and its workers for all tests of this file."""
    return new_stack()


@pytest.fixture
def server(stack):
    """Where visitors go."""
    return stack


@pytest.fixture
def begin(stack, visitor):
    """Return a function that has a slow reply begun: its worker, and who reads it."""

    def begin(pause_s: float) -> tuple[Popen, Visitor]:
        stack.use_scripts(slow(pause_s))
        worker = stack.start_with_worker()
        one = visitor()
        one.ask("count")
        one.receive_until("delta", 60)
        return worker, one

    return begin


def test_redis_that_comes_back_empty_costs_a_pause(stack, begin, redis):
    _, one = begin(0.1)
    stack.use_scripts(slow(0.01))
    redis.kill()
    one.ask("second", "client-without-redis")
    one.receive_until("ack", 5)
    redis.start()
    one.receive_outcomes(2, 60)
    texts = [final[-1]["message"]["content"].strip() for final in one.finals.values()]
    assert texts == [WORDS, WORDS]
    one.check_views()


def test_a_redis_that_fails_over_ends_no_worker(begin, redis):
    worker, one = begin(0.05)
    with Redis.from_url(redis.url) as client:
        client.replicaof("127.0.0.1", "1")  # read-only from here on
        one.ask("second", "client-without-redis")
        one.receive_until("ack", 5)
        client.client_kill_filter(_type="normal", skipme=True)
        client.replicaof("NO", "ONE")
    one.receive_outcomes(2, 60)
    one.check_views()
    assert worker.poll() is None


def test_a_frozen_redis_keeps_nobody_from_sending(stack, visitor, redis):
    stack.use_scripts("say fine")
    stack.start_with_worker()
    one = visitor()
    one.receive_until("replay_done")
    redis.process.send_signal(signal.SIGSTOP)
    try:
        times_s = [measure_ack(one) for _ in range(3)]
        one.connect()  # a new socket too
        one.receive_until("replay_done", 10)
    finally:
        redis.process.send_signal(signal.SIGCONT)
    assert max(times_s) < 3  # one waits for the limit of a second, the others do not
    assert min(times_s) < 1
    one.receive_outcomes(3, 60)


def measure_ack(visitor: Visitor) -> float:
    started_s = time.monotonic()
    visitor.ask("hello")
    visitor.receive_until("ack", 10)
    return time.monotonic() - started_s
