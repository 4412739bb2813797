"""Every fault in every dialect, through the real SDKs: what the router is told.

One table for all that ask a provider. How each answer looks on the wire stands in
tests/inference/providers/recordings.
"""

import io
import logging
import traceback
from dataclasses import dataclass, replace

import pytest

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
    Retry,
    Timeout,
    Unavailable,
)
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    Usage,
)
from tests.inference.providers import KEY, LINE_FAULTS, Call, Fault, Provider
from tests.inference.providers.kinds import KINDS

REQUEST = CompletionRequest(
    (ChatMessage("system", "You are Fern."), ChatMessage("user", "Can I?")),
    max_tokens=40,
)
PATIENT = Deadlines(connect_s=10, first_token_s=20, gap_s=20)
BRIEF = Deadlines(connect_s=10, first_token_s=0.15, gap_s=0.15)
BEFORE = ""
SOME = "Returns are"


@dataclass(frozen=True)
class Expected:
    """What a failed call gives: an error, and the text that came before it."""

    error: type[BackendError]
    retry: Retry
    text: str = BEFORE
    retry_after_s: float | None = None
    is_billed: bool = True


def refused(error, retry, retry_after_s=None):
    """A call that never came to the model."""
    return Expected(error, retry, BEFORE, retry_after_s, is_billed=False)


EXPECTED = {
    Fault.REFUSE: refused(Unavailable, Retry.HERE),
    Fault.DNS: refused(Unavailable, Retry.HERE),
    Fault.TLS_CERTIFICATE: refused(Unavailable, Retry.HERE),
    Fault.TLS_PLAIN: refused(Unavailable, Retry.HERE),
    Fault.BAD_REQUEST: refused(RequestRejected, Retry.ELSEWHERE),
    Fault.KEY: refused(AuthenticationFailed, Retry.ELSEWHERE),
    Fault.FORBIDDEN: refused(AuthenticationFailed, Retry.ELSEWHERE),
    Fault.NOT_FOUND: refused(Misconfigured, Retry.ELSEWHERE),
    Fault.RATE_LIMIT: refused(Overloaded, Retry.HERE, 7.0),
    Fault.SERVER_ERROR: refused(Unavailable, Retry.HERE),
    Fault.OVERLOADED: refused(Overloaded, Retry.HERE, 7.0),
    Fault.QUOTA: refused(AccountExhausted, Retry.ELSEWHERE),
    Fault.TOO_LONG: refused(PromptTooLong, Retry.ELSEWHERE),
    Fault.HANG_BEFORE_HEADERS: refused(Timeout, Retry.ELSEWHERE),
    Fault.HANG_BEFORE_FIRST_TOKEN: Expected(Timeout, Retry.ELSEWHERE),
    Fault.RESET: refused(Unavailable, Retry.HERE),
    Fault.CUT: Expected(Interrupted, Retry.HERE),
    Fault.HALF_LINE: Expected(Interrupted, Retry.HERE),
    Fault.ERROR_EVENT: Expected(Interrupted, Retry.HERE),
    Fault.OVERLOAD_EVENT: Expected(Overloaded, Retry.HERE),
    Fault.EMPTY: Expected(InvalidResponse, Retry.ELSEWHERE),
    Fault.WRONG_TYPE: refused(InvalidResponse, Retry.ELSEWHERE),
    Fault.REDIRECT: refused(InvalidResponse, Retry.ELSEWHERE),
    Fault.GZIP_BOMB: refused(InvalidResponse, Retry.ELSEWHERE),
    Fault.FLOOD: Expected(InvalidResponse, Retry.ELSEWHERE),
    Fault.HANG_MID_STREAM: Expected(Timeout, Retry.ELSEWHERE, SOME),
    Fault.RESET_MID_STREAM: Expected(Interrupted, Retry.HERE, SOME),
    Fault.CUT_MID_STREAM: Expected(Interrupted, Retry.HERE, SOME),
    Fault.HALF_LINE_MID_STREAM: Expected(Interrupted, Retry.HERE, SOME),
    Fault.ERROR_EVENT_MID_STREAM: Expected(Interrupted, Retry.HERE, SOME),
    Fault.OVERLOAD_EVENT_MID_STREAM: Expected(Overloaded, Retry.HERE, SOME),
    Fault.FLOOD_MID_STREAM: Expected(InvalidResponse, Retry.ELSEWHERE, SOME),
}
HANGS = {
    Fault.HANG_BEFORE_HEADERS: "first_token",
    Fault.HANG_BEFORE_FIRST_TOKEN: "first_token",
    Fault.HANG_MID_STREAM: "gap",
}
# These are answers, of a kind.
ENDS = {
    Fault.NONE: FinishReason.STOP,
    Fault.SLOW: FinishReason.STOP,
    Fault.REFUSAL: FinishReason.CONTENT_FILTER,
    Fault.REFUSAL_MID_STREAM: FinishReason.CONTENT_FILTER,
}
ANSWERED = [fault for fault in EXPECTED if fault not in LINE_FAULTS]


@pytest.fixture(scope="module")
def stand_in():
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture(scope="module", params=KINDS, ids=str)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def backend(kind, stand_in):
    with kind.connected(stand_in) as connected:
        yield connected


