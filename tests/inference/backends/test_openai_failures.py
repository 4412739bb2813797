import logging
import traceback

import pytest

from inference.backends import connection
from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    BackendError,
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
    DeadlineKind,
    Deadlines,
)
from tests.inference.backends.openai_stand_in import (
    COUNTS,
    DEADLINES,
    DONE,
    HANG,
    KEY,
    REQUEST,
    RESET,
    OpenAIStandIn,
    connected,
    end,
    event,
    head,
    refusal,
    say,
    usage,
)

BRIEF = Deadlines(connect_s=0.2, first_token_s=0.2, gap_s=0.15)
HALF_CHUNK = b'40\r\ndata: {"choices": ['


def fail(provider, deadlines=DEADLINES, url=None):
    """Return the error of a call and the texts that came before it."""
    deltas = []
    with connected(url or provider.url) as backend:
        stream = backend.stream(REQUEST, deadlines, CancelToken())
        with pytest.raises(BackendError) as caught:
            deltas.extend(stream)  # keeps what came before the error
    return caught.value, [delta.text for delta in deltas]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationFailed),
        (402, AccountExhausted),
        (403, AuthenticationFailed),
        (400, RequestRejected),
        (404, Misconfigured),
        (413, PromptTooLong),
        (422, RequestRejected),
        (429, Overloaded),
        (503, Overloaded),
        (529, Overloaded),
        (408, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (304, InvalidResponse),
    ],
)
def test_translates_the_status(provider, status, error):
    provider.answer = refusal(status, "because")
    caught, _ = fail(provider)
    assert type(caught) is error
    assert f"status {status}" in str(caught)
    assert caught.__cause__ is not None
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "this\\n model"}}', "this model"),
        (b'{"error": "no such model", "error_type": "x"}', "no such model"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"<html>nginx</html>", "<html>nginx</html>"),
        (b'{"error": {"message": "' + b"x" * 900 + b'"}}', "x" * 197 + "..."),
        (b"[1]", "[1]"),
        (b"", "status 404"),
    ],
)
def test_passes_on_the_providers_words(provider, body, words):
    provider.answer = [head(404, "application/json") + body]
    assert str(fail(provider)[0]).endswith(words)


def test_says_when_to_come_back(provider):
    provider.answer = refusal(429, retry_after="2.5")
    assert fail(provider)[0].retry_after_s == 2.5


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            [head(429, retry_after="9", content_encoding="gzip"), b"\x1f\x8b"],
            Overloaded,
        ),
        ([head(401, content_length="500"), b'{"err'], AuthenticationFailed),
        ([head(404, "text/html"), b"x" * 2_000_000], Misconfigured),
    ],
)
def test_a_refusal_that_cannot_be_read_says_enough_by_its_status(
    provider, answer, error
):
    provider.answer = answer
    caught, _ = fail(provider)
    assert type(caught) is error
    assert caught.was_accepted is False
    assert caught.retry_after_s == (9 if error is Overloaded else None)


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_a_server_that_breaks_off_has_not_ended_the_answer(provider, reason):
    provider.answer = [head(), say("a"), end(reason), usage(**COUNTS), DONE]
    caught, texts = fail(provider)
    assert type(caught) is Interrupted
    assert texts == ["a"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "oh", "code": 429}, Overloaded),
        ({"message": "oh", "code": "503"}, Overloaded),
        ({"message": "oh", "code": 500}, Interrupted),
        ({"message": "oh", "code": "rate_limit_exceeded"}, Overloaded),
        ({"message": "oh", "type": "overloaded_error"}, Overloaded),
        ({"message": "oh", "code": "context_length_exceeded"}, PromptTooLong),
        ({"message": "oh", "type": "server_error"}, Interrupted),
        ("oh", Interrupted),
    ],
)
def test_translates_an_error_in_the_stream(provider, error, expected):
    provider.answer = [head(), say("a"), event({"error": error}), DONE]
    caught, texts = fail(provider)
    assert type(caught) is expected
    assert str(caught) == "in the stream: oh"
    assert texts == ["a"]


