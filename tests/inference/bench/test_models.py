import random

import pytest

from inference.bench.models import SHAPES, Shape, provide_model
from inference.bench.words import build_chain, draw_text, join_words, load_vocabulary
from inference.engine.binding import LlamaRunner
from inference.engine.chat_template import Segment
from inference.engine.config import EngineConfig
from inference.lab.reader import open_reader
from inference.types import ChatMessage, CompletionRequest

TINY = SHAPES["tiny"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return provide_model(TINY, tmp_path_factory.mktemp("bench"))


def test_the_words_of_the_chain_are_one_token_each(model):
    runner = LlamaRunner(EngineConfig(str(model), num_cells=256, num_threads=1))
    tokens = runner.tokenize([Segment(join_words(build_chain()), is_markup=False)])
    runner.close()
    assert tokens == list(build_chain())


def test_an_answer_is_a_piece_of_the_chain_as_long_as_asked_for(model):
    messages = (ChatMessage("user", draw_text(random.Random(1), 45)),)
    answer = open_reader(model, 1)([CompletionRequest(messages, 30)])[0]
    twice = join_words(build_chain() * 2)
    assert len(answer.split()) == 30
    assert f"{answer} " in twice


def test_a_model_is_made_once(model):
    before = model.stat().st_mtime_ns
    assert provide_model(TINY, model.parent) == model
    assert model.stat().st_mtime_ns == before


def test_a_failure_leaves_no_file_behind(tmp_path):
    unknown = Shape("odd", 1, 256, 4, 2, 768, len(load_vocabulary().tokens), "Q4_K_X")
    with pytest.raises(RuntimeError, match="quantizing failed"):
        provide_model(unknown, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_quantized_model_writes_the_chain_too(tmp_path):
    small = Shape("small", 2, 256, 4, 2, 768, len(load_vocabulary().tokens) + 100)
    model = provide_model(small, tmp_path)
    messages = (ChatMessage("user", draw_text(random.Random(2), 20)),)
    answer = open_reader(model, 1)([CompletionRequest(messages, 20)])[0]
    assert f"{answer} " in join_words(build_chain() * 2)


@pytest.mark.parametrize("name", ["0.5b", "1.5b"])
def test_the_shapes_are_those_of_the_originals(name):
    sizes = {
        "0.5b": (24, 896, 14, 2, 4864, 151_936),
        "1.5b": (28, 1536, 12, 2, 8960, 151_936),
    }
    shape = SHAPES[name]
    assert (
        shape.num_layers,
        shape.width,
        shape.num_heads,
        shape.num_kv_heads,
        shape.feed_forward,
        shape.num_vocab,
    ) == sizes[name]
