"""How the engine chooses tokens and makes text of them, request by request."""

from dataclasses import replace

import numpy as np
import pytest

from inference.engine.chat_template import CHATML
from inference.engine.reasoning import THINK
from inference.errors import InvalidResponse, PromptTooLong, RequestRejected
from inference.types import FinishReason, SamplingParams
from tests.inference.engine.fake_runner import (
    END,
    NUM_VOCAB,
    FakeGrammar,
    FakeRunner,
)
from tests.inference.engine.test_engine import Bench, ask


class SayingRunner(FakeRunner):
    """Says what it is told, then ends; the other letters are likely too."""

    def __init__(self, text):
        super().__init__()
        self.rest = [*text.encode(), END]

    def logits_of(self, chunk_number, place=0):
        logits = np.ones(NUM_VOCAB, np.float32)
        logits[self.rest.pop(0) if self.rest else END] = 2.0
        return logits


class TestGrammar:
    @pytest.fixture(autouse=True)
    def _frees_all(self):
        before = FakeGrammar.num_open
        yield
        assert FakeGrammar.num_open == before

    def test_is_kept_to_and_ends_the_reply(self):
        bench = Bench(FakeRunner(end_every=0))
        bench.submit("a", ask("tents?", grammar="yes, tents")).run()
        assert bench.texts["a"] == "yes, tents"
        assert bench.ends["a"].finish_reason is FinishReason.STOP

    def test_ends_at_the_limit_all_the_same(self):
        bench = Bench().submit("a", ask("tents?", 3, grammar="yes, tents")).run()
        assert bench.texts["a"] == "yes"
        assert bench.ends["a"].finish_reason is FinishReason.LENGTH

    def test_that_cannot_be_read_refuses_the_request(self):
        bench = Bench().submit("a", ask("tents?", grammar="bad"))
        assert type(bench.ends["a"]) is RequestRejected
        assert not bench.engine.has_work

    def test_is_freed_when_the_prompt_is_too_long(self):
        bench = Bench(FakeRunner(num_cells=100))
        bench.submit("a", ask("x" * 90, 20, grammar="yes"))
        assert isinstance(bench.ends["a"], PromptTooLong)

    def test_is_freed_when_the_request_is_cancelled(self):
        bench = Bench().submit("a", ask("tents?", grammar="yes" * 9)).run(8)
        bench.engine.cancel_soon("a")
        assert bench.run().ends["a"].finish_reason is FinishReason.CANCELLED

    def test_without_a_way_on_fails_its_request_alone(self, monkeypatch):
        monkeypatch.setattr(
            FakeGrammar, "mask", lambda self, logits: np.full_like(logits, -np.inf)
        )
        bench = Bench().submit("a", ask("tents?", grammar="yes"))
        bench.submit("b", ask("tents?")).run()
        assert "continues the grammar" in str(bench.ends["a"])
        assert bench.texts["b"] == bench.expected(ask("tents?"))

    def test_goes_on_behind_a_preemption(self):
        bench = Bench(FakeRunner(num_cells=220, end_every=0))
        for number in range(8):
            bench.submit(str(number), ask("tent " * number, 80, grammar="yes" * 20))
        bench.run()
        assert bench.engine.read_stats().num_preemptions > 0
        assert set(bench.texts.values()) == {"yes" * 20}


class TestReasoning:
    def test_is_counted_and_kept_out(self):
        bench = Bench(SayingRunner("<think>hm</think>yes"))
        bench.submit("a", ask("tents?", 80)).run()
        assert bench.texts["a"] == "yes"
        usage = bench.ends["a"].usage
        assert usage.reasoning_tokens == len("<think>hm</think>")
        assert usage.completion_tokens == len("<think>hm</think>yes")

    def test_counts_for_the_limit(self):
        bench = Bench(SayingRunner("<think>hmmmmmm"))
        bench.submit("a", ask("tents?", 10)).run()
        assert bench.texts["a"] == ""
        assert bench.ends["a"].finish_reason is FinishReason.LENGTH
        assert bench.ends["a"].usage.reasoning_tokens == 10

    def test_that_never_ends_is_an_empty_reply(self):
        bench = Bench(SayingRunner("<think>hm")).submit("a", ask("tents?")).run()
        assert bench.texts["a"] == ""
        assert bench.ends["a"].finish_reason is FinishReason.STOP

    def test_that_the_prompt_opens_is_kept_out(self):
        runner = SayingRunner("hm</think>\n\nyes")
        runner.template = replace(
            CHATML, header="<|im_start|>{role}\n<think>\n", reasoning_tags=(THINK,)
        )
        bench = Bench(runner).submit("a", ask("tents?")).run()
        assert bench.texts["a"] == "yes"
        assert bench.ends["a"].usage.reasoning_tokens == len("hm</think>")

    def test_comes_before_a_grammar(self):
        runner = SayingRunner("hm</think>no, boots")
        runner.template = replace(CHATML, header="<|im_start|>{role}\n<think>\n")
        bench = Bench(runner).submit("a", ask("tents?", grammar="yes")).run()
        assert bench.texts["a"] == "yes"

    def test_is_known_by_special_tokens_too(self, monkeypatch):
        runner = SayingRunner("X hm Y yes")
        runner.template = replace(CHATML, reasoning_tags=(("X", "Y"),))
        monkeypatch.setattr(
            runner, "piece_of", lambda token: b"" if token in b"XY" else bytes([token])
        )
        bench = Bench(runner).submit("a", ask("tents?")).run()
        assert bench.texts["a"] == "yes"


class BreakingRunner(FakeRunner):
    """Computes no numbers for all but the first of each step, while it is broken."""

    is_broken = False

    def logits_of(self, chunk_number, place=0):
        logits = super().logits_of(chunk_number, place)
        return logits * np.nan if self.is_broken and chunk_number else logits


def test_logits_that_are_no_numbers_fail_their_request_alone():
    runner = BreakingRunner(end_every=0)
    bench = Bench(runner).submit("a", ask("tents?")).submit("b", ask("boots?")).run(8)
    runner.is_broken = True
    bench.run(1)
    runner.is_broken = False
    bench.run()
    assert isinstance(bench.ends["b"], InvalidResponse)
    assert bench.texts["a"] == bench.expected(ask("tents?"))


def test_a_backends_sampling_holds_where_a_request_says_nothing():
    sampling = SamplingParams(temperature=2.0, seed=5)
    asked = ask("tents?", temperature=2.0, seed=5)
    said = Bench(FakeRunner(end_every=0)).submit("a", asked).run()
    meant = Bench(FakeRunner(end_every=0), sampling=sampling)
    meant.submit("a", ask("tents?")).submit("b", ask("tents?", temperature=0.0)).run()
    assert meant.texts["a"] == said.texts["a"]
    assert meant.texts["b"] == meant.expected(ask("tents?"))
