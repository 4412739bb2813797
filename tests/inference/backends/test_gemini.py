"""Google's Gemini API through its SDK, on a real socket."""

import logging
import traceback
from functools import partial

import pytest

from inference.backends.base import BackendSettings
from inference.backends.gemini import build_backend, check_settings
from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    Interrupted,
    InvalidResponse,
    Misconfigured,
    Overloaded,
    PromptTooLong,
    RequestRejected,
    Timeout,
    Unavailable,
)
from inference.types import (
    CancelToken,
    Completion,
    CompletionRequest,
    DeadlineKind,
    Deadlines,
    Delta,
    FinishReason,
    Usage,
)
from tests.inference.backends import asking
from tests.inference.backends import gemini_events as sent
from tests.inference.backends.openai_stand_in import (
    DEADLINES,
    HANG,
    KEY,
    REQUEST,
    RESET,
    connected,
    head,
)

BRIEF = Deadlines(connect_s=0.2, first_token_s=0.2, gap_s=0.15)


read = partial(asking.read, build_backend)
fail = partial(asking.fail, build_backend)


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
    said = body()
    assert said["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert said["systemInstruction"]["parts"] == [{"text": "You are Fern."}]
    assert said["generationConfig"] == {
        "maxOutputTokens": 7,
        "thinkingConfig": {"thinking_budget": 0},
    }
    asked = provider.asked[0]
    assert asked.path == "/v1beta/models/fine:streamGenerateContent?alt=sse"
    assert asked.headers["x-goog-api-key"] == KEY


def test_messages_of_one_role_in_a_row_are_one(body):
    said = body(("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"))
    told = [(m["role"], m["parts"][0]["text"]) for m in said["contents"]]
    assert told == [("user", "a\n\nb"), ("model", "c"), ("user", "d")]
    assert "systemInstruction" not in said


def test_samples_as_the_request_says_then_the_row_then_the_model(body):
    options = {"temperature": 0.3, "top_k": 5, "thinking_tokens": None}
    config = body(options=options, top_p=0.9, seed=3, min_p=0.1)["generationConfig"]
    assert config == {
        "maxOutputTokens": 7, "temperature": 0.3, "topK": 5, "topP": 0.9, "seed": 3,
    }  # fmt: skip
    assert "topK" not in body(options=options, top_k=0)["generationConfig"]


def test_passes_on_stop_strings_as_many_as_it_takes(body):
    stop = tuple("abcdefg")
    assert body(stop=stop)["generationConfig"]["stopSequences"] == list("abcde")


def test_passes_on_a_schema(body):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    config = body(json_schema=schema)["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == schema


def test_refuses_a_grammar(provider):
    request = CompletionRequest(REQUEST.messages, 7, grammar='root ::= "a"')
    with pytest.raises(RequestRejected, match="no grammars"):
        read(provider, request)
    assert provider.asked == []


def test_thinks_as_much_as_the_row_says(body):
    config = body(options={"thinking_tokens": 500})["generationConfig"]
    assert config["thinkingConfig"] == {"thinking_budget": 500}
    assert config["maxOutputTokens"] == 507


def test_options_add_and_leave_out_fields(body):
    extra = {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT"}]}
    said = body(options={"omit": ["thinking_config"], "extra_body": extra})
    assert said["generationConfig"] == {"maxOutputTokens": 7}
    assert said["safetySettings"] == extra["safetySettings"]


def test_nothing_of_the_environment_goes_out(provider, monkeypatch, tmp_path):
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_CLIENT_MODE", "replay")
    monkeypatch.setenv("GOOGLE_GENAI_REPLAYS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://from-the-environment.invalid")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    read(provider, key="")
    asked = provider.asked[0]
    assert asked.path.startswith("/v1beta/models/fine")
    assert "from-the-environment" not in str(asked.headers)
    assert "x-goog-api-key" not in asked.headers


# What comes back


def test_yields_deltas_usage_and_a_completion(provider):
    assert read(provider) == [
        Delta("Hello"),
        Usage(9, 0, is_estimated=True),
        Delta(" there"),
        Completion(FinishReason.STOP, Usage(9, 5), sent.MODEL, request_id="r-01"),
    ]


def test_thoughts_are_billed_and_no_text(provider):
    thought = {"text": "Hm", "thought": True}
    counts = {"candidatesTokenCount": 5, "thoughtsTokenCount": 4}
    cached = {"cachedContentTokenCount": 8}
    provider.answer = [
        head(),
        sent.part(thought, "a", finish="STOP", **counts, **cached),
    ]
    items = read(provider)
    assert [item.text for item in items if isinstance(item, Delta)] == ["a"]
    assert items[-1].usage == Usage(9, 9, cached_tokens=8, reasoning_tokens=4)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("CONTINUATION", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("SPII", FinishReason.CONTENT_FILTER),
    ],
)
def test_translates_finish_reasons(provider, reason, expected):
    provider.answer = [head(), sent.part("a", finish=reason)]
    assert read(provider)[-1].finish_reason is expected
    assert len(provider.asked) == 1


def test_a_blocked_prompt_is_a_refusal(provider):
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "m"}
    provider.answer = [head(), sent.event(blocked)]
    assert [item.finish_reason for item in read(provider)] == ["content_filter"]


def test_a_line_separator_in_a_text_does_not_cut_it(provider):
    provider.answer = [head(), sent.part("a\u2028b\u0085c", finish="STOP")]
    assert read(provider)[0] == Delta("a\u2028b\u0085c")


def test_a_cancelled_stream_says_what_was_counted(provider):
    provider.answer = [head(), sent.part("a", candidatesTokenCount=2), HANG]
    cancel = CancelToken()
    with connected(provider.origin, build=build_backend) as backend:
        stream = backend.stream(REQUEST, DEADLINES, cancel)
        assert next(stream) == Delta("a")
        cancel.cancel()
        [last] = stream
    assert last.finish_reason is FinishReason.CANCELLED
    assert last.usage == Usage(9, 2, is_estimated=True)


def test_left_streams_leave_no_connection_behind(provider):
    provider.answer = [head(), sent.part("a"), HANG]
    with connected(provider.origin, build=build_backend) as backend:
        for _ in range(5):
            stream = backend.stream(REQUEST, DEADLINES, CancelToken())
            next(stream)
            stream.close()
        assert backend._transport._pool.connections == []


# What goes wrong

KEY_INVALID = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
PER_DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}
PER_MINUTE = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProject"}]}


