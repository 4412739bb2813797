"""What the numbers of a round mean, and how rounds are summed up."""

import json
from contextlib import contextmanager

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.crowd import Question
from tests.faults.play import Round, check_limits, read_times
from tests.faults.registry import Fault, fault
from tests.faults.report import format_rounds, summarize, write_report


def question(sent_s, *progress_s, ack_s=None, done_s=None) -> Question:
    seen = [*progress_s, *([done_s] if done_s else [])]
    return Question("why?", sent_s, ack_s, done_s, "answered", seen)


def nothing(system, dice):
    yield


HARMLESS = Fault(
    "F0", "nothing", "worker", (1,), contextmanager(nothing),
    within_s=5, acks_within_s=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "from_s", "silence_s"),
    [
        (question(0, 1, 2, 8, 9, done_s=10), 0, 6),
        (question(0, 1, 2, 8, 9, done_s=10), 4, 4),  # of the 6, those after 4
        (question(0, 1, done_s=3), 4, 0),  # over by then
        (question(5, 7, done_s=8), 4, 2),  # asked later
        (question(0, 1), 4, 96),  # never answered: until now
    ],
)
def test_silence_is_the_longest_time_without_anything_new(asked, from_s, silence_s):
    assert asked.measure_silence(from_s, 100) == silence_s


def test_a_pause_begins_with_the_fault_and_recovery_when_it_is_over():
    played = Round("F0", "1")
    read_times(played, [question(0, 1, 2, 18, done_s=19, ack_s=0.5)], 0, 10)
    assert (played.pause_s, played.recovery_s) == (16, 8)
    assert played.slowest_ack_s == 0.5


@pytest.mark.parametrize(
    ("recovery_s", "slowest_ack_s", "num_broken"), [(5, 1, 0), (6, 1, 1), (6, 2, 2)]
)
def test_a_time_that_was_promised_and_not_kept_is_a_broken_promise(
    recovery_s, slowest_ack_s, num_broken
):
    played = Round("F0", "1", recovery_s=recovery_s, slowest_ack_s=slowest_ack_s)
    check_limits(HARMLESS, played)
    assert len(played.broken) == num_broken


def test_rounds_are_summed_up_by_fault():
    rounds = [
        Round("F2", "1", messages=5, recovery_s=1, promises={"lost": 1}, broken=["a"]),
        Round("F9", "1", messages=7, recovery_s=4),
        Round("F2", "2", messages=6, recovery_s=3, promises={"mixed": 1}),
    ]
    first, second = summarize(rounds)
    assert (first["fault"], first["rounds"], first["messages"]) == ("F2", 2, 11)
    assert (first["lost"], first["mixed"], first["broken"]) == (1, 1, 1)
    assert first["recovery_s"] == {"median": 2, "worst": 3}
    assert second["title"] == FAULTS["F9"].title


def test_the_report_is_a_table_and_json(tmp_path):
    rounds = [Round("F2", "1", messages=5), Round("F9", "1", messages=7)]
    write_report(tmp_path / "var" / "faults.json", rounds)
    report = json.loads((tmp_path / "var" / "faults.json").read_text())
    assert [played["messages"] for played in report["rounds"]] == [5, 7]
    table = format_rounds(rounds)
    assert "| F2 a worker is killed | 1 | 5 | 0 |" in table
    assert "| all | 2 | 12 | 0 |" in table


def test_a_fault_is_registered_once():
    with pytest.raises(ValueError, match="a fault F2 already"):
        fault("F2", "another", target="worker", promises=())(nothing)


def test_every_fault_says_what_it_is_about():
    for known in FAULTS.values():
        assert known.promises
        assert known.target
