"""A backend that fails in a known way keeps the contract of those that do not."""

import pytest

from inference.backends.faulty import BEGINNING, Fault, FaultyBackend
from inference.errors import (
    AuthenticationFailed,
    Interrupted,
    InvalidResponse,
    Overloaded,
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
)

REQUEST = CompletionRequest((ChatMessage("user", "Hello?"),), max_tokens=8)
SHORT = Deadlines(first_token_s=0.02, gap_s=0.02, total_s=0.05)


def play(fault: Fault, cancel: CancelToken | None = None):
    backend = FaultyBackend("cloud", "m", fault)
    return backend.stream(REQUEST, SHORT, cancel or CancelToken())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.REFUSE, Unavailable),
        (Fault.WRONG_KEY, AuthenticationFailed),
        (Fault.RATE_LIMIT, Overloaded),
        (Fault.SERVER_ERROR, Unavailable),
        (Fault.EMPTY, InvalidResponse),
        (Fault.MALFORMED, InvalidResponse),
    ],
)
def test_fails_before_the_first_word(fault, error):
    with pytest.raises(error, match="fire drill"):
        next(play(fault))


def test_says_when_to_come_back():
    with pytest.raises(Overloaded) as caught:
        next(play(Fault.RATE_LIMIT))
    assert caught.value.retry_after_s == 30


def test_breaks_off_in_the_middle():
    stream = play(Fault.CUT)
    assert [next(stream) for _ in BEGINNING] == [Delta(text) for text in BEGINNING]
    with pytest.raises(Interrupted):
        next(stream)


def test_a_late_word_comes_after_its_deadline():
    *_, word, end = play(Fault.SLOW)
    assert word == Delta("Too late.")
    assert end == Completion(FinishReason.STOP, None, "m")


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_MIDWAY, Fault.SLOW])
def test_silence_ends_when_nobody_waits_any_more(fault):
    cancel = CancelToken()
    cancel.cancel()
    *_, end = play(fault, cancel)
    assert end == Completion(FinishReason.CANCELLED, None, "m")
