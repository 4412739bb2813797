"""What can go wrong between a request and its completion.

InferenceError
 ├── BackendError                one call failed; the router tries the next backend
 │    ├── Unavailable            not reachable, not running, or died
 │    ├── Overloaded             refuses more work for now
 │    ├── Timeout                a deadline passed
 │    ├── Interrupted            the stream broke after it had begun
 │    ├── InvalidResponse        the answer makes no sense
 │    ├── OperatorNeeded         every call will fail until a person acts
 │    │    ├── AuthenticationFailed   the key is wrong, expired or not allowed this
 │    │    ├── AccountExhausted       the account has no money or quota left
 │    │    └── Misconfigured          there is no such model, or no such address
 │    └── RequestRejected        this request will never be answered here
 │         ├── PromptTooLong     it does not fit the model's context
 │         └── Poisonous         the engine died of it twice
 ├── NoBackendLeft               every backend failed
 ├── GoesElsewhere               other workers are to go on with the request
 ├── ModelError                  a model file cannot be used
 └── DownloadFailed              a model file cannot be fetched

The message of each is for the operator: it says what to do where that is known, never
holds a key, and is never shown to a visitor.
"""
# ruff: noqa: N818 - the names say what happened, as those of httpx do

from enum import StrEnum
from typing import ClassVar

from inference.types import AttemptReport, DeadlineKind, Usage


class InferenceError(Exception):
    """The root of everything that `inference` raises on purpose."""


class Retry(StrEnum):
    """Where the same request may yet be answered.

    HERE: the same backend may do better in a moment, and so may another. ELSEWHERE:
    only another one. NEVER: nobody in time.
    """

    HERE = "here"
    ELSEWHERE = "elsewhere"
    NEVER = "never"


class BackendError(InferenceError):
    """One call to one backend failed.

    `retry` tells the router where to try again, `retry_after_s` how long to leave this
    backend alone, None if it did not say. `is_backends_fault` tells the breaker whether
    another request would have done better: a rejected request says nothing about the
    backend's health. `is_others_fault` tells the router that the call only stood
    beside one that broke the backend, and which will not be there again.

    For the ledger: `usage` is what the provider had counted before the failure, None
    if nothing, `request_id` what it calls the call, `model` the name it answered
    under; both empty where it did not say. `was_accepted` is whether it had taken the
    call, which then may be billed; None if nobody can tell.
    """

    is_backends_fault: ClassVar[bool] = True
    is_others_fault: bool = False
    retry: Retry = Retry.ELSEWHERE
    retry_after_s: float | None = None
    usage: Usage | None = None
    request_id: str = ""
    model: str = ""
    was_accepted: bool | None = None

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said} (request {self.request_id})" if self.request_id else said


class Unavailable(BackendError):
    """The backend cannot be reached, is not running, or died before it answered."""

    retry = Retry.HERE


class Overloaded(BackendError):
    """The backend refuses more work; `retry_after_s` if it said when to come back."""

    retry = Retry.HERE

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Timeout(BackendError):
    """A deadline passed; `kind` says which. After the total nothing can be tried."""

    def __init__(self, kind: DeadlineKind, waited_s: float) -> None:
        super().__init__(f"{kind} deadline passed after {waited_s:.1f} s")
        self.kind = kind
        self.waited_s = waited_s
        if kind is DeadlineKind.TOTAL:
            self.retry = Retry.NEVER


class Interrupted(BackendError):
    """The stream broke after it had begun."""

    retry = Retry.HERE


class InvalidResponse(BackendError):
    """The backend's answer does not follow its protocol."""


class OperatorNeeded(BackendError):
    """No call can do better until a person has changed something: a clear failure."""


class AuthenticationFailed(OperatorNeeded):
    """The key is wrong, expired, or not allowed to use this model."""


class AccountExhausted(OperatorNeeded):
    """The account behind the key has no money or no quota left."""


class Misconfigured(OperatorNeeded):
    """What the backend's row names is not there or not allowed: a model, an address."""


class RequestRejected(BackendError):
    """The backend will not answer this request, however often it is asked."""

    is_backends_fault: ClassVar[bool] = False


class PromptTooLong(RequestRejected):
    """The prompt and the answer together do not fit the model's context.

    The numbers are None where the backend gave words instead: then `message` has them.
    """

    def __init__(
        self,
        prompt_tokens: int | None = None,
        max_tokens: int | None = None,
        limit_tokens: int | None = None,
        message: str = "",
    ) -> None:
        super().__init__(
            message
            or f"a prompt of {prompt_tokens} tokens and an answer of up to {max_tokens}"
            f" do not fit the limit of {limit_tokens}"
        )
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.limit_tokens = limit_tokens


class Poisonous(RequestRejected):
    """The engine died twice while it computed this request, which is why it refuses.

    Never to be tried again there. Another backend may answer it: the cause is in the
    way a model is run.
    """


class NoBackendLeft(InferenceError):
    """No backend answered; `attempts` are the calls that failed."""

    def __init__(self, attempts: tuple[AttemptReport, ...], reason: str = "") -> None:
        failures = [f"{report.backend}: {report.error}" for report in attempts]
        nothing = reason or "no backend is configured"
        super().__init__("; ".join(failures) or nothing)
        self.attempts = attempts


class GoesElsewhere(InferenceError):
    """The workers of `queue` are to go on with a request; no call was made here.

    `spilled_from` is the backend that was too busy for it, empty if that is not why.
    """

    def __init__(self, queue: str, spilled_from: str = "") -> None:
        super().__init__(f"the workers of {queue} go on")
        self.queue = queue
        self.spilled_from = spilled_from


class ModelError(InferenceError):
    """A model file cannot be used; the message says what is wrong with it."""


class DownloadFailed(InferenceError):
    """A model file cannot be fetched; the message says why and what to do."""
