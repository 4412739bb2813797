"""What goes wrong with Anthropic's messages API, and with the settings of a row."""

import logging
from functools import partial

import pytest

from inference.backends.anthropic import build_backend, check_settings
from inference.backends.base import BackendSettings
from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    Interrupted,
    InvalidResponse,
    Misconfigured,
    Overloaded,
    PromptTooLong,
    RequestRejected,
    Unavailable,
)
from inference.types import Usage
from tests.inference.backends import anthropic_events as sent
from tests.inference.backends import asking
from tests.inference.backends.openai_stand_in import (
    KEY,
    head,
)

fail = partial(asking.fail, build_backend)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", RequestRejected),
        (401, "authentication_error", AuthenticationFailed),
        (402, "billing_error", AccountExhausted),
        (403, "permission_error", AuthenticationFailed),
        (404, "not_found_error", Misconfigured),
        (413, "request_too_large", PromptTooLong),
        (429, "rate_limit_error", Overloaded),
        (500, "api_error", Unavailable),
        (504, "timeout_error", Unavailable),
        (529, "overloaded_error", Overloaded),
        (418, "a_new_word", RequestRejected),
        (502, "", Unavailable),
    ],
)
def test_translates_the_status(provider, status, kind, error):
    provider.answer = sent.refusal(status, kind, request_id="req_9")
    caught, _ = fail(provider)
    assert type(caught) is error
    assert str(caught) == f"status {status}: because (request req_9)"
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("prompt is too long: 210000 tokens > 200000 maximum", PromptTooLong),
        ("input length and `max_tokens` exceed context limit: 9", PromptTooLong),
        ("Your credit balance is too low to access the API", AccountExhausted),
    ],
)
def test_reads_the_words_where_the_type_says_too_little(provider, message, error):
    provider.answer = sent.refusal(400, "invalid_request_error", message)
    assert type(fail(provider)[0]) is error


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", Overloaded),
        ("rate_limit_error", Overloaded),
        ("api_error", Interrupted),
        ("authentication_error", AuthenticationFailed),
        ("invalid_request_error", RequestRejected),
    ],
)
def test_translates_an_error_in_the_stream(provider, kind, error):
    provider.answer = [head(), sent.start(), sent.say("a"), sent.fault(kind)]
    caught, texts = fail(provider)
    assert type(caught) is error
    assert str(caught).startswith("in the stream: because")
    assert texts == ["a"]
    assert caught.usage == Usage(9, 1, is_estimated=True)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([head(), sent.start(), sent.say("a")], Interrupted),
        ([head(), sent.start(), sent.say("a"), b'event: x\ndata: {"ty'], Interrupted),
        ([head(), sent.start(), sent.end()], InvalidResponse),
        ([head(), sent.start(), sent.end("max_tokens")], InvalidResponse),
        ([head(200, "text/html"), b"<html>"], InvalidResponse),
        ([head(), b"event: message_start\ndata: {broken\n\n"], InvalidResponse),
        ([head(), b"event: message_start\ndata: [5]\n\n"], Interrupted),
        ([head(307, location="http://169.254.169.254/")], InvalidResponse),
        ([], Unavailable),
    ],
)
def test_refuses_what_makes_no_sense(provider, answer, error):
    provider.answer = answer
    assert type(fail(provider)[0]) is error


def test_says_when_to_come_back(provider):
    provider.answer = sent.refusal(429, "rate_limit_error", retry_after="7")
    assert fail(provider)[0].retry_after_s == 7


def test_an_echoed_key_is_in_no_text(provider, caplog):
    caplog.set_level(logging.DEBUG)
    provider.answer = sent.refusal(401, "authentication_error", f"{KEY} is wrong")
    caught, _ = fail(provider)
    assert str(caught) == "status 401: [key] is wrong"
    assert KEY not in repr(caught.__cause__) + caplog.text


# What an operator may set


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": ""}, "a model is needed"),
        ({"key": ""}, "a key is needed"),
        ({"key": "", "endpoint": "https://api.anthropic.com/"}, "a key is needed"),
        ({"endpoint": "http://example.com"}, "must begin with https"),
        ({"endpoint": "https://10.0.0.1"}, "no public address"),
        ({"endpoint": "https://api.anthropic.com/v1"}, "must end before /v1/messages"),
        ({"options": {"max_tokens_field": "x"}}, "unknown options"),
        ({"options": {"thinking_tokens": 100}}, "at least 1024"),
        ({"options": {"thinking_tokens": True}}, "at least 1024"),
        ({"options": {"thinking_tokens": 1024, "top_k": 1}}, "takes no top_k"),
        ({"options": {"effort": "huge"}}, "effort must be one of low"),
        ({"options": {"cache": "yes"}}, "cache must be true or false"),
        ({"options": {"cache_min_tokens": 0}}, "must be a positive count"),
        ({"options": {"temperature": 3}}, "temperature must be in"),
        ({"options": {"omit": ["model"]}}, "omit must be a list"),
        ({"options": {"extra_body": {"messages": []}}}, "must not hold messages"),
    ],
)
def test_says_what_is_wrong_with_settings(change, complaint):
    values = {"model": "claude-haiku-4-5", "key": KEY} | change
    with pytest.raises(ValueError, match=complaint):
        check_settings(BackendSettings("cloud", **values))
