"""Anthropic's messages API through its SDK, on a real socket."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from inference.backends.anthropic import build_backend
from inference.errors import (
    RequestRejected,
)
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Delta,
    FinishReason,
    RateLimits,
    Usage,
)
from tests.inference.backends import anthropic_events as sent
from tests.inference.backends import asking
from tests.inference.backends.openai_stand_in import (
    DEADLINES,
    HANG,
    KEY,
    REQUEST,
    connected,
    head,
)

read = partial(asking.read, build_backend)


@pytest.fixture
def provider(provider):
    provider.answer = sent.WHOLE
    return provider


@pytest.fixture
def body(provider):
    """Return a function that asks and returns what arrived."""
    return partial(asking.send, build_backend, provider)


# What goes out


def test_asks_in_the_words_of_the_api(provider, body):
    assert body() == {
        "model": "fine",
        "max_tokens": 7,
        "system": [{"type": "text", "text": "You are Fern."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
        "thinking": {"type": "disabled"},
    }
    asked = provider.asked[0]
    assert asked.path == "/v1/messages"
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["anthropic-version"] == "2023-06-01"


def test_messages_of_one_role_in_a_row_are_one(body):
    said = body(
        ("system", "Be kind."), ("user", "a"), ("user", "b"), ("assistant", " "),
        ("assistant", "c"), ("system", "Be brief."), ("user", "d"),
    )  # fmt: skip
    assert said["system"] == [{"type": "text", "text": "Be kind.\n\nBe brief."}]
    told = [(m["role"], m["content"][0]["text"]) for m in said["messages"]]
    assert told == [("user", "a\n\nb"), ("assistant", "c"), ("user", "d")]


def test_samples_as_the_request_says_then_the_row_then_the_model(body):
    options = {"temperature": 0.3, "top_k": 5}
    assert body(options=options)["temperature"] == 0.3
    assert body(options=options, temperature=1.7)["temperature"] == 1.0
    assert body(options=options, top_k=0).get("top_k") is None
    assert "temperature" not in body()
    assert body(top_p=0.9, seed=3)["top_p"] == 0.9
    assert "top_p" not in body(top_p=0.9, temperature=0.5)


def test_passes_on_stop_strings_but_white_space(body):
    assert body(stop=("END", "\n\n"))["stop_sequences"] == ["END"]


def test_passes_on_a_schema_and_an_effort(body):
    schema = {"type": "object"}
    assert body(json_schema=schema, options={"effort": "low"})["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": schema},
    }


def test_refuses_a_grammar(provider):
    request = CompletionRequest(REQUEST.messages, 7, grammar='root ::= "a"')
    with pytest.raises(RequestRejected, match="no grammars"):
        read(provider, request)
    assert provider.asked == []


@pytest.mark.parametrize(
    ("tokens", "thinking", "max_tokens"),
    [
        (2000, {"type": "enabled", "budget_tokens": 2000}, 2007),
        (0, {"type": "disabled"}, 7),
        (None, None, 7),
    ],
)
def test_thinks_as_much_as_the_row_says(body, tokens, thinking, max_tokens):
    said = body(options={"thinking_tokens": tokens})
    assert (said.get("thinking"), said["max_tokens"]) == (thinking, max_tokens)


def test_a_thinking_model_is_told_nothing_of_sampling(body):
    said = body(options={"thinking_tokens": 1024}, temperature=0.5, top_k=3)
    assert {"temperature", "top_p", "top_k"}.isdisjoint(said)


def test_options_add_and_leave_out_fields(body):
    options = {"omit": ["thinking"], "extra_body": {"service_tier": "standard_only"}}
    said = body(options=options)
    assert "thinking" not in said
    assert said["service_tier"] == "standard_only"


HISTORY = (("user", "x" * 900), ("assistant", "y" * 900), ("user", "Hi"))


def marked(said):
    """Return which blocks carry a mark for the cache."""
    blocks = [("system", said["system"][0])]
    blocks += [(m["role"], m["content"][0]) for m in said["messages"]]
    return [i for i, (_, block) in enumerate(blocks) if "cache_control" in block]


@pytest.mark.parametrize(
    ("length", "options", "marks"),
    [
        (100, {}, []),
        (100, {"cache_min_tokens": 600}, [2]),
        (3100, {}, [0, 2]),
        (3100, {"cache": False}, []),
        (3100, {"cache_min_tokens": 9000}, []),
    ],
)
def test_marks_what_is_long_enough_to_be_cached(body, length, options, marks):
    """The system prompt and the end of the history, never the question."""
    said = body(("system", "s" * length), *HISTORY, options=options)
    assert marked(said) == marks


def test_the_smallest_beginning_depends_on_the_model(provider):
    request = CompletionRequest(
        (ChatMessage("system", "s" * 4000), ChatMessage("user", "Hi")), 7
    )
    for model, marks in [("claude-sonnet-4-5", [0]), ("claude-haiku-4-5", [])]:
        read(provider, request, model=model)
        assert marked(provider.asked[-1].body) == marks


def test_nothing_of_the_environment_goes_out(provider, monkeypatch):
    for name in ("API_KEY", "AUTH_TOKEN", "PROFILE", "WEBHOOK_SIGNING_KEY"):
        monkeypatch.setenv(f"ANTHROPIC_{name}", "from-the-environment")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-custom: from-the-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://from-the-environment.invalid")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    read(provider, key="")
    headers = provider.asked[0].headers
    assert "from-the-environment" not in str(headers)
    assert {"x-api-key", "authorization"}.isdisjoint(headers)


# What comes back


def test_yields_deltas_usage_and_a_completion(provider):
    assert read(provider) == [
        Usage(9, 1, is_estimated=True),
        Delta("Hello"),
        Delta(" there"),
        Completion(FinishReason.STOP, Usage(9, 5), sent.MODEL, request_id="req_011"),
    ]


def test_counts_of_the_cache_are_parts_of_the_prompt(provider):
    cache = {"cache_read_input_tokens": 70, "cache_creation_input_tokens": 21}
    thought = {"thinking_tokens": 3}
    provider.answer = [
        head(), sent.start(**cache), sent.say("a"),
        sent.end(output_tokens=8, output_tokens_details=thought),
    ]  # fmt: skip
    assert read(provider)[-1].usage == Usage(100, 8, 70, 3, 21)


def test_the_last_counts_are_the_ones_that_hold(provider):
    provider.answer = [
        head(), sent.start(), sent.say("a"),
        sent.end(input_tokens=11, cache_read_input_tokens=4),
    ]  # fmt: skip
    assert read(provider)[-1].usage == Usage(15, 5, cached_tokens=4)


def test_thoughts_are_no_text(provider):
    provider.answer = [
        head(), sent.start(), sent.block("thinking", thinking=""), sent.think("Hm"),
        sent.BLOCK, sent.say("a"), sent.end(), sent.STOP,
    ]  # fmt: skip
    texts = [item.text for item in read(provider) if isinstance(item, Delta)]
    assert texts == ["a"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("refusal", FinishReason.CONTENT_FILTER),
        ("a_new_word", FinishReason.STOP),
    ],
)
def test_translates_finish_reasons(provider, reason, expected):
    provider.answer = [head(), sent.start(), sent.say("a"), sent.end(reason)]
    assert read(provider)[-1].finish_reason is expected


def test_a_refusal_without_words_is_an_answer(provider):
    provider.answer = [head(), sent.start(), sent.end("refusal"), sent.STOP]
    assert read(provider)[-1].finish_reason is FinishReason.CONTENT_FILTER


def test_a_stop_string_that_is_not_sent_is_kept_all_the_same(provider):
    provider.answer = [head(), sent.start(), sent.say("a \n"), sent.say("\nb"), HANG]
    request = CompletionRequest(REQUEST.messages, 7, stop=("\n\n",))
    items = read(provider, request)
    assert [item.text for item in items if isinstance(item, Delta)] == ["a "]
    assert items[-1].finish_reason is FinishReason.STOP
    assert items[-1].usage.is_estimated


def test_a_cancelled_stream_says_what_was_counted(provider):
    provider.answer = [head(), sent.start(), sent.say("a"), sent.say("b"), HANG]
    cancel = CancelToken()
    with connected(provider.origin, build=build_backend) as backend:
        stream = backend.stream(REQUEST, DEADLINES, cancel)
        assert [next(stream), next(stream)][1] == Delta("a")
        cancel.cancel()
        *_, last = stream
    assert last.finish_reason is FinishReason.CANCELLED
    assert last.usage == Usage(9, 1, is_estimated=True)


def test_learns_how_much_more_the_provider_takes(provider):
    later = datetime.now(UTC) + timedelta(hours=1)
    limits = {
        "anthropic_ratelimit_requests_remaining": "0",
        "anthropic_ratelimit_requests_reset": later.isoformat(),
        "anthropic_ratelimit_tokens_remaining": "5000",
        "anthropic_ratelimit_tokens_reset": "2000-01-01T00:00:00Z",
    }
    provider.answer = [head(**limits), *sent.WHOLE[1:]]
    with connected(provider.origin, build=build_backend) as backend:
        list(backend.stream(REQUEST, DEADLINES, CancelToken()))
        assert backend.is_full()
        left = backend.read_rate_limits()
        assert left.requests_reset_s == pytest.approx(3600, abs=300)
        assert left == RateLimits(0, left.requests_reset_s)
