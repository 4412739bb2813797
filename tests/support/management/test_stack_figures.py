"""What is made of the times of a stack and of a model alone."""

from uuid import uuid4

import pytest

from support.management.stack.alone import Answer
from support.management.stack.figures import (
    PHASES,
    Booked,
    Level,
    build_figures,
    format_figures,
    measure_busy_s,
)
from support.management.stack.talking import Exchange

CREATED, CLAIMED, CALLED = 0.010, 0.020, 0.045


@pytest.mark.parametrize(
    ("waits", "busy_s"),
    [
        ([], 0),
        ([(1, 3)], 2),
        ([(1, 3), (2, 5)], 4),
        ([(4, 5), (1, 2)], 2),
        ([(1, 9), (2, 3), (8, 10)], 9),
    ],
)
def test_time_counts_once_however_many_wait(waits, busy_s):
    assert measure_busy_s(waits) == busy_s


def build_level(num_turns: int) -> tuple[Level, dict]:
    """Turns of which each waits for 10 s longer than the one before; 20 tokens a s."""
    level, ledger = Level(1, num_turns, 0.0), {}
    exchanges, answers = [], []
    for number in range(num_turns):
        turn, at_s = uuid4(), 100.0 * number
        exchanges.append(
            Exchange(0, number, turn, at_s, at_s + 0.1 + number, at_s + 2.5)
        )
        answers.append(Answer(turn, at_s, at_s + 0.05 + number, at_s + 2.0, 40))
        ledger[turn] = Booked(
            at_s + CREATED, at_s + CLAIMED, at_s + CALLED, 50 + 1000 * number, 40
        )
    level.rounds.append((exchanges, answers))
    return level, ledger


def test_speeds_are_compared():
    figures = build_figures(*build_level(2))
    assert figures["tokens_per_s"] == {"alone": 20.0, "stack": 16.0}
    assert figures["ratio"] == 0.8


def test_first_texts_are_compared_turn_by_turn():
    figures = build_figures(*build_level(3))
    assert figures["first_ms"]["stack"]["p50"] == 1100
    assert figures["added_ms"] == {"p50": 50.0, "p95": 50.0}


def test_the_phases_of_a_turn_add_up():
    figures = build_figures(*build_level(1))
    phases = {name: figures["phases_ms"][name]["p50"] for name in PHASES}
    assert phases == {
        "accepted": 10, "claimed": 10, "prepared": 25, "model": 50, "shown": 5,
    }  # fmt: skip


def test_the_table_has_a_column_for_each_number_of_conversations():
    figures = [build_figures(*build_level(number)) for number in (1, 2)]
    lines = format_figures(figures).splitlines()
    assert lines[1].split() == ["messages", "1", "2"]
    assert lines[7].split()[-6:] == ["50.0", "/", "50.0", "50.0", "/", "50.0"]