@dataclass(frozen=True)
class Failure:
    """A call that failed: its error, the text before it, all that was logged."""

    error: BackendError
    text: str
    log: str
    call: Call
    num_requests: int


@pytest.fixture(scope="module")
def failures(kind, backend, stand_in):
    """What each fault made of a call, played once; the key is echoed."""
    stand_in.echoes_key = True
    found = {fault: play(backend, stand_in, fault) for fault in ANSWERED}
    stand_in.echoes_key = False
    stand_in.stand("none")
    return found


def play(backend, stand_in, fault):
    stand_in.stand(fault.value)
    num_calls, num_requests = len(stand_in.ledger.calls), len(stand_in.requests)
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        error, text = fail(backend, BRIEF if fault in HANGS else PATIENT)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    call = stand_in.ledger.wait_until_over(num_calls + 1)[-1]
    return Failure(
        error, text, log.getvalue(), call, len(stand_in.requests) - num_requests
    )


@pytest.fixture(autouse=True)
def _healthy(stand_in):
    yield
    stand_in.stand("none")


def fail(backend, deadlines=PATIENT):
    """Return the error of a call, and the text that came before it."""
    items = []
    with pytest.raises(BackendError) as caught:
        items.extend(backend.stream(REQUEST, deadlines, CancelToken()))
    return caught.value, join(items)


def join(items):
    return "".join(item.text for item in items if isinstance(item, Delta))


def test_the_tables_know_every_fault():
    assert EXPECTED.keys() | ENDS.keys() == set(Fault)


@pytest.mark.parametrize("fault", ANSWERED)
def test_a_fault_is_the_expected_error(failures, fault):
    error, expected = failures[fault].error, EXPECTED[fault]
    assert type(error) is expected.error
    assert (error.retry, error.retry_after_s) == (
        expected.retry,
        expected.retry_after_s,
    )
    assert failures[fault].text == expected.text
    assert failures[fault].num_requests == 1  # nothing retries, follows or continues


@pytest.mark.parametrize("fault", LINE_FAULTS)
def test_a_line_that_does_not_come_about_is_unavailable(kind, stand_in, fault):
    num_requests = len(stand_in.requests)
    with kind.connected(stand_in, fault) as backend:
        error, text = fail(backend)
    expected = EXPECTED[fault]
    assert (type(error), error.retry) == (expected.error, expected.retry)
    assert text == expected.text
    assert len(stand_in.requests) == num_requests


@pytest.mark.parametrize(("fault", "deadline"), HANGS.items())
def test_a_hang_passes_the_deadline_of_its_place(failures, fault, deadline):
    assert failures[fault].error.kind == deadline


@pytest.mark.parametrize("fault", [Fault.REFUSAL, Fault.REFUSAL_MID_STREAM])
def test_a_refusal_is_an_end_and_no_error(backend, stand_in, fault):
    stand_in.stand(fault.value)
    completion = list(backend.stream(REQUEST, PATIENT, CancelToken()))[-1]
    assert isinstance(completion, Completion)
    assert completion.finish_reason is ENDS[fault]


def test_slow_tokens_are_an_answer(backend, stand_in):
    stand_in.stand("slow:0.01")
    items = list(backend.stream(REQUEST, PATIENT, CancelToken()))
    assert items[-1].finish_reason is ENDS[Fault.SLOW]
    assert join(items) == stand_in.reply


@pytest.mark.parametrize("fault", ANSWERED)
def test_an_echoed_key_is_nowhere(failures, fault):
    error, log = failures[fault].error, failures[fault].log
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert KEY not in "".join(told.format())
    assert KEY not in repr(error)
    assert KEY not in log


def test_the_key_is_echoed_where_it_can_be(backend, stand_in):
    stand_in.stand("500")
    stand_in.echoes_key = True
    assert "(your key is [key])" in str(fail(backend)[0])
    stand_in.echoes_key = False


@pytest.mark.parametrize("fault", ANSWERED)
def test_what_an_error_knows_is_what_is_billed(failures, fault):
    call = failures[fault].call
    usage = failures[fault].error.usage or Usage(0, 0)
    assert call.is_billed == EXPECTED[fault].is_billed
    assert usage.prompt_tokens == (call.told_prompt_tokens or 0)
    assert usage.completion_tokens == (call.told_completion_tokens or 0)


@pytest.mark.parametrize("seconds", ["0", "0.5", "120"])
def test_says_when_to_come_back(backend, stand_in, seconds):
    stand_in.stand(f"429:{seconds}")
    assert fail(backend)[0].retry_after_s == float(seconds)


def test_an_answer_after_faults_is_whole(backend, stand_in):
    stand_in.queue(["500", "cut-mid-stream", "none"])
    fail(backend)
    fail(backend)
    assert join(backend.stream(REQUEST, PATIENT, CancelToken())) == stand_in.reply


def test_little_of_50_megabytes_is_read(failures):
    assert "an event of over" in str(failures[Fault.FLOOD].error)
    assert "an event of over" in str(failures[Fault.FLOOD_MID_STREAM].error)


def test_a_longer_prompt_than_the_model_takes_is_too_long(backend, stand_in):
    long = replace(REQUEST, messages=(ChatMessage("user", "word " * 130_000),))
    with pytest.raises(PromptTooLong):
        list(backend.stream(long, PATIENT, CancelToken()))
