from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.backends.base import BackendSettings
from inference.backends.openai_compatible import check_settings
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Delta,
    FinishReason,
    Quotable,
    Usage,
)
from tests.inference.backends.openai_stand_in import (
    COUNTS,
    DEADLINES,
    DONE,
    KEY,
    REQUEST,
    RESET,
    connected,
    end,
    event,
    head,
    part,
    say,
    usage,
)


def read(provider, request=REQUEST, deadlines=DEADLINES, key=KEY, **options):
    with connected(provider.url, key, **options) as backend:
        return list(backend.stream(request, deadlines, CancelToken()))


# What goes out


def test_asks_in_the_words_of_the_protocol(provider):
    read(provider)
    asked = provider.asked[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "fine",
        "messages": [
            {"role": "system", "content": "You are Fern."},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 7,
    }


def test_passes_on_how_to_sample(provider):
    messages = (ChatMessage("user", "Hi"), ChatMessage("assistant", "Yes?"))
    read(
        provider,
        CompletionRequest(messages, 5, 0.7, 0.9, 3, ("END",), (Quotable("Hi."),)),
    )
    body = provider.asked[0].body
    assert [message["role"] for message in body.pop("messages")] == [
        "user",
        "assistant",
    ]
    assert body == {
        "model": "fine",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["END"],
        "max_tokens": 5,
    }


def test_options_fit_it_to_a_server(provider):
    read(
        provider,
        max_tokens_field="max_completion_tokens",
        omit=["temperature", "top_p", "stream_options", "seed"],
        extra_body={"top_k": 20},
    )
    body = provider.asked[0].body
    assert sorted(body) == [
        "max_completion_tokens",
        "messages",
        "model",
        "stream",
        "top_k",
    ]
    assert (body["max_completion_tokens"], body["top_k"]) == (7, 20)


def test_sends_the_key_as_bearer(provider):
    read(provider)
    assert provider.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_server_without_a_key_is_sent_none(provider):
    assert read(provider, key="")[-1].finish_reason is FinishReason.STOP
    assert "authorization" not in provider.asked[0].headers


def test_nothing_of_the_environment_goes_out(provider, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-custom: from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://from-the-environment.invalid")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    read(provider, key="")
    headers = provider.asked[0].headers
    assert "from-the-environment" not in str(headers)
    assert sorted(headers) == [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]


def test_creating_the_generator_calls_nobody(provider):
    with connected(provider.url) as backend:
        backend.stream(REQUEST, DEADLINES, CancelToken())
    assert provider.asked == []


# What comes back


def test_yields_deltas_and_a_completion(provider):
    assert read(provider) == [
        Delta("Hello"),
        Delta(" there"),
        Completion(FinishReason.STOP, Usage(9, 2), "fine-1b"),
    ]


def test_counts_cached_tokens(provider):
    cached = usage(**COUNTS, prompt_tokens_details={"cached_tokens": 8})
    provider.answer = [head(), say("a"), end(), cached, DONE]
    assert read(provider)[-1].usage == Usage(9, 2, cached_tokens=8)


@pytest.mark.parametrize(
    "counts",
    [{}, {"prompt_tokens": "9", "completion_tokens": 2}, {"prompt_tokens": -1}],
)
def test_does_not_invent_a_usage(provider, counts):
    provider.answer = [head(), say("a"), end(), usage(**counts), DONE]
    assert read(provider)[-1] == Completion(FinishReason.STOP, None, "fine-1b")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("eos_token", FinishReason.STOP),
    ],
)
def test_translates_the_finish_reason(provider, reason, expected):
    provider.answer = [head(), say("a"), end(reason), DONE]
    assert read(provider)[-1].finish_reason is expected


def test_shows_a_refusal_and_counts_it_as_filtered(provider):
    provider.answer = [head(), part({"refusal": "I cannot."}), end(), DONE]
    texts, completion = read(provider)
    assert texts == Delta("I cannot.")
    assert completion.finish_reason is FinishReason.CONTENT_FILTER


def test_a_filtered_answer_may_be_empty(provider):
    provider.answer = [head(), end("content_filter"), DONE]
    assert [item.finish_reason for item in read(provider)] == ["content_filter"]


def test_hides_what_the_model_thinks(provider):
    thought = part({"reasoning_content": "Hm.", "content": None})
    provider.answer = [head(), thought, say("Yes"), end(), DONE]
    assert [item.text for item in read(provider)[:-1]] == ["Yes"]


