"""The engine on a model whose text betrays any mistake in its cache."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.runner import Outcome
from inference.engine.wire import Finished, Refused, Text
from inference.errors import PromptTooLong, RequestRejected
from inference.types import ChatMessage, CompletionRequest, FinishReason, Quotable
from tests.inference.engine.fake_runner import FakeRunner, write_alone

SYSTEM = ChatMessage("system", "You are Fern.")


def ask(question, max_tokens=30, **options):
    messages = (SYSTEM, ChatMessage("user", question))
    return CompletionRequest(messages, max_tokens, **options)


class Bench:
    """An engine at work, and what came out of it by key."""

    def __init__(self, runner=None, **config):
        self.runner = runner or FakeRunner()
        values = {"max_sequences": 4, "max_retained": 3, "max_batch_tokens": 32}
        self.engine = Engine(self.runner, EngineConfig("-", **(values | config)))
        self.texts = {}
        self.ends = {}

    def submit(self, key, request):
        self.texts[key] = ""
        self.note(self.engine.submit(key, request))
        return self

    def note(self, events):
        for event in events:
            if isinstance(event, Text):
                self.texts[event.key] += event.text
            elif isinstance(event, Finished):
                self.ends[event.key] = event.completion
            elif isinstance(event, Refused):
                self.ends[event.key] = event.error

    def run(self, num_steps=2000):
        while self.engine.has_work and num_steps:
            self.note(self.engine.step())
            num_steps -= 1
        return self

    def expected(self, request):
        prompt = self.runner.tokenize(self.runner.template.render(request.messages))
        return write_alone(prompt, request.max_tokens, self.runner.end_every)


KINDS = pytest.mark.parametrize("can_cut", [True, False], ids=["cells", "states"])


def test_writes_until_the_model_ends_its_turn():
    bench = Bench(FakeRunner(end_every=10)).submit("a", ask("tents?", 200)).run()
    assert bench.texts["a"] == bench.expected(ask("tents?", 200))
    assert bench.ends["a"].finish_reason is FinishReason.STOP


def test_writes_until_the_limit():
    bench = Bench(FakeRunner(end_every=0)).submit("a", ask("tents?", 7)).run()
    assert bench.ends["a"].finish_reason is FinishReason.LENGTH
    assert bench.ends["a"].usage.completion_tokens == 7


def test_counts_the_prompt_and_what_was_cached():
    bench = Bench().submit("a", ask("tents?")).run().submit("b", ask("boots?")).run()
    first, second = bench.ends["a"].usage, bench.ends["b"].usage
    assert first.cached_tokens == 0
    assert second.prompt_tokens == first.prompt_tokens
    assert second.cached_tokens == len("<system\nYou are Fern.>\n<user\n")


def test_without_reuse_nothing_is_cached():
    bench = Bench(reuse_prefixes=False)
    bench.submit("a", ask("tents?")).run().submit("b", ask("tents?")).run()
    assert bench.ends["b"].usage.cached_tokens == 0


@KINDS
def test_sixteen_together_write_what_each_writes_alone(can_cut):
    bench = Bench(FakeRunner(num_cells=2000, can_cut=can_cut), max_sequences=16)
    requests = {str(n): ask("boots " * n, 20 + n) for n in range(16)}
    for key, request in requests.items():
        bench.submit(key, request)
    bench.run()
    assert bench.texts == {
        key: bench.expected(request) for key, request in requests.items()
    }


@KINDS
def test_a_small_cache_changes_no_text(can_cut):
    bench = Bench(FakeRunner(num_cells=220, end_every=0, can_cut=can_cut))
    requests = {str(n): ask("tent " * n, 80) for n in range(8)}
    for key, request in requests.items():
        bench.submit(key, request)
    bench.run()
    assert bench.engine.read_stats().num_preemptions > 0
    assert bench.texts == {
        key: bench.expected(request) for key, request in requests.items()
    }


def test_refuses_what_can_never_fit_with_the_numbers():
    bench = Bench(FakeRunner(num_cells=100)).submit("a", ask("x" * 90, 20))
    error = bench.ends["a"]
    assert isinstance(error, PromptTooLong)
    assert (error.max_tokens, error.limit_tokens) == (20, 100)
    assert not bench.engine.has_work


def test_runs_what_just_fits():
    bench = Bench(FakeRunner(num_cells=100, end_every=0))
    empty = bench.runner.tokenize(bench.runner.template.render(ask("").messages))
    bench.submit("a", ask("x" * (80 - len(empty)), 20)).run()
    usage = bench.ends["a"].usage
    assert usage.prompt_tokens + usage.completion_tokens == 100


def test_refuses_half_a_surrogate_pair():
    bench = Bench().submit("a", ask("\ud800"))
    assert type(bench.ends["a"]) is RequestRejected


def test_refuses_a_prompt_that_the_template_leaves_empty(monkeypatch):
    monkeypatch.setattr(FakeRunner, "tokenize", lambda self, segments: [])
    bench = Bench().submit("a", ask("Hello?"))
    assert type(bench.ends["a"]) is RequestRejected
    assert not bench.engine.has_work


def test_markup_in_a_message_ends_nothing():
    bench = Bench().submit("a", ask("Hi<|im_end|>"))
    plain = ask("Hi<|im_end|>")
    assert bench.run().texts["a"] == bench.expected(plain)


def test_a_stop_string_ends_the_text_before_it():
    whole = Bench(FakeRunner(end_every=0)).expected(ask("tents?", 60))
    stop = whole[20:24]
    bench = Bench(FakeRunner(end_every=0))
    bench.submit("a", ask("tents?", 60, stop=(stop,))).run()
    assert bench.texts["a"] == whole[: whole.index(stop)]
    assert bench.ends["a"].finish_reason is FinishReason.STOP


def test_a_cancel_frees_the_slot_before_the_next_step():
    bench = Bench(max_sequences=1, max_retained=0, max_batch_tokens=8)
    bench.submit("a", ask("x" * 100)).submit("b", ask("tents?")).run(3)
    bench.engine.cancel_soon("a")
    bench.run()
    assert bench.ends["a"].finish_reason is FinishReason.CANCELLED
    assert bench.ends["a"].usage.completion_tokens == 0
    assert bench.texts["b"] == bench.expected(ask("tents?"))


def test_a_request_cancelled_in_the_queue_used_nothing():
    bench = Bench(max_sequences=1)
    bench.submit("a", ask("tents?")).submit("b", ask("boots?")).run(2)
    bench.engine.cancel_soon("b")
    bench.run()
    assert bench.ends["b"].usage.prompt_tokens == 0


def test_cancelling_what_is_over_or_unknown_changes_nothing():
    bench = Bench().submit("a", ask("tents?")).run()
    bench.engine.cancel_soon("a")
    bench.engine.cancel_soon("nobody")
    bench.submit("b", ask("boots?")).run()
    assert bench.texts["b"] == bench.expected(ask("boots?"))


def test_a_step_for_cancelled_requests_alone_is_aborted():
    bench = Bench(FakeRunner(outcomes=[Outcome.ABORTED]))
    bench.runner.on_compute = lambda step: bench.engine.cancel_soon("a")
    bench.submit("a", ask("tents?")).run()
    assert bench.runner.num_aborts == 1
    assert bench.ends["a"].finish_reason is FinishReason.CANCELLED


def test_a_step_that_others_need_is_not_aborted():
    bench = Bench().submit("a", ask("tents?")).submit("b", ask("boots?"))
    bench.run(8)
    bench.runner.on_compute = lambda step: bench.engine.cancel_soon("a")
    bench.run()
    assert bench.runner.num_aborts == 0
    assert bench.texts["b"] == bench.expected(ask("boots?"))


@KINDS
@pytest.mark.parametrize("outcome", [Outcome.ABORTED, Outcome.NO_ROOM])
def test_a_failed_step_is_tried_again(outcome, can_cut):
    outcomes = [Outcome.COMPUTED] * 6 + [outcome]
    bench = Bench(FakeRunner(outcomes=outcomes, can_cut=can_cut))
    bench.submit("a", ask("tents?")).submit("b", ask("boots?")).run()
    assert bench.texts["a"] == bench.expected(ask("tents?"))
    assert bench.texts["b"] == bench.expected(ask("boots?"))


def test_room_is_first_made_of_what_is_only_retained():
    bench = Bench().submit("a", ask("tents?")).run()
    bench.runner.outcomes = [Outcome.NO_ROOM]
    bench.submit("b", ask("boots?")).run()
    assert bench.texts["b"] == bench.expected(ask("boots?"))
    assert bench.engine.read_stats().num_preemptions == 0


def test_a_sequence_that_llama_has_no_room_for_alone_is_a_fatal_mistake():
    bench = Bench(FakeRunner(outcomes=[Outcome.NO_ROOM])).submit("a", ask("tents?"))
    with pytest.raises(RuntimeError, match="does not fit"):
        bench.run()


class TestStates:
    """Models whose memory can be continued and copied, and never be cut."""

    def test_the_second_prompt_leaves_a_snapshot_for_the_third(self):
        bench = Bench(FakeRunner(can_cut=False))
        for key, question in (("a", "tents?"), ("b", "boots?"), ("c", "kayaks?")):
            bench.submit(key, ask(question)).run()
        cached = [bench.ends[key].usage.cached_tokens for key in "abc"]
        assert cached == [0, 0, len("<system\nYou are Fern.>\n<user\n")]

    def test_those_who_arrive_together_compute_their_beginning_once(self):
        bench = Bench(FakeRunner(can_cut=False))
        for key in "abcd":
            bench.submit(key, ask(f"{key}?"))
        bench.run()
        cached = [bench.ends[key].usage.cached_tokens for key in "abcd"]
        assert cached == [0] + [len("<system\nYou are Fern.>\n<user\n")] * 3

    def test_a_snapshot_survives_those_who_continue_it(self):
        bench = Bench(FakeRunner(can_cut=False), max_retained=2)
        for number in range(9):
            bench.submit(str(number), ask(f"{number}?")).run()
        assert all(bench.ends[str(n)].usage.cached_tokens for n in range(2, 9))

    def test_a_conversation_goes_on_where_it_ended(self):
        bench = Bench(FakeRunner(can_cut=False, end_every=0))
        bench.submit("a", ask("tents?", 5)).run()
        said = ChatMessage("assistant", bench.texts["a"])
        history = (*ask("tents?").messages, said, ChatMessage("user", "and boots?"))
        bench.submit("b", CompletionRequest(history, 5)).run()
        usage = bench.ends["a"].usage
        held = usage.prompt_tokens + usage.completion_tokens - 1
        assert bench.ends["b"].usage.cached_tokens == held


def test_right_guesses_save_steps_and_wrong_ones_leave_nothing():
    """The runner betrays a cell too many or too few; the text is checked too."""
    runner = FakeRunner(end_every=0)
    bench = Bench(runner)
    for number in range(4):
        bench.submit(f"{number}", ask(f"question {number} " * 3, 60))
    bench.run()
    for number in range(4):
        request = ask(f"question {number} " * 3, 60)
        assert bench.texts[f"{number}"] == bench.expected(request)
    stats = bench.engine.read_stats()
    assert 0 < stats.num_accepted_tokens < stats.num_drafted_tokens
    assert stats.num_steps < stats.num_completion_tokens


def test_without_guesses_every_token_is_a_step():
    bench = Bench(FakeRunner(end_every=0), max_drafted_tokens=0)
    bench.submit("0", ask("question", 30)).run()
    stats = bench.engine.read_stats()
    assert stats.num_drafted_tokens == 0
    assert (
        sum(chunk.is_last for step in bench.runner.steps for chunk in step.chunks) == 30
    )


def test_counts_for_the_monitor():
    bench = Bench().submit("a", ask("tents?")).run()
    stats = bench.engine.read_stats()
    assert stats.num_completion_tokens == bench.ends["a"].usage.completion_tokens
    assert (stats.num_running, stats.num_waiting) == (0, 0)
    assert stats.num_used_cells > 0


actions = st.one_of(
    st.tuples(st.just("ask"), st.text("ab", max_size=60), st.integers(1, 40)),
    st.tuples(st.just("step"), st.integers(1, 15)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("fail"), st.sampled_from([Outcome.ABORTED, Outcome.NO_ROOM])),
)


@settings(deadline=None)
@given(
    st.lists(actions, max_size=40), st.integers(160, 400), st.booleans(), st.booleans()
)
def test_whatever_happens_each_text_is_its_own(story, num_cells, reuse, can_cut):
    runner = FakeRunner(num_cells=num_cells, can_cut=can_cut)
    bench = Bench(runner, reuse_prefixes=reuse)
    requests, failures = {}, []

    def fail_in_company(_step):  # alone it is a fatal mistake, see above
        if failures and len(bench.engine._scheduler.running) > 1:
            bench.runner.outcomes = [failures.pop()]

    bench.runner.on_compute = fail_in_company
    for verb, *values in story:
        if verb == "ask":
            requests[str(len(requests))] = request = ask(*values)
            bench.submit(str(len(requests) - 1), request)
        elif verb == "step":
            bench.run(*values)
        elif verb == "cancel":
            bench.engine.cancel_soon(str(values[0]))
        else:
            failures += values
    failures.clear()
    bench.run()
    assert bench.ends.keys() == requests.keys()
    for key, request in requests.items():
        is_whole = bench.ends[key].finish_reason is not FinishReason.CANCELLED
        expected = bench.expected(request)
        assert expected.startswith(bench.texts[key])
        assert bench.texts[key] == expected or not is_whole


class TestQuotes:
    request = ask(
        "Tents take 3 days. Boots take 5.\n\nHow long for boots?",
        100,
        quotable=(Quotable("Tents take 3 days.", 0.1), Quotable("Boots take 5.", 0.9)),
    )

    def test_end_with_the_sentence_that_fits_best(self):
        bench = Bench(quotes=True, quote_lean=1e4).submit("a", self.request).run()
        assert bench.texts["a"].endswith("Boots take 5.")
        assert bench.ends["a"].finish_reason is FinishReason.STOP

    def test_count_the_marks_of_the_prompt(self):
        bench = Bench(quotes=True).submit("a", self.request).run()
        rendered = bench.runner.template.render(self.request.messages)
        num_plain = len(bench.runner.tokenize(rendered))
        marks = len("\na) ") + len("\nb) ") - len(" ")
        assert bench.ends["a"].usage.prompt_tokens == num_plain + marks

    def test_are_not_made_by_other_models(self):
        bench = Bench(FakeRunner(end_every=10)).submit("a", self.request).run()
        assert bench.texts["a"] == bench.expected(self.request)
