"""When replies go to another backend because they would come late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.redis_link import RedisLink
from inference.routing.spill import Spill, SpillPolicy, Spills, step
from inference.shared_spills import FRESH_S, ProcessSpillBoard, SharedSpillBoard
from tests.inference.routing.scripted_calls import ScriptedClock
from tests.ports import free_port

POLICY = SpillPolicy(begin_at=1.0, end_at=0.5, min_s=3.0)
ON = Spill(True, since_s=0.0)


@pytest.mark.parametrize(
    ("spill", "foreseen_s", "now_s", "is_on"),
    [
        (Spill(), 1.9, 10, False),
        (Spill(), 2.0, 10, False),
        (Spill(), 2.1, 10, True),
        (Spill(), None, 10, False),
        (ON, 0.1, 2.9, True),  # it has to last
        (ON, None, 2.9, True),
        (ON, 1.5, 10, True),  # under the target, and not under half of it
        (ON, 1.0, 10, True),
        (ON, 0.9, 10, False),
        (ON, None, 10, False),
    ],
)
def test_begins_late_and_ends_later(spill, foreseen_s, now_s, is_on):
    assert step(spill, foreseen_s, 2.0, now_s, POLICY).is_on is is_on


def test_a_policy_that_would_flutter_is_refused():
    with pytest.raises(ValueError, match="must end below"):
        SpillPolicy(begin_at=0.5, end_at=0.6)


looks = st.tuples(st.floats(0.05, 2.0), st.none() | st.floats(0.0, 8.0))


@given(st.lists(looks, max_size=60))
def test_it_never_flutters(story):
    spill, now_s, changes = Spill(), 0.0, []
    for pause_s, foreseen_s in story:
        now_s += pause_s
        after = step(spill, foreseen_s, 2.0, now_s, POLICY)
        if after.is_on and not spill.is_on:
            assert foreseen_s > 2.0
            changes.append(now_s)
        elif spill.is_on and not after.is_on:
            assert foreseen_s is None or foreseen_s < 1.0
            assert now_s - changes[-1] >= 3.0
        spill = after


def test_each_change_is_told_once():
    clock, told = ScriptedClock(), []
    spills = Spills(clock, lambda name, spill: told.append((name, spill.is_on)), POLICY)
    for foreseen_s in (1.0, 3.0, 4.0):
        spills.look("local", foreseen_s, 2.0)
    clock.now_s += 5
    spills.look("local", 0.1, 2.0)
    assert told == [("local", True), ("local", False)]


def test_a_backend_that_is_closed_spills_no_more():
    told = []
    spills = Spills(on_spill=lambda name, spill: told.append(spill.is_on))
    spills.look("local", 9.0, 2.0)
    spills.forget("local")
    spills.forget("local")
    assert told == [True, False]
    assert spills.read() == {}


@pytest.fixture(params=["process", "redis"])
def board(request):
    if request.param == "process":
        return ProcessSpillBoard()
    request.getfixturevalue("redis_client").flushdb()
    return SharedSpillBoard(RedisLink(request.getfixturevalue("redis_url")))


def test_a_backend_spills_when_all_its_workers_say_so(board):
    board.report("one", {"local": True, "other": False})
    assert board.read(["local", "other", "unknown"]) == {"local"}
    board.report("two", {"local": False})
    assert board.read(["local"]) == set()
    board.report("two", {"local": True})
    assert board.read(["local"]) == {"local"}


def test_a_worker_that_is_gone_says_nothing():
    clock = ScriptedClock()
    board = ProcessSpillBoard(clock)
    board.report("one", {"local": True})
    clock.now_s += FRESH_S
    assert board.read(["local"]) == set()


def test_without_redis_nobody_seems_to_spill():
    link = RedisLink(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2)
    board = SharedSpillBoard(link)
    board.report("one", {"local": True})
    assert board.read(["local"]) == set()