def test_reads_only_the_first_choice(provider):
    other = {"choices": [{"index": 1, "delta": {"content": "No"}}]}
    provider.answer = [head(), event(other), say("Yes"), end(), DONE]
    assert [item.text for item in read(provider)[:-1]] == ["Yes"]


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": None},
        {"choices": 3},
        {"choices": [3]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"delta": {"content": 5}}], "usage": "much", "model": 8},
    ],
)
def test_passes_over_odd_chunks(provider, chunk):
    provider.answer = [head(), event(chunk), say("a"), end(), DONE]
    assert read(provider) == [
        Delta("a"),
        Completion(FinishReason.STOP, None, "fine-1b"),
    ]


def test_puts_split_lines_and_characters_together(provider):
    stream = b": ping\n\n" + say("Zelt für 5 €") + say(" 🏕") + end() + DONE
    stream = stream.replace(b"\n\n", b"\r\n\r\n")
    pieces = [stream[i : i + 1] for i in range(len(stream))]
    provider.answer = [head(), *pieces]
    assert [item.text for item in read(provider)[:-1]] == ["Zelt für 5 €", " 🏕"]


def test_the_finish_reason_is_the_end_mark(provider):
    provider.answer = [head(), say("a"), end(), RESET]
    assert read(provider)[-1] == Completion(FinishReason.STOP, None, "fine-1b")


def test_parallel_streams_do_not_mix(provider):
    def echo(asked):
        words = asked.body["messages"][0]["content"].split()
        return [head(), *(x for word in words for x in (say(word), 0.01)), end(), DONE]

    def ask(number):
        words = [f"{number}-{i}" for i in range(8)]
        request = CompletionRequest((ChatMessage("user", " ".join(words)),), 9)
        items = list(backend.stream(request, DEADLINES, CancelToken()))
        return [item.text for item in items[:-1]] == words

    provider.answer = echo
    with connected(provider.url) as backend, ThreadPoolExecutor(20) as pool:
        assert list(pool.map(ask, range(20))) == [True] * 20
    assert len(provider.asked) == 20


# What an operator may set


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": " "}, "a model is needed"),
        ({"endpoint": ""}, "an endpoint is needed"),
        ({"endpoint": "api.example.com/v1"}, "must begin with https"),
        ({"endpoint": "ftp://example.com"}, "must begin with https"),
        ({"endpoint": "http://"}, "must begin with https"),
        ({"endpoint": "https://a:99999/v1"}, "is not a URL"),
        ({"endpoint": "https://[::1/v1"}, "is not a URL"),
        ({"endpoint": "https://me:pw@example.com"}, "user or password"),
        ({"endpoint": "https://example.com?key=1"}, "query"),
        ({"endpoint": "https://example.com/a b"}, "space"),
        ({"endpoint": "https://a/v1/chat/completions"}, "must end before"),
        ({"key": "abc\n"}, "one line of ASCII"),
        ({"key": "schlüssel"}, "one line of ASCII"),
        ({"options": {"max_token_field": "x"}}, "unknown options"),
        ({"options": {"max_tokens_field": "tokens"}}, "max_tokens or max_completion"),
        ({"options": {"omit": "seed"}}, "omit must be a list"),
        ({"options": {"omit": ["model"]}}, "omit must be a list"),
        ({"options": {"omit": [["seed"]]}}, "omit must be a list"),
        ({"options": {"extra_body": []}}, "must be an object"),
        ({"options": {"extra_body": {"stream": 0}}}, "must not hold stream"),
    ],
)
def test_says_what_is_wrong_with_settings(change, complaint):
    fine = {"model": "fine", "endpoint": "https://example.com/v1", "key": KEY}
    settings = BackendSettings("cloud", **(fine | change))
    with pytest.raises(ValueError, match=complaint) as caught:
        check_settings(settings)
    assert settings.key not in str(caught.value)


def test_openais_own_models_are_told_max_completion_tokens():
    with connected("https://api.openai.com/v1") as backend:
        assert backend.build_body(REQUEST)["max_completion_tokens"] == 7


@pytest.mark.parametrize("url", ["http://localhost:11434/v1/", "https://[::1]:8000"])
def test_accepts_ones_own_server_that_is_allowed(url):
    own = ("localhost:11434", "::1")
    check_settings(BackendSettings("own", "llama", endpoint=url, private_hosts=own))
    with pytest.raises(ValueError, match="PRIVATE_ENDPOINTS="):
        check_settings(BackendSettings("own", "llama", endpoint=url))


def test_shows_the_key_to_nobody(provider):
    with connected(provider.url) as backend:
        assert KEY not in f"{backend} {vars(backend._client)}"