@pytest.mark.parametrize(
    ("code", "status", "details", "error"),
    [
        (400, "INVALID_ARGUMENT", [], RequestRejected),
        (400, "INVALID_ARGUMENT", [KEY_INVALID], AuthenticationFailed),
        (400, "FAILED_PRECONDITION", [], AuthenticationFailed),
        (401, "UNAUTHENTICATED", [], AuthenticationFailed),
        (403, "PERMISSION_DENIED", [], AuthenticationFailed),
        (404, "NOT_FOUND", [], Misconfigured),
        (429, "RESOURCE_EXHAUSTED", [PER_MINUTE, sent.RETRY_INFO], Overloaded),
        (429, "RESOURCE_EXHAUSTED", [PER_DAY, sent.RETRY_INFO], AccountExhausted),
        (500, "INTERNAL", [], Unavailable),
        (503, "UNAVAILABLE", [], Overloaded),
        (504, "DEADLINE_EXCEEDED", [], Unavailable),
        (502, "A_NEW_WORD", [], Unavailable),
    ],
)
def test_translates_the_status(provider, code, status, details, error):
    provider.answer = sent.refusal(code, status, "because", *details)
    caught, _ = fail(provider)
    assert type(caught) is error
    assert str(caught) == f"status {code}: because"
    assert len(provider.asked) == 1


def test_says_when_to_come_back(provider):
    provider.answer = sent.refusal(429, "RESOURCE_EXHAUSTED", "q", sent.RETRY_INFO)
    assert fail(provider)[0].retry_after_s == 37.5


