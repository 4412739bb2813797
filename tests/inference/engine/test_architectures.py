"""Models of every kind of memory, tiny and with random weights, on llama.cpp itself.

Their text means nothing, and betrays any mistake: what is written in a mixed load,
with shared beginnings, preemption and cancels, equals what each request gets alone
from an empty cache.
"""

import numpy as np
import pytest

from inference.engine.binding import DecodeFailed, LlamaRunner
from inference.engine.config import Adapter, EngineConfig
from inference.engine.engine import Engine
from inference.engine.operations import Truncate
from inference.engine.scheduler import Step
from inference.engine.wire import Finished, Refused, Text
from inference.errors import ModelError
from inference.types import ChatMessage, CompletionRequest, FinishReason
from tests.inference import toy_models

SYSTEM = ChatMessage("system", "You are Fern. " * 8)
WINDOW = 24


def ask(question, max_tokens=24, history=()):
    messages = (SYSTEM, *history, ChatMessage("user", question))
    return CompletionRequest(messages, max_tokens)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    toy_models.embedder().write(folder / "embedder.gguf")
    toy_models.adapter().write(folder / "adapter.gguf")
    toy_models.write_all(folder)
    return folder


@pytest.fixture(scope="module")
def load(models):
    """Return a function that loads a model once for each set-up."""
    loaded = {}

    def get(name, **values):
        key = (name, tuple(sorted(values.items())))
        if key not in loaded:
            config = {"num_cells": 2048, "num_threads": 1, "max_batch_tokens": 64}
            path = str(models / f"{name}.gguf")
            loaded[key] = LlamaRunner(EngineConfig(path, **(config | values)))
        return loaded[key]

    yield get
    for runner in loaded.values():
        runner.close()


def clear(runner):
    runner.compute(Step(tuple(Truncate(s, 0) for s in range(runner.num_slots))))


class Smaller:
    """A runner whose cache looks smaller than it is."""

    def __init__(self, runner, num_cells):
        self._runner = runner
        self.num_cells = num_cells

    def __getattr__(self, name):
        return getattr(self._runner, name)


class Writer:
    """An engine that notes what it wrote."""

    def __init__(self, runner, **config):
        clear(runner)
        values = {"max_batch_tokens": 64, "max_sequences": 8} | config
        self.engine = Engine(runner, EngineConfig("-", **values))
        self.texts, self.ends = {}, {}

    def submit(self, requests):
        for key, request in requests.items():
            self.texts[key] = ""
            assert self.engine.submit(key, request) == []
        return self

    def run(self, num_steps=10_000):
        while self.engine.has_work and num_steps:
            num_steps -= 1
            for event in self.engine.step():
                assert not isinstance(event, Refused)
                if isinstance(event, Text):
                    self.texts[event.key] += event.text
                elif isinstance(event, Finished):
                    self.ends[event.key] = event.completion
        return self


def write_alone(runner, requests):
    texts = {}
    for key, request in requests.items():
        texts |= Writer(runner, reuse_prefixes=False).submit({key: request}).run().texts
    return texts


KINDS = [
    ("dense", {}), ("experts", {}), ("windowed", {}),
    ("windowed", {"full_windows": False}), ("recurrent", {}), ("hybrid", {}),
]  # fmt: skip
everywhere = pytest.mark.parametrize(
    ("name", "values"), KINDS, ids=["-".join([k, *v]) for k, v in KINDS]
)


@pytest.fixture
def runner(load, name, values):
    return load(name, **values)


@everywhere
class TestEachKind:
    def test_writes_in_company_what_it_writes_alone(self, runner):
        requests = {str(n): ask(f"Question {n}, " * (n % 5 + 1)) for n in range(12)}
        writer = Writer(runner).submit(requests).run()
        assert writer.engine.read_stats().num_cached_tokens > 0
        assert writer.texts == write_alone(runner, requests)

    def test_continues_conversations_that_return(self, runner):
        first = {str(n): ask(f"Tents {n}?") for n in range(3)}
        writer = Writer(runner).submit(first).run()
        second = {
            f"{key}-2": ask("And boots?", history=(
                request.messages[1], ChatMessage("assistant", writer.texts[key]),
            ))
            for key, request in first.items()
        }  # fmt: skip
        writer.submit(second).run()
        alone = write_alone(runner, first | second)
        assert writer.texts == alone

    def test_a_small_cache_preempts_and_changes_no_text(self, runner):
        requests = {str(n): ask(f"Boots {n}?", 60) for n in range(6)}
        small = Smaller(runner, num_cells=260)
        writer = Writer(small).submit(requests).run()
        assert writer.engine.read_stats().num_preemptions > 0
        assert writer.texts == write_alone(runner, requests)

    def test_cancels_disturb_nobody(self, runner):
        requests = {str(n): ask(f"Kayaks {n}?", 40) for n in range(8)}
        writer = Writer(runner).submit(requests)
        for key in "0246":
            writer.run(4)
            writer.engine.cancel_soon(key)
        writer.run()
        alone = write_alone(runner, requests)
        for key, text in writer.texts.items():
            is_whole = writer.ends[key].finish_reason is not FinishReason.CANCELLED
            assert alone[key].startswith(text)
            assert text == alone[key] or not is_whole

    def test_a_step_that_was_aborted_is_made_up_for(self, runner):
        requests = {str(n): ask(f"Tents {n}?", 12) for n in range(3)}
        writer = Writer(runner).submit(requests)
        for _ in range(3):
            writer.run(3)
            runner.abort()
        assert writer.run().texts == write_alone(runner, requests)

    def test_a_reply_longer_than_the_window(self, runner):
        requests = {"long": ask("Tents?", 5 * WINDOW), "other": ask("Boots?", 20)}
        writer = Writer(runner).submit(requests).run()
        assert writer.texts == write_alone(runner, requests)


