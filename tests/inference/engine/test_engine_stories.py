"""The whole engine with everything on at once, in stories that nobody thought of.

Whatever happens, each request ends once, with the reply that it gets alone
(reference.py), and leaves nothing behind.
"""

from itertools import takewhile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.runner import Outcome
from inference.engine.wire import Finished, Refused, Text
from inference.errors import PromptTooLong
from inference.types import ChatMessage, CompletionRequest, FinishReason, Quotable
from tests.inference.engine.reference import DicedRunner, write_alone

SYSTEMS = ("You are Fern.", "You are Fern. Be brief.")
SENTENCES = ("Tents take 3 days.", "Boots take 5.", "A kayak costs 80 euros a day.")

samplings = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.3, 1.0]),
        "top_p": st.sampled_from([0.5, 0.95]),
        "top_k": st.sampled_from([1, 8]),
        "min_p": st.sampled_from([0.05, 0.5]),
        "repetition_penalty": st.sampled_from([0.8, 1.3]),
        "stop": st.lists(st.text("aeiou ", min_size=1, max_size=2), max_size=2).map(
            tuple
        ),
        "grammar": st.sampled_from(["yes", "no, only boots"]),
        "quotable": st.just(tuple(Quotable(text, 0.5) for text in SENTENCES)),
    },
)

configs = st.fixed_dictionaries(
    {
        "max_sequences": st.integers(1, 6),
        "max_retained": st.integers(0, 6),
        "max_batch_tokens": st.integers(6, 48),
        "max_prefill_tokens": st.integers(1, 24),
        "max_drafted_tokens": st.sampled_from([0, 3, 24]),
        "reuse_prefixes": st.sampled_from([True, True, False]),
        "quotes": st.booleans(),
        "quote_lean": st.sampled_from([0.0, 30.0]),
    }
)


