"""What every error of a backend tells the router, the breaker and the operator."""

import pytest

from inference import errors
from inference.backends import statuses
from inference.errors import BackendError, Retry, Timeout
from inference.failures import explain, needs_operator
from inference.routing.words import why_failed
from inference.types import DeadlineKind


def subclasses(kind):
    return {
        kind,
        *(one for child in kind.__subclasses__() for one in subclasses(child)),
    }


OURS = sorted(
    (kind for kind in subclasses(BackendError) if kind.__module__[:9] == "inference"),
    key=lambda kind: kind.__name__,
)
FAILURES = [kind for kind in OURS if kind is not BackendError]


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


def test_those_of_other_modules_are_known_here():
    assert statuses.ContentRefused in FAILURES


@pytest.mark.parametrize("kind", FAILURES)
def test_the_ledgers_names_say_who_needs_a_person(kind):
    assert needs_operator(kind.__name__) == issubclass(kind, errors.OperatorNeeded)


@pytest.mark.parametrize("kind", FAILURES)
def test_an_operator_is_told_of_each_in_words(kind):
    assert kind.__name__ not in explain(kind.__name__)


@pytest.mark.parametrize(
    "error",
    [
        *(kind("x") for kind in FAILURES if kind is not Timeout),
        *(Timeout(kind, 1) for kind in DeadlineKind),
    ],
    ids=repr,
)
def test_staff_are_told_of_each_in_words(error):
    assert why_failed(error) != type(error).__name__
