import threading
from dataclasses import replace

import pytest

from inference.bench.playing import play_workload, read_answer
from inference.bench.workloads import build_churn, build_support
from inference.types import ChatMessage, Usage


class Server:
    """Answers in words, and notes who was asked what at the same time."""

    def __init__(self) -> None:
        self.prompts: list[tuple[ChatMessage, ...]] = []
        self.num_at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def ask(self, messages, max_tokens):
        with self._lock:
            self.prompts.append(messages)
            self.num_at_once += 1
            self.most_at_once = max(self.most_at_once, self.num_at_once)
        yield from [" word"] * max_tokens
        with self._lock:
            self.num_at_once -= 1


def of(*items):
    """Return what answers with these items."""

    def ask(messages, max_tokens):
        yield from items

    return ask


def test_every_turn_is_asked_once():
    run = play_workload(Server().ask, replace(build_churn(1, 5, 3, 2), answer_tokens=3))
    asked = sorted((answer.conversation, answer.turn) for answer in run.answers)
    assert asked == [(number, turn) for number in range(5) for turn in (1, 2, 3)]


def test_later_turns_carry_the_answers_that_came():
    server = Server()
    play_workload(server.ask, replace(build_support(1, 1, 2, 2), answer_tokens=2))
    last = max(server.prompts, key=len)
    assert last[2] == ChatMessage("assistant", " word word")


def test_no_more_are_asked_at_once_than_the_workload_says():
    server = Server()
    play_workload(server.ask, build_churn(1, 12, 2, 3))
    assert 1 <= server.most_at_once <= 3


def test_an_error_ends_the_run():
    def fail(messages, max_tokens):
        yield " a"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        play_workload(fail, build_support(1, 1, 3, 2))


def test_tokens_are_counted_by_words():
    answer, text = read_answer(of(" a b", " c"), (), 3, (0, 1))
    assert [number for _, number in answer.pieces] == [2, 1]
    assert text == " a b c"


def test_usage_is_no_text():
    usage = Usage(9, 3, 4)
    answer, text = read_answer(of(" a", usage), (), 3, (0, 1))
    assert answer.usage == usage
    assert text == " a"
