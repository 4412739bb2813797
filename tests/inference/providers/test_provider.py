"""The stand-in itself: as strict as the real ones, and exact in its bills."""

import http.client
import json

import pytest

from tests.inference.providers import KEY, REPLY, Ledger

OPENAI = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
ANTHROPIC = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
BODIES: dict[str, dict] = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
}
HEADERS = {
    "openai": {"authorization": f"Bearer {KEY}"},
    "anthropic": {"x-api-key": KEY, "anthropic-version": "2023-06-01"},
    "gemini": {"x-goog-api-key": KEY},
}


@pytest.fixture
def post(stand_in):
    """Return a function that asks and returns the status, the head and the body."""

    def ask(dialect, body=None, headers=None, path=None):
        connection = http.client.HTTPConnection("127.0.0.1", stand_in.port, timeout=10)
        text = json.dumps(BODIES[dialect] if body is None else body)
        headers = HEADERS[dialect] if headers is None else headers
        connection.request("POST", path or PATHS[dialect], text, headers)
        response = connection.getresponse()
        answer = response.status, response.headers, response.read().decode()
        connection.close()
        return answer

    return ask


def events(text):
    """Return the values of a stream's events, without OpenAI's end mark."""
    lines = [line for line in text.splitlines() if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_openai_streams_chunks_then_usage_then_done(post):
    status, headers, text = post("openai")
    *chunks, usage = events(text)
    said = [c["choices"][0]["delta"].get("content", "") for c in chunks]
    assert (status, "".join(said)) == (200, REPLY)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["total_tokens"] == 2 + 19
    assert text.endswith("data: [DONE]\n\n")
    assert headers["x-request-id"] == "req_000000000001"
    assert headers["x-ratelimit-remaining-requests"] == "9999"


def test_anthropic_streams_named_events(post):
    _, headers, text = post("anthropic")
    kinds = list(dict.fromkeys(event["type"] for event in events(text)))
    assert kinds == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert headers["request-id"] == "req_000000000001"
    assert headers["anthropic-ratelimit-requests-remaining"] == "3999"


def test_gemini_streams_candidates_with_counts(post):
    _, _, text = post("gemini")
    first, *_, last = events(text)
    assert first["candidates"][0]["content"]["parts"] == [{"text": "Retur"}]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"]["totalTokenCount"] == 2 + 19


def test_openai_says_no_usage_unless_it_is_asked_to(post):
    body = {k: v for k, v in OPENAI.items() if k != "stream_options"}
    _, _, text = post("openai", body)
    assert not any(event["usage"] for event in events(text))


@pytest.mark.parametrize(
    ("dialect", "change", "complaint"),
    [
        ("openai", {"top_k": 4}, "Unrecognized request argument supplied: top_k"),
        ("openai", {"messages": []}, "empty array"),
        ("openai", {"messages": [{"role": "bot", "content": ""}]}, "'bot'"),
        ("openai", {"temperature": 2.5}, "'temperature'"),
        ("openai", {"max_tokens": 0}, "below minimum"),
        ("openai", {"max_tokens": 5, "max_completion_tokens": 5}, "same time"),
        ("openai", {"model": "gpt-5.5", "max_tokens": 5}, "max_completion_tokens"),
        ("openai", {"model": "o4-mini", "temperature": 0.2}, "does not support 0.2"),
        ("openai", {"stop": ["a"] * 5}, "array too long"),
        ("anthropic", {"n": 2}, "n: Extra inputs are not permitted"),
        ("anthropic", {"max_tokens": None}, "max_tokens"),
        ("anthropic", {"temperature": 1.5}, "range: 0..1"),
        ("anthropic", {"temperature": 0.5, "top_p": 0.5}, "cannot both"),
        ("anthropic", {"messages": [{"role": "system", "content": "x"}]}, "top-level"),
        ("anthropic", {"messages": [{"role": "assistant", "content": "x"}]}, "first"),
        ("anthropic", {"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ("anthropic", {"stop_sequences": [" "]}, "non-whitespace"),
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 9}}, "1024"),
        ("gemini", {"foo": 1}, 'Unknown name \\"foo\\"'),
        ("gemini", {"generationConfig": {"min_p": 1}}, "at 'generation_config'"),
        ("gemini", {"generationConfig": {"topK": 0}}, "topK"),
        ("gemini", {"contents": []}, "contents is not specified"),
        ("gemini", {"contents": [{"role": "system"}]}, "valid role: user, model"),
    ],
)
def test_refuses_what_the_real_ones_refuse(post, stand_in, dialect, change, complaint):
    status, _, text = post(dialect, {**BODIES[dialect], **change})
    assert status == 400
    assert complaint in text
    assert not stand_in.ledger.calls[0].is_billed


