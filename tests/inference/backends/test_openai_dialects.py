import pytest

from inference.backends.base import BackendSettings
from inference.backends.openai_compatible import check_settings
from inference.backends.openai_dialects import build_sampling_fields
from inference.errors import RequestRejected
from inference.types import CancelToken, ChatMessage, CompletionRequest, SamplingParams
from tests.inference.backends.openai_stand_in import DEADLINES, connected

DEFAULTS = SamplingParams(temperature=0.3, top_k=40)


def ask(**options):
    return CompletionRequest((ChatMessage("user", "Hi"),), 9, **options)


def fields(dialect="openai", **options):
    return build_sampling_fields(ask(**options), DEFAULTS, dialect)


def test_openai_is_told_what_it_has_words_for():
    assert fields(top_p=0.5, min_p=0.1, repetition_penalty=1.1, seed=0) == {
        "temperature": 0.3,
        "top_p": 0.5,
        "seed": 0,
    }


def test_llama_server_is_told_all():
    assert fields("llama_server", temperature=0.0, repetition_penalty=1.1) == {
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 40,
        "min_p": 0.0,
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
    }


def test_vllm_is_told_all_but_the_window():
    assert fields("vllm", min_p=0.1) == {
        "temperature": 0.3,
        "top_p": 1.0,
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.0,
    }


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("llama_server", {"grammar": "root ::= [a-z]"}),
        ("vllm", {"structured_outputs": {"grammar": "root ::= [a-z]"}}),
    ],
)
def test_passes_on_a_grammar(dialect, expected):
    assert expected.items() <= fields(dialect, grammar="root ::= [a-z]").items()


@pytest.mark.parametrize("dialect", ["openai", "llama_server", "vllm"])
def test_passes_on_a_schema(dialect):
    schema = {"type": "object"}
    assert fields(dialect, json_schema=schema)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }


def test_refuses_a_grammar_that_it_cannot_pass_on(provider):
    with connected(provider.url) as backend, pytest.raises(RequestRejected):
        list(backend.stream(ask(grammar='root ::= "a"'), DEADLINES, CancelToken()))
    assert provider.asked == []


def test_an_operators_values_hold_where_a_request_says_nothing(provider):
    options = {"dialect": "llama_server", "temperature": 0.6, "seed": 4}
    with connected(provider.url, **options) as backend:
        list(backend.stream(ask(seed=5), DEADLINES, CancelToken()))
    body = provider.asked[0].body
    assert (body["temperature"], body["seed"], body["top_k"]) == (0.6, 5, 0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dialect": "ollama"}, "dialect must be one of openai, llama_server, vllm"),
        ({"dialect": ["vllm"]}, "dialect must be one of"),
        ({"temperature": 3}, "temperature must be in"),
        ({"top_k": 2.5}, "top_k must be a whole number"),
    ],
)
def test_says_what_is_wrong_with_options(options, complaint):
    settings = BackendSettings("cloud", "fine", options, "https://example.com/v1")
    with pytest.raises(ValueError, match=complaint):
        check_settings(settings)
