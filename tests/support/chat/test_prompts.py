"""What stays the same in a prompt comes first, so that it is computed once.

The engine here is a real one on a model without weights, whose tokens are bytes.
"""

import pytest

from inference.types import ChatMessage
from support.chat.prompts import build_request, count_kept_turns, cut_history
from support.knowledge.retrieval import RetrievedPassage
from tests.inference.engine.fake_runner import FakeRunner
from tests.inference.engine.test_engine import Bench

SYSTEM = "You are Fern. " * 8
QUESTIONS = ["Where is my tent?", "And my boots?", "Who pays?", "When?", "Thanks!"]


def tell(number):
    return [
        ChatMessage("user", f"question {number}"),
        ChatMessage("assistant", f"answer {number}"),
    ]


def tell_many(count):
    return [message for number in range(count) for message in tell(number)]


class Visitor:
    """One conversation with the engine, in the application's own prompts."""

    def __init__(self, bench, name):
        self.bench = bench
        self.name = name
        self.history = []

    def ask(self, question):
        """Return how many tokens the prompt had, and how many were cached."""
        text = f"What {self.name} asks, {question} is answered here. " * 3
        passages = [RetrievedPassage(1, 1, "Title", "Part", text, "/", 1.0)]
        request = build_request(SYSTEM, self.history, passages, question, 8)
        key = f"{self.name} {question}"
        self.bench.submit(key, request).run()
        reply = ChatMessage("assistant", self.bench.texts[key] or "Yes.")
        self.history += [ChatMessage("user", question), reply]
        usage = self.bench.ends[key].usage
        return usage.prompt_tokens, usage.cached_tokens


@pytest.fixture
def bench():
    runner = FakeRunner(num_cells=8000, end_every=0)
    return Bench(runner, max_retained=16, max_batch_tokens=256)


def count_bytes(messages):
    return sum(len(m.role) + len(m.content) + len("<\n>\n") for m in messages)


def test_conversations_share_the_system_prompt(bench):
    Visitor(bench, "Ada").ask("Where is my tent?")
    _, cached = Visitor(bench, "Bob").ask("Where is my tent?")
    assert cached >= count_bytes([ChatMessage("system", SYSTEM)])


@pytest.mark.parametrize("num_turns", [2, 3, 4])
def test_a_turn_computes_the_last_one_and_what_is_new(bench, num_turns):
    """The last turn again, as it now stands without its passages."""
    ada, bob = Visitor(bench, "Ada"), Visitor(bench, "Bob")
    for question in QUESTIONS[:num_turns]:
        known = [ChatMessage("system", SYSTEM), *ada.history[:-2]]
        prompt_tokens, cached = ada.ask(question)
        bob.ask(question)
    assert cached == count_bytes(known) + len("<user\n")
    assert cached > 0.2 * prompt_tokens


def test_when_turns_are_dropped_the_rest_is_computed_anew(bench):
    ada = Visitor(bench, "Ada")
    cached = [ada.ask(question)[1] for question in QUESTIONS]
    assert cached[1] < cached[2] < cached[3]
    shared = count_bytes([ChatMessage("system", SYSTEM)]) + len("<user\n")
    assert shared <= cached[4] < cached[2]


@pytest.mark.parametrize(
    ("num_turns", "kept"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 2)]
)
def test_of_earlier_turns_two_or_three_are_told(num_turns, kept):
    history = cut_history(tell_many(num_turns))
    assert history == tell_many(num_turns)[2 * (num_turns - kept) :]
    assert cut_history(history) == history


def test_every_other_prompt_begins_as_the_one_before():
    starts = [num - count_kept_turns(num) for num in range(9)]
    assert starts == [0, 0, 0, 0, 2, 2, 4, 4, 6]


def test_a_history_that_is_too_long_loses_its_beginning():
    history = [*tell(1), ChatMessage("user", "x" * 1180), *tell(2)[1:]]
    assert cut_history(history) == history[2:]
