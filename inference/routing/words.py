"""The decisions of a route as sentences, for staff who read a conversation.

They name backends, which operators do, and never quote a text, a key or an error's
own message.
"""

from collections.abc import Iterable

from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    BackendError,
    Interrupted,
    InvalidResponse,
    Misconfigured,
    OperatorNeeded,
    Overloaded,
    Poisonous,
    PromptTooLong,
    RequestRejected,
    Timeout,
    Unavailable,
)
from inference.types import DeadlineKind

# the most exact first
_FAILURES: tuple[tuple[type[BackendError], str], ...] = (
    (Poisonous, "its engine had died of this question"),
    (PromptTooLong, "the conversation is too long for it"),
    (RequestRejected, "it refused the request"),
    (AuthenticationFailed, "it did not accept its key"),
    (AccountExhausted, "its account is used up"),
    (Misconfigured, "its model or address does not exist"),
    (OperatorNeeded, "somebody has to change something about it"),
    (InvalidResponse, "its answer made no sense"),
    (Interrupted, "the connection broke"),
    (Overloaded, "it was too busy"),
    (Unavailable, "it could not be reached"),
)
_WAITS = {
    DeadlineKind.CONNECT: "it could not be reached within {:.3g} s",
    DeadlineKind.FIRST_TOKEN: "no word came within {:.3g} s",
    DeadlineKind.GAP: "it fell silent for {:.3g} s",
    DeadlineKind.TOTAL: "the time for the reply was over",
}
_MAX_SENTENCES = 60


class Trace:
    """Decisions in their order, sixty at most. Not shared by threads."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def note(self, sentence: str) -> None:
        """Add a decision."""
        if len(self.sentences) < _MAX_SENTENCES:
            self.sentences.append(sentence)

    def note_once(self, sentence: str) -> None:
        """Add a decision that is taken again and again while a request waits."""
        if sentence not in self.sentences:
            self.note(sentence)


def why_failed(error: BackendError) -> str:
    """Return in words what went wrong with a call."""
    if isinstance(error, Timeout):
        return _WAITS[error.kind].format(error.waited_s)
    for kind, words in _FAILURES:
        if isinstance(error, kind):
            return words
    return type(error).__name__


def join_names(names: Iterable[str]) -> str:
    """Return names as one says them: "a", "a and b", "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