def test_anthropic_insists_on_a_limit_and_a_version(post):
    body = {k: v for k, v in ANTHROPIC.items() if k != "max_tokens"}
    assert "max_tokens: Field required" in post("anthropic", body)[2]
    assert "anthropic-version" in post("anthropic", None, {"x-api-key": KEY})[2]


@pytest.mark.parametrize(
    ("dialect", "headers", "status"),
    [
        ("openai", {}, 401),
        ("openai", {"authorization": "Bearer sk-wrong"}, 401),
        ("anthropic", {"anthropic-version": "2023-06-01"}, 401),
        ("anthropic", {"x-api-key": "sk-wrong"}, 401),
        ("gemini", {}, 403),
        ("gemini", {"x-goog-api-key": "wrong"}, 400),
    ],
)
def test_refuses_other_keys_as_the_real_ones_do(post, dialect, headers, status):
    assert post(dialect, None, headers)[0] == status


def test_a_model_that_is_not_there_is_not_found(post, stand_in):
    stand_in.models = ["another"]
    assert [post(dialect)[0] for dialect in BODIES] == [404] * 3


def test_cached_tokens_are_blocks_of_what_was_read_before(post, stand_in):
    body = {**OPENAI, "messages": [{"role": "user", "content": " word" * 2000}]}
    post("openai", body)
    post("openai", body)
    first, second = stand_in.ledger.wait_until_over(2)
    assert (first.prompt_tokens, first.cached_tokens) == (2001, 0)
    assert second.cached_tokens == 15 * 128


def test_marked_tokens_are_written_then_read(post, stand_in):
    system = {"type": "text", "text": " word" * 2000}
    marked = {**system, "cache_control": {"type": "ephemeral"}}
    for block in (system, marked, marked):
        post("anthropic", {**ANTHROPIC, "system": [block]})
    calls = stand_in.ledger.wait_until_over(3)
    counts = [(c.cache_write_tokens, c.cached_tokens) for c in calls]
    assert counts == [(0, 0), (2001, 0), (0, 2001)]


def test_caches_are_not_shared_across_models(post, stand_in):
    body = {**OPENAI, "messages": [{"role": "user", "content": " word" * 2000}]}
    post("openai", body)
    post("openai", {**body, "model": "gpt-4.1"})
    assert stand_in.ledger.wait_until_over(2)[1].cached_tokens == 0


def test_thoughts_are_billed_and_take_of_the_limit(post, stand_in):
    stand_in.reasoning_tokens = 30
    post("openai", {**OPENAI, "model": "gpt-5.5", "max_completion_tokens": 32})
    call = stand_in.ledger.wait_until_over(1)[0]
    assert (call.reasoning_tokens, call.completion_tokens) == (30, 32)


def test_the_ledger_is_written_to_a_file(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.close(ledger.open("openai", "gpt-4.1-mini", "req_"))
    (line,) = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line)["request_id"] == "req_000000000001"


def test_says_what_is_wrong_with_an_order(post):
    status, _, text = post("openai", "explode", path="/_fault")
    assert status == 400
    assert "no fault" in text


def test_takes_orders_while_it_runs(post, stand_in):
    connection = http.client.HTTPConnection("127.0.0.1", stand_in.port, timeout=10)
    connection.request("POST", "/_fault?dialect=openai", "500 429:3")
    assert json.loads(connection.getresponse().read()) == {"faults": ["500", "429:3"]}
    connection.request("GET", "/_ledger")
    assert json.loads(connection.getresponse().read()) == []
    connection.close()
    statuses = [post("openai")[0] for _ in range(3)]
    assert statuses == [500, 429, 200]
    assert post("anthropic")[0] == 200