def test_a_prompt_that_is_too_long_is_named(provider):
    words = (
        "The input token count (9) exceeds the maximum number of tokens allowed (1)."
    )
    provider.answer = sent.refusal(400, "INVALID_ARGUMENT", words)
    assert type(fail(provider)[0]) is PromptTooLong


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (503, "UNAVAILABLE", Overloaded),
        (429, "RESOURCE_EXHAUSTED", Overloaded),
        (500, "INTERNAL", Interrupted),
        (0, "", Interrupted),
    ],
)
def test_translates_an_error_in_the_stream(provider, code, status, error):
    provider.answer = [head(), sent.part("a"), sent.event(sent.error(code, status))]
    caught, texts = fail(provider)
    assert type(caught) is error
    assert str(caught) == "in the stream: because (request r-01)"
    assert texts == ["a"]
    assert caught.usage == Usage(9, 0, is_estimated=True)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([head(), sent.part("a")], Interrupted),
        ([head(), sent.part("a"), RESET], Interrupted),
        ([head(), sent.part("a"), b'data: {"candi'], Interrupted),
        ([head()], Interrupted),
        ([head(), sent.part(finish="STOP")], InvalidResponse),
        ([head(), sent.part("a", finish="MALFORMED_FUNCTION_CALL")], InvalidResponse),
        ([head(), b"data: {broken\n\n"], InvalidResponse),
        ([head(), b"data: [5]\n\n"], Interrupted),
        ([head(), b'data: {"candidates": 5}\n\n'], InvalidResponse),
        ([head(200, "text/html"), b"<html>"], InvalidResponse),
        ([head(content_encoding="gzip"), b"\x1f\x8b"], InvalidResponse),
        ([head(307, location="http://169.254.169.254/")], InvalidResponse),
        ([head(502, "text/html"), b"<html>nginx</html>"], Unavailable),
        ([], Unavailable),
    ],
)
def test_refuses_what_makes_no_sense(provider, answer, error):
    provider.answer = answer
    assert type(fail(provider)[0]) is error


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([HANG], DeadlineKind.FIRST_TOKEN),
        ([head(), HANG], DeadlineKind.FIRST_TOKEN),
        ([head(), sent.part("a"), HANG], DeadlineKind.GAP),
    ],
)
def test_keeps_our_deadlines(provider, answer, kind):
    provider.answer = answer
    caught, _ = fail(provider, BRIEF)
    assert type(caught) is Timeout
    assert caught.kind is kind


def test_an_echoed_key_is_in_no_text(provider, caplog):
    caplog.set_level(logging.DEBUG)
    provider.answer = sent.refusal(403, "PERMISSION_DENIED", f"{KEY} is wrong")
    caught, _ = fail(provider)
    assert str(caught) == "status 403: [key] is wrong"
    assert KEY not in repr(caught.__cause__) + caplog.text


def test_a_key_in_an_answer_of_another_shape_is_in_no_text(provider):
    """The SDK's error quotes the answer and cannot be made to leave it out."""
    provider.answer = [head(), sent.event({"usageMetadata": f"the key {KEY}"})]
    caught, _ = fail(provider)
    assert type(caught) is InvalidResponse
    assert KEY not in "".join(traceback.format_exception(caught))


# What an operator may set


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": ""}, "a model is needed"),
        ({"model": "a?key=b"}, "the model is a name"),
        ({"model": "../files"}, "the model is a name"),
        ({"key": ""}, "a key is needed"),
        ({"endpoint": "https://example.com/v1beta"}, "must end before /v1beta"),
        ({"options": {"temprature": 1}}, "unknown options"),
        ({"options": {"thinking_tokens": -1}}, "thinking_tokens must be 0, null or"),
        ({"options": {"omit": "seed"}}, "omit must be a list"),
        ({"options": {"extra_body": {"contents": []}}}, "must not hold contents"),
    ],
)
def test_says_what_is_wrong_with_settings(change, complaint):
    values = {"model": "gemini-2.5-flash", "key": KEY} | change
    with pytest.raises(ValueError, match=complaint):
        check_settings(BackendSettings("cloud", **values))
