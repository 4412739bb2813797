"""What a call is taken to have used where its provider did not say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import errors
from inference.routing.usage import (
    Counted,
    bound_usage,
    estimate_prompt,
    estimate_tokens,
    find_usage,
)
from inference.types import (
    ChatMessage,
    Completion,
    CompletionRequest,
    DeadlineKind,
    FinishReason,
    Usage,
)

REQUEST = CompletionRequest(
    (ChatMessage("system", "Be brief."), ChatMessage("user", "Zelte?")), max_tokens=50
)
# 9 and 6 bytes are 3 and 2 tokens, and 4 more for each message
PROMPT_TOKENS = 13
SAID = Usage(20, 1, cached_tokens=5, cache_write_tokens=8, is_estimated=True)


def stopped(usage: Usage | None) -> Completion:
    return Completion(FinishReason.STOP, usage, "m")


def failed(error: errors.BackendError, usage: Usage | None) -> errors.BackendError:
    error.usage = usage
    return error


REFUSALS = [
    errors.Unavailable("no connection"),
    errors.Overloaded("429"),
    errors.AuthenticationFailed("401"),
    errors.RequestRejected("400"),
    errors.PromptTooLong(9, 9, 9),
    errors.Timeout(DeadlineKind.CONNECT, 3.0),
]
BREAKS = [
    errors.Interrupted("cut"),
    errors.InvalidResponse("half a line"),
    errors.Timeout(DeadlineKind.FIRST_TOKEN, 15.0),
    errors.Timeout(DeadlineKind.GAP, 15.0),
    errors.Timeout(DeadlineKind.TOTAL, 60.0),
]


def find(text: str = "", said: Usage | None = None, end=None) -> Usage | None:
    return find_usage(REQUEST, Counted(said, text), end)


def test_what_the_provider_counted_counts():
    usage = Usage(7, 3)
    assert find("a long text " * 9, SAID, stopped(usage)) is usage


@pytest.mark.parametrize("error", REFUSALS, ids=repr)
def test_a_refused_call_costs_nothing(error):
    assert find(end=error) is None


def test_an_error_in_the_place_of_text_comes_after_the_prompt_was_read():
    error = errors.Overloaded("in the stream")
    error.was_accepted = True
    assert find(end=error) == Usage(PROMPT_TOKENS, 0, is_estimated=True)


def test_an_answer_that_was_no_success_is_not_billed():
    error = errors.InvalidResponse("status 307")
    error.was_accepted = False
    assert find(end=error) is None


@pytest.mark.parametrize("end", [*BREAKS, None, stopped(None)], ids=repr)
def test_a_call_that_may_be_billed_is_estimated(end):
    assert find(end=end) == Usage(PROMPT_TOKENS, 0, is_estimated=True)


@pytest.mark.parametrize("end", [*REFUSALS, *BREAKS, None], ids=repr)
def test_text_that_came_was_written_by_somebody(end):
    found = find("Zelt für zwei", end=end)
    assert found == Usage(PROMPT_TOKENS, 4, is_estimated=True)


@pytest.mark.parametrize("end", [*REFUSALS, *BREAKS, None], ids=repr)
def test_only_what_came_after_the_count_is_estimated(end):
    found = find("Zelt für zwei", SAID, end)
    assert found == Usage(20, 5, 5, cache_write_tokens=8, is_estimated=True)
    assert find("", SAID, end) == SAID


def test_an_error_brings_what_was_said():
    error = failed(errors.Interrupted("cut"), SAID)
    assert find(end=error) == SAID


def test_an_error_after_the_last_count_brings_all_of_it():
    usage = Usage(20, 3)
    error = failed(errors.InvalidResponse("the answer is empty"), usage)
    assert find("x" * 40, SAID, error) is usage


def test_the_beginning_of_a_count_is_completed():
    begun = Usage(20, 1, is_estimated=True)
    end = Completion(FinishReason.CANCELLED, begun, "m")
    assert find("x" * 40, None, end).completion_tokens == 11


def test_estimates_begin_a_token_with_every_fourth_byte():
    texts = ["", "a", "abcd", "abcde", "ü", "日本"]
    assert [estimate_tokens(text) for text in texts] == [0, 1, 1, 2, 1, 2]


def test_a_schema_is_read_too():
    plain = bound_usage(REQUEST, 9).prompt_tokens
    schema = {"type": "boolean"}
    asked = CompletionRequest(REQUEST.messages, 9, json_schema=schema)
    assert bound_usage(asked, 9).prompt_tokens == plain + len('{"type": "boolean"}')


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.integers(1, 99))
def test_no_estimate_is_above_the_bound(texts, max_tokens):
    messages = tuple(ChatMessage("user", text) for text in texts)
    bound = bound_usage(CompletionRequest(messages, 1), max_tokens)
    num_bytes = sum(len(text.encode(errors="replace")) for text in texts)
    assert bound.prompt_tokens >= max(estimate_prompt(messages), num_bytes)
    assert bound.completion_tokens == max_tokens
