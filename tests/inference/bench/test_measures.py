import os
import time

import pytest

from inference.bench.interruption import compare_gaps
from inference.bench.measures import (
    Answer,
    Run,
    find_percentile,
    read_cpu_s,
    read_private_bytes,
)
from inference.types import Usage


def answer(asked_s: float, *times_s: float, turn: int = 1) -> Answer:
    return Answer(0, turn, asked_s, [(time_s, 1) for time_s in times_s])


def test_the_first_token_counts_from_the_question():
    assert answer(2.0, 2.5, 3.0).ttft_s == 0.5


def test_an_answer_without_text_has_no_first_token():
    with pytest.raises(ValueError, match="turn 3"):
        _ = answer(0.0, turn=3).ttft_s


def test_a_run_lasts_from_the_first_question_to_the_last_token():
    run = Run([answer(1.0, 2.0, 3.0), answer(2.0, 3.0, 5.0)])
    assert run.wall_s == 4.0
    assert run.tokens_per_s == 1.0


def test_writing_counts_from_the_first_token_of_all():
    run = Run([answer(0.0, 8.0, 9.0, 10.0)])
    assert run.writing_tokens_per_s == 1.0


def test_the_servers_count_comes_before_the_words():
    counted = answer(0.0, 1.0)
    counted.usage = Usage(10, 5, 0)
    assert counted.num_tokens == 5


def test_the_cached_share_is_unknown_without_usage():
    assert Run([answer(0.0, 1.0)]).cached_share is None


def test_the_cached_share_is_that_of_all_prompts_together():
    answers = [answer(0.0, 1.0), answer(0.0, 1.0)]
    answers[0].usage, answers[1].usage = Usage(100, 1, 80), Usage(300, 1, 0)
    assert Run(answers).cached_share == 0.2


def test_first_tokens_are_told_apart_by_turn():
    run = Run([answer(0.0, 1.0), answer(0.0, 3.0), answer(0.0, 9.0, turn=2)])
    assert run.median_ttft_s(1) == 2.0
    assert run.median_ttft_s(2) == 9.0


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51), (0.95, 96), (1.0, 100)])
def test_a_percentile_is_one_of_the_values(share, expected):
    assert find_percentile(range(1, 101), share) == expected


def test_there_is_no_percentile_of_nothing():
    with pytest.raises(ValueError, match="nothing"):
        find_percentile([], 0.95)


def test_gaps_while_a_prompt_is_read_are_compared_with_those_before():
    running = answer(0.0, 1.0, 2.0, 3.0, 4.0, 6.5, 9.0, 10.0)
    figures = compare_gaps([running], answer(3.9, 8.0))
    assert figures is not None
    assert figures["quiet_gap_p95_s"] == 1.0
    assert figures["ratio"] == 2.5


def test_a_gap_that_is_longer_than_the_reading_counts():
    running = answer(0.0, 1.0, 2.0, 3.0, 9.0, 10.0)
    figures = compare_gaps([running], answer(3.5, 8.5))
    assert figures is not None
    assert figures["disturbed_gap_worst_s"] == 6.0


def test_nothing_is_compared_if_an_answer_ended_before_the_prompt_was_read():
    assert compare_gaps([answer(0.0, 1.0, 2.0, 4.0)], answer(3.0, 9.0)) is None


def test_work_takes_processor_time():
    before_s, worked_s = read_cpu_s(os.getpid()), time.process_time()
    while time.process_time() - worked_s < 0.05:
        sum(range(1000))
    assert read_cpu_s(os.getpid()) - before_s >= 0.03


def test_what_is_allocated_is_private_memory():
    before = read_private_bytes()
    block = bytearray(os.urandom(1)) * 50_000_000
    assert read_private_bytes() - before > 40_000_000
    del block
