"""What every error of a backend tells the router, the breaker and the operator."""

import pytest

from inference import errors
from inference.errors import BackendError, Retry, Timeout
from inference.types import DeadlineKind


def subclasses(kind):
    return {
        kind,
        *(one for child in kind.__subclasses__() for one in subclasses(child)),
    }


@pytest.mark.parametrize(
    ("error", "retry", "is_backends_fault"),
    [
        (errors.Unavailable("x"), Retry.HERE, True),
        (errors.Overloaded("x", 3), Retry.HERE, True),
        (errors.Interrupted("x"), Retry.HERE, True),
        (errors.InvalidResponse("x"), Retry.ELSEWHERE, True),
        (errors.AuthenticationFailed("x"), Retry.ELSEWHERE, True),
        (errors.AccountExhausted("x"), Retry.ELSEWHERE, True),
        (errors.Misconfigured("x"), Retry.ELSEWHERE, True),
        (errors.RequestRejected("x"), Retry.ELSEWHERE, False),
        (errors.PromptTooLong(9, 9, 9), Retry.ELSEWHERE, False),
        (errors.Poisonous("x"), Retry.ELSEWHERE, False),
        (Timeout(DeadlineKind.CONNECT, 1), Retry.ELSEWHERE, True),
        (Timeout(DeadlineKind.FIRST_TOKEN, 1), Retry.ELSEWHERE, True),
        (Timeout(DeadlineKind.GAP, 1), Retry.ELSEWHERE, True),
        (Timeout(DeadlineKind.TOTAL, 1), Retry.NEVER, True),
    ],
)
def test_says_where_to_try_again(error, retry, is_backends_fault):
    assert error.retry is retry
    assert error.is_backends_fault is is_backends_fault


def test_the_tree_at_the_top_of_the_file_names_them_all():
    named = {kind.__name__ for kind in subclasses(BackendError)}
    ours = {n for n in named if getattr(errors, n, None)}
    assert [name for name in ours if f" {name} " not in errors.__doc__] == []


@pytest.mark.parametrize(
    "kind", [errors.AuthenticationFailed, errors.AccountExhausted, errors.Misconfigured]
)
def test_some_need_a_person(kind):
    assert isinstance(kind("x"), errors.OperatorNeeded)


def test_the_words_name_the_call_for_questions_to_its_provider():
    error = errors.Unavailable("status 500: oh")
    assert str(error) == "status 500: oh"
    error.request_id = "req_1"
    assert str(error) == "status 500: oh (request req_1)"


def test_a_long_prompt_is_told_in_numbers_or_in_the_providers_words():
    assert "9 tokens" in str(errors.PromptTooLong(9, 2, 8))
    assert str(errors.PromptTooLong(message="status 400: long")) == "status 400: long"
