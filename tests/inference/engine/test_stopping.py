"""How soon a stop is one: in a reply, in a long prompt, in the middle of a step.

What was measured stands in docs/measurements.md; the limits here are loose, as tests
run beside other work.
"""

import statistics
import time

from inference.bench.quick import BUNDLED
from inference.engine.binding import LlamaRunner
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.runner import Outcome
from inference.engine.wire import Finished, Text
from inference.types import FinishReason
from tests.inference.engine.test_engine import Bench
from tests.inference.engine.test_engine import ask as ask_short
from tests.inference.engine.test_host import ask, read, start_talking

LOOSE_S = 1.0


def stop(ticket):
    """Stop a reply; return after how many seconds it was over, and its end."""
    stopped_s = time.perf_counter()
    ticket.cancel()
    _, completion = read(ticket)
    assert completion.finish_reason is FinishReason.CANCELLED
    return time.perf_counter() - stopped_s, completion


def test_a_reply_ends_soon_after_it_is_stopped(start_host):
    host = start_host(str(BUNDLED))
    took_s = [stop(start_talking(host))[0] for _ in range(5)]
    assert statistics.median(took_s) < LOOSE_S


def test_a_reply_among_others_ends_soon_and_they_go_on(start_host):
    host = start_host(str(BUNDLED))
    others = [start_talking(host) for _ in range(6)]
    assert stop(start_talking(host))[0] < LOOSE_S
    assert all(isinstance(other.take(), Text) for other in others)


def test_a_prompt_is_read_no_further_once_it_is_stopped():
    """Not a chunk more, where it stands in the same step as what others need."""
    bench = Bench(max_batch_tokens=8).submit("long", ask_short("x" * 200)).run(3)
    bench.engine.cancel_soon("long")
    num_steps = len(bench.runner.steps)
    bench.submit("other", ask_short("boots?")).run()
    read_later = [
        chunk
        for step in bench.runner.steps[num_steps:]
        for chunk in step.chunks
        if chunk.sequence.key == "long"
    ]
    assert read_later == []
    assert bench.ends["long"].finish_reason is FinishReason.CANCELLED


def test_a_chunk_that_nobody_else_needs_is_aborted(model_path):
    """The callback looks between two operations of the model, not between layers."""
    runner = LlamaRunner(EngineConfig(model_path, num_cells=2048, num_threads=1))
    aborting = AbortingRunner(runner)
    engine = Engine(aborting, EngineConfig("-"))
    aborting.on_compute = lambda: engine.cancel_soon("a")
    engine.submit("a", ask("word " * 900))
    events = [event for _ in range(2) for event in engine.step()]
    assert aborting.outcomes == [Outcome.ABORTED]
    assert [event.completion.finish_reason for event in events] == ["cancelled"]
    assert events[0].completion.usage.completion_tokens == 0
    runner.close()


class AbortingRunner:
    """Hears of the cancel as its first chunk begins, as if from another thread."""

    def __init__(self, runner):
        self._runner = runner
        self.on_compute = lambda: None
        self.outcomes = []

    def __getattr__(self, name):
        return getattr(self._runner, name)

    def compute(self, step):
        if not step.chunks:
            return self._runner.compute(step)
        self.on_compute()
        self.outcomes.append(self._runner.compute(step))
        return self.outcomes[-1]


def test_a_stop_that_comes_with_the_last_word_is_harmless(start_host):
    host = start_host(str(BUNDLED))
    for number in range(8):
        ticket = host.submit(ask(f"Is {number} in stock?", max_tokens=1))
        ticket.cancel()
        while not isinstance(ticket.take(), Finished):
            pass
        ticket.cancel()
    assert host.num_starts == 1
    assert host.num_requests == 0