@pytest.mark.parametrize(
    ("name", "values", "can_cut"),
    [
        ("dense", {}, True), ("windowed", {}, True), ("recurrent", {}, False),
        ("windowed", {"full_windows": False}, False), ("hybrid", {}, False),
    ],
)  # fmt: skip
def test_knows_which_memories_can_be_cut(runner, can_cut):
    assert runner.can_cut is can_cut


@pytest.mark.parametrize(
    ("name", "values"),
    [("recurrent", {}), ("hybrid", {}), ("windowed", {"full_windows": False})],
)
def test_a_beginning_is_computed_once_where_memories_cannot_be_cut(runner):
    writer = Writer(runner)
    for number in range(4):
        writer.submit({str(number): ask(f"{number} tents?")}).run()
    cached = [writer.ends[str(n)].usage.cached_tokens for n in range(4)]
    assert cached[:2] == [0, 0]
    assert min(cached[2:]) > 40


def test_windows_that_are_not_kept_in_full_cannot_be_exhausted(load):
    """Shared cells of a window are not used again, so llama.cpp runs out of them."""
    runner = load("windowed", full_windows=False, max_sequences=2, max_retained=6)
    requests = {str(n): ask(f"Boots {n}? " * (n + 1), 30) for n in range(16)}
    config = {"max_sequences": 2, "max_retained": 6}
    writer = Writer(runner, **config).submit(requests).run()
    assert writer.texts == write_alone(runner, requests)


SETTINGS = [
    {"kv_type_k": "f16", "kv_type_v": "f16"}, {"kv_type_k": "q8_0"},
    {"kv_type_k": "q4_0", "kv_type_v": "q4_0"}, {"flash_attention": "off"},
    {"flash_attention": "on"},
    {"mmap": False}, {"mmap": True}, {"mlock": True}, {"num_batch_threads": 2},
    {"rope_scaling": "yarn", "rope_factor": 2.0}, {"rope_base": 20_000.0},
    {"rope_scaling": "linear", "rope_factor": 4.0}, {"rope_scaling": "none"},
]  # fmt: skip


@pytest.mark.parametrize("values", SETTINGS, ids=str)
@pytest.mark.parametrize("name", ["dense"])
def test_writes_with_every_setting(runner):
    assert Writer(runner).submit({"a": ask("Tents?")}).run().texts["a"]


def test_a_stretched_context_takes_longer_prompts(load):
    plain = load("dense", num_cells=16384)
    stretched = load("dense", num_cells=16384, rope_scaling="yarn", rope_factor=2.0)
    assert (plain.limit_tokens, stretched.limit_tokens) == (4096, 8192)


class TestAdapters:
    def write(self, load, models, *scales):
        adapters = tuple(Adapter(str(models / "adapter.gguf"), s) for s in scales)
        runner = load("dense", adapters=adapters)
        return Writer(runner).submit({"a": ask("Tents?")}).run().texts["a"]

    def test_change_what_is_said(self, load, models):
        assert self.write(load, models, 1.0) != self.write(load, models)

    def test_count_by_their_scale(self, load, models):
        assert self.write(load, models, 0.0) == self.write(load, models)
        assert self.write(load, models, -0.5) != self.write(load, models, 1.0)

    @pytest.mark.parametrize(
        ("name", "why"), [("nowhere", "No such file"), ("dense", "adapter")]
    )
    def test_that_are_none_are_refused(self, models, name, why):
        path = models / f"{name}.gguf"
        config = EngineConfig(
            str(models / "dense.gguf"), num_cells=256, adapters=(Adapter(str(path)),)
        )
        with pytest.raises(ModelError, match=rf"{name}\.gguf.*{why}"):
            LlamaRunner(config)

    def test_of_another_model_are_refused(self, models, tmp_path):
        path = toy_models.adapter(architecture="gemma2").write(tmp_path / "other.gguf")
        config = EngineConfig(
            str(models / "dense.gguf"), num_cells=256, adapters=(Adapter(str(path)),)
        )
        with pytest.raises(ModelError, match="arch"):
            LlamaRunner(config)


def refuse(path, match, **values):
    with pytest.raises(ModelError, match=match):
        LlamaRunner(EngineConfig(str(path), **({"num_cells": 256} | values)))


def test_a_model_for_embeddings_is_refused(models):
    refuse(models / "embedder.gguf", "made for embeddings")


def test_an_architecture_that_nobody_knows_is_refused(tmp_path):
    file = toy_models.GgufFile("perceptron")
    refuse(file.write(tmp_path / "strange.gguf"), "unknown model architecture")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    file = toy_models.dense()
    file.tensors["blk.0.ffn_norm.weight"][:] = np.nan
    refuse(file.write(tmp_path / "nan.gguf"), "damaged: .* not a number")


def test_a_number_that_is_lost_on_the_way_ends_the_process(tmp_path):
    file = toy_models.recurrent()
    file.tensors["token_embd.weight"][260:] = np.inf  # not that of the first try
    path = str(file.write(tmp_path / "late.gguf"))
    runner = LlamaRunner(EngineConfig(path, num_cells=512, num_threads=1))
    with pytest.raises(DecodeFailed, match="not a number"):
        Writer(runner).submit({"a": ask("Tents?")}).run()
    runner.close()


def test_weights_that_are_missing_are_named(tmp_path):
    file = toy_models.dense()
    del file.tensors["blk.1.ffn_up.weight"]
    refuse(file.write(tmp_path / "gap.gguf"), r"blk\.1\.ffn_up\.weight")