@pytest.mark.parametrize(
    "answer",
    [
        [head(), say("a")],
        [head(), say("a"), DONE],
        [head(), say("a"), b'data: {"choi'],
        [head(), say("a"), RESET],
        [head(transfer_encoding="chunked"), HALF_CHUNK],
    ],
)
def test_a_cut_stream_is_interrupted(provider, answer):
    provider.answer = answer
    assert type(fail(provider)[0]) is Interrupted


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ([head(), end(), DONE], "is empty"),
        ([head(), end("length"), DONE], "before the answer began"),
        ([head(200, "text/html"), b"<html>"], "no event stream but 'text/html'"),
        ([head(), b"data: {broken\n\n"], "cannot be read"),
        ([head(), b"data: \xff\xfe\n\n"], "cannot be read"),
        ([head(), b"data: [5]\n\n"], "not an object"),
        ([head(content_encoding="gzip"), b"\x1f\x8b"], "compressed"),
    ],
)
def test_refuses_what_makes_no_sense(provider, answer, complaint):
    provider.answer = answer
    caught, _ = fail(provider)
    assert type(caught) is InvalidResponse
    assert complaint in str(caught)


def test_bounds_what_it_reads(provider, monkeypatch):
    monkeypatch.setattr(connection, "MAX_RESPONSE_BYTES", 5000)
    provider.answer = [head(), *[say("a") for _ in range(100)], end(), DONE]
    caught, texts = fail(provider)
    assert type(caught) is InvalidResponse
    assert 0 < len(texts) < 100


def test_does_not_follow_a_redirect(provider):
    target = OpenAIStandIn()
    provider.answer = [head(307, location=f"{target.url}/chat/completions")]
    caught, _ = fail(provider)
    target.close()
    assert type(caught) is InvalidResponse
    assert str(caught) == "status 307; is the endpoint right?"
    assert target.asked == []


def test_a_closed_port_is_unavailable(provider):
    provider.close()
    caught, _ = fail(provider)
    assert type(caught) is Unavailable
    assert "refused" in str(caught)


def test_an_unknown_host_is_unavailable(provider):
    caught, _ = fail(provider, url="https://nowhere.invalid/v1")
    assert type(caught) is Unavailable


def test_plain_http_on_a_tls_address_is_unavailable(provider):
    caught, _ = fail(provider, url=provider.url.replace("http:", "https:"))
    assert type(caught) is Unavailable


@pytest.mark.parametrize("answer", [[], [RESET]])
def test_no_answer_at_all_is_unavailable(provider, answer):
    provider.answer = answer
    assert type(fail(provider)[0]) is Unavailable


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([HANG], DeadlineKind.FIRST_TOKEN),
        ([head(), HANG], DeadlineKind.FIRST_TOKEN),
        ([head(500), HANG], DeadlineKind.FIRST_TOKEN),
        ([head(), say("a"), HANG], DeadlineKind.GAP),
    ],
)
def test_gives_up_a_provider_that_hangs(provider, answer, kind):
    provider.answer = answer
    caught, _ = fail(provider, BRIEF)
    assert type(caught) is Timeout
    assert caught.kind is kind
    assert 0.15 <= caught.waited_s < 2


def test_gives_up_a_connection_that_does_not_come_about(provider, silent):
    deadlines = Deadlines(connect_s=0.1, first_token_s=5, gap_s=5)
    caught, _ = fail(provider, deadlines, url=silent)
    assert type(caught) is Timeout
    assert caught.kind is DeadlineKind.CONNECT
    assert caught.waited_s < 2


@pytest.mark.parametrize("status", [401, 500])
def test_an_echoed_key_is_in_no_text(provider, status, caplog):
    caplog.set_level(logging.DEBUG)
    provider.answer = refusal(status, f"the key {KEY} is wrong")
    caught, _ = fail(provider)
    assert str(caught) == f"status {status}: the key [key] is wrong"
    assert KEY not in "".join(traceback.format_exception(caught))
    assert KEY not in repr(caught.__cause__)
    assert KEY not in caplog.text


def test_an_echoed_key_in_the_stream_is_in_no_text(provider):
    provider.answer = [head(), event({"error": {"message": f"bad {KEY}"}})]
    caught, _ = fail(provider)
    assert KEY not in "".join(traceback.format_exception(caught))
