"""Text and tokens, with a vocabulary that puts a space before texts."""

import llama_cpp
import pytest

from inference.engine.chat_template import Segment
from inference.engine.vocabulary import Vocabulary
from tests.inference.engine.sentencepiece_vocabulary import write_vocabulary


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.gguf"
    write_vocabulary(path)
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    assert model
    yield Vocabulary(model)
    llama_cpp.llama_model_free(model)


def markup(text):
    return Segment(text, is_markup=True)


def text(words):
    return Segment(words, is_markup=False)


def read(vocabulary, *segments):
    return b"".join(map(vocabulary.piece_of, vocabulary.tokenize(segments)))


@pytest.mark.parametrize(
    "segments",
    [
        [markup("[INST] "), text("Hello"), markup(" [/INST]")],
        [markup("<s>[INST]"), text("Hello?"), markup("[/INST]")],
        [markup("<|user|>"), text("Hello"), markup("</s>")],
        [markup("<|user|>\n"), text("Hello\n"), markup("</s>\n<|user|>")],
        [text("Hel"), text("lo")],
        [text("Hello"), markup("\n"), text("\nHello")],
    ],
)
def test_a_border_inside_a_text_adds_no_space(vocabulary, segments):
    whole = markup("".join(part.text for part in segments))
    assert read(vocabulary, *segments) == read(vocabulary, whole)


def test_a_text_at_the_beginning_has_a_space_before(vocabulary):
    assert read(vocabulary, text("Hello")) == b" Hello"


def test_a_text_behind_other_text_keeps_its_own_space(vocabulary):
    assert read(vocabulary, markup("[INST]"), text(" Hello")) == b" [INST] Hello"


def test_special_tokens_are_recognised_in_markup_only(vocabulary):
    [user] = vocabulary.tokenize([markup("<|user|>")])[vocabulary.is_bos_added :]
    assert user not in vocabulary.tokenize([markup("[INST]"), text("<|user|>")])
    assert (vocabulary.piece_of(user), vocabulary.is_one_token("<|user|>")) == (
        b"",
        True,
    )


def test_names_the_tokens_that_templates_write(vocabulary):
    assert (vocabulary.bos, vocabulary.eos) == ("<s>", "</s>")
