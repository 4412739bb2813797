"""Requests and tokens a minute, of one process and of several."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from inference.ceilings import CeilingGate, MinuteCounts
from inference.models import Backend
from inference.redis_link import RedisLink
from inference.routing.gates import FREE, NO_CALL, Refused
from inference.routing.plan import Asker
from inference.types import (
    AttemptOutcome,
    AttemptReport,
    ChatMessage,
    CompletionRequest,
    Usage,
)
from tests.ports import free_port

# 16 bytes and a message are 8 tokens, and 12 may be written
REQUEST = CompletionRequest((ChatMessage("user", "x" * 16),), max_tokens=12)


class Clock:
    def __init__(self):
        self.now_s = 600_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_gate(clock):
    """Return a maker of gates that share their counts unless they have their own."""
    shared = MinuteCounts(clock=clock)

    def make(counts=shared, **ceilings) -> CeilingGate:
        rows = {"cloud": Backend(**ceilings)}
        return CeilingGate(rows.get, lambda name, request: 12, lambda: counts)

    return make


def report(usage: Usage | None) -> AttemptReport:
    done, now = AttemptOutcome.COMPLETED, datetime.now(UTC)
    return AttemptReport("cloud", "m", 1, done, now, 900, usage=usage)


def count_passes(gate: CeilingGate, tries: int = 20) -> int:
    passes = 0
    for _ in range(tries):
        try:
            gate.admit("cloud", REQUEST, Asker())
        except Refused:
            return passes
        passes += 1
    return passes


def test_without_ceilings_nothing_is_counted(make_gate):
    assert make_gate().admit("cloud", REQUEST, Asker()) is FREE
    assert make_gate().admit("unknown", REQUEST, Asker()) is FREE


def test_so_many_requests_pass_in_a_minute(make_gate):
    gate = make_gate(max_requests_per_minute=3)
    assert count_passes(gate) == 3
    with pytest.raises(Refused, match="over its ceiling of 3 requests a minute"):
        gate.admit("cloud", REQUEST, Asker())


def test_the_minute_slides(make_gate, clock):
    gate = make_gate(max_requests_per_minute=6)
    count_passes(gate)
    clock.now_s += 60
    assert count_passes(gate) == 0
    clock.now_s += 30
    assert count_passes(gate) == 3
    clock.now_s += 90
    assert count_passes(gate) == 6


def test_refused_requests_do_not_count(make_gate, clock):
    gate = make_gate(max_requests_per_minute=2)
    for _ in range(9):
        count_passes(gate)
    clock.now_s += 90
    assert count_passes(gate) == 1


def test_tokens_count_by_estimate(make_gate):
    assert count_passes(make_gate(max_tokens_per_minute=65)) == 3


@pytest.mark.parametrize(("usage", "passes"), [(Usage(8, 2), 2), (Usage(40, 9), 0)])
def test_tokens_are_corrected_by_what_was_used(make_gate, usage, passes):
    gate = make_gate(max_tokens_per_minute=50)
    gate.admit("cloud", REQUEST, Asker()).settle(report(usage))
    assert count_passes(gate) == passes


def test_a_correction_goes_where_it_was_counted(make_gate, clock):
    gate = make_gate(max_tokens_per_minute=60)
    leave = gate.admit("cloud", REQUEST, Asker())
    clock.now_s += 60
    leave.settle(report(None))
    assert count_passes(gate) == 3


def test_a_call_that_was_not_made_is_not_counted(make_gate):
    gate = make_gate(max_requests_per_minute=1, max_tokens_per_minute=20)
    for _ in range(3):
        gate.admit("cloud", REQUEST, Asker()).settle(NO_CALL)
    assert count_passes(gate) == 1


def test_a_failed_call_is_a_request_without_tokens(make_gate):
    gate = make_gate(max_requests_per_minute=2, max_tokens_per_minute=20)
    gate.admit("cloud", REQUEST, Asker()).settle(report(None))
    assert count_passes(gate) == 1


def test_what_one_ceiling_refuses_does_not_count_for_the_other(make_gate):
    for _ in range(9):
        count_passes(make_gate(max_requests_per_minute=2, max_tokens_per_minute=20))
    assert count_passes(make_gate(max_requests_per_minute=2)) == 1


def test_a_call_larger_than_the_ceiling_is_said_to_be(make_gate):
    gate = make_gate(max_tokens_per_minute=19)
    with pytest.raises(Refused, match="a call of up to 20 tokens is over its 19 a min"):
        gate.admit("cloud", REQUEST, Asker())


def test_threads_do_not_pass_together(make_gate):
    gate = make_gate(max_requests_per_minute=25)
    with ThreadPoolExecutor(16) as threads:
        passes = list(threads.map(lambda _: count_passes(gate, 10), range(16)))
    assert sum(passes) == 25


class TestSeveralProcesses:
    @pytest.fixture
    def make_counts(self, redis_url, redis_client, clock):
        redis_client.flushdb()
        return lambda: MinuteCounts(RedisLink(redis_url), clock)

    def test_they_share_one_ceiling(self, make_gate, make_counts):
        gates = [
            make_gate(
                make_counts(), max_requests_per_minute=5, max_tokens_per_minute=99
            )
            for _ in range(2)
        ]
        assert [count_passes(gate, 3) for gate in gates] == [3, 1]

    def test_what_one_gives_back_the_other_has(self, make_gate, make_counts):
        one, other = (make_gate(make_counts(), max_tokens_per_minute=30) for _ in "ab")
        leave = one.admit("cloud", REQUEST, Asker())
        assert count_passes(other) == 0
        leave.settle(report(Usage(6, 4)))
        assert count_passes(other) == 1

    def test_nothing_is_kept_for_long(self, make_gate, make_counts, redis_client):
        count_passes(make_gate(make_counts(), max_requests_per_minute=5))
        keys = redis_client.keys("inference:ceilings*")
        assert [0 < redis_client.ttl(key) <= 600 for key in keys] == [True]

    def test_without_redis_each_goes_on_alone(self, make_gate, clock):
        gone = RedisLink(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2)
        gate = make_gate(MinuteCounts(gone, clock), max_requests_per_minute=2)
        assert count_passes(gate) == 2