class EngineStories(RuleBasedStateMachine):
    """Requests come, are continued, cancelled and disturbed, at any time."""

    @initialize(
        values=configs,
        num_cells=st.integers(230, 500),
        can_cut=st.sampled_from([True, True, False]),
        end_every=st.sampled_from([0, 10, 40]),
    )
    def begin(self, values, num_cells, can_cut, end_every):
        self.config = EngineConfig("-", **values)
        self.runner = DicedRunner(num_cells, end_every, can_cut=can_cut)
        self.engine = Engine(self.runner, self.config)
        self.runner.on_compute = self._disturb
        self.requests = {}
        self.texts = {}
        self.ends = {}
        self.failures = []

    @rule(
        system=st.sampled_from(SYSTEMS),
        question=st.text("ab ", max_size=50),
        sentences=st.lists(st.sampled_from(SENTENCES), unique=True),
        max_tokens=st.integers(1, 50),
        options=samplings,
    )
    def ask(self, system, question, sentences, max_tokens, options):
        content = "\n".join([*sentences, question])
        messages = (ChatMessage("system", system), ChatMessage("user", content))
        self._submit(messages, max_tokens, options)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), question=st.text("ab", max_size=20), options=samplings)
    def continue_a_conversation(self, data, question, options):
        """Also one whose reply is not whole, as after a stop."""
        key = data.draw(st.sampled_from(sorted(self.requests)))
        said = ChatMessage("assistant", self.texts[key] or "(nothing)")
        asked = ChatMessage("user", question)
        self._submit((*self.requests[key].messages, said, asked), 20, options)

    @rule(count=st.integers(1, 12))
    def work(self, count):
        for _ in range(count):
            self._step()

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def cancel(self, data):
        """Any request, also one that is over; it takes part in no other step."""
        key = data.draw(st.sampled_from(sorted(self.requests)))
        self.engine.cancel_soon(key)
        num_steps = len(self.runner.steps)
        self._step()
        assert key in self.ends
        for step in self.runner.steps[num_steps:]:
            assert key not in {chunk.sequence.key for chunk in step.chunks}

    @rule(outcome=st.sampled_from([Outcome.ABORTED, Outcome.NO_ROOM]))
    def fail_a_step(self, outcome):
        self.failures.append(outcome)

    def teardown(self):
        if not hasattr(self, "engine"):
            return
        self.failures.clear()
        limit = 200 + 4 * sum(r.max_tokens + 500 for r in self.requests.values())
        while self.engine.has_work:
            limit -= 1
            assert limit, "nothing ends any more"
            self._step()
        assert self.ends.keys() == self.requests.keys()
        self.expected = {
            key: write_alone(self.runner, self.config, request)
            for key, request in self.requests.items()
        }
        for key in self.requests:
            self._check(key)
        self._check_nothing_is_left()

    def _submit(self, messages, max_tokens, options):
        key = str(len(self.requests))
        seeded = {"seed": len(self.requests)} | options
        self.requests[key] = CompletionRequest(messages, max_tokens, **seeded)
        self.texts[key] = ""
        self._note(self.engine.submit(key, self.requests[key]))

    def _step(self):
        if self.engine.has_work:
            self._note(self.engine.step())

    def _note(self, events):
        for event in events:
            assert event.key not in self.ends, "something came after the end"
            if isinstance(event, Text):
                assert event.text
                self.texts[event.key] += event.text
            else:
                assert isinstance(event, Finished | Refused)
                self.ends[event.key] = event

    def _disturb(self, step):
        is_alone = self.engine.read_stats().num_running < 2  # then it would be fatal
        if self.failures and not is_alone:
            self.runner.outcomes = [self.failures.pop()]
        for chunk in step.chunks:
            assert chunk.sequence.key not in self.ends

    def _check(self, key):
        request, end = self.requests[key], self.ends[key]
        if isinstance(end, Refused) and isinstance(end.error, PromptTooLong):
            assert end.error.prompt_tokens + request.max_tokens > self.runner.num_cells
            return
        expected = self.expected[key]
        if isinstance(end, Refused):
            assert str(end.error) == str(expected.error)
            return
        self._check_usage(key, end.completion.usage)
        if end.completion.finish_reason is FinishReason.CANCELLED:
            assert expected.text.startswith(self.texts[key])
            return
        assert self.texts[key] == expected.text
        assert end.completion.finish_reason is expected.finish_reason
        assert end.completion.usage.completion_tokens == expected.num_tokens

    def _check_usage(self, key, usage):
        """No more is cached than some other request had in common with this one."""
        prompt = self.expected[key].prompt
        others = [other.tokens for k, other in self.expected.items() if k != key]
        shared = [count_equal(tokens, prompt[:-1]) for tokens in others]
        assert usage.prompt_tokens in {0, len(prompt)}
        assert usage.cached_tokens <= max(shared, default=0)
        assert self.config.reuse_prefixes or usage.cached_tokens == 0

    def _check_nothing_is_left(self):
        """A request that needs every cell gets them, without a wait for anybody."""
        stats = self.engine.read_stats()
        assert (stats.num_running, stats.num_waiting) == (0, 0)
        messages = (ChatMessage("user", ""),)
        prompt = self.runner.tokenize(self.runner.template.render(messages))
        self.runner.end_every = 0
        room = self.runner.num_cells - len(prompt)
        self._submit(messages, room, {"temperature": 0.0, "grammar": "x" * 999})
        key = str(len(self.requests) - 1)
        num_steps = len(self.runner.steps)
        while self.engine.has_work:
            assert len(self.runner.steps) - num_steps <= self.runner.num_cells
            self._step()
        assert self.texts[key] == "x" * room
        after = self.engine.read_stats()
        assert after.num_preemptions == stats.num_preemptions


def count_equal(one, other):
    """Return how many tokens two sequences begin with alike."""
    pairs = zip(one, other, strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


TestEngineStories = EngineStories.TestCase
TestEngineStories.settings = settings(
    deadline=None, max_examples=25, stateful_step_count=25
)


@pytest.mark.faults
def test_a_thousand_long_stories():
    run_state_machine_as_test(
        EngineStories,
        settings=settings(deadline=None, max_examples=1000, stateful_step_count=60),
    )
