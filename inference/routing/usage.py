"""What a call used where its provider did not say: the rule, and when it applies.

A call may be billed once the provider has taken it, also one that we left or that
broke. What the provider said by then counts; the rest is estimated from the texts:

    prompt      a token for every 4 bytes of UTF-8, and 4 for each message
    completion  a token for every 4 bytes of the text that came since

both rounded up. English has 4 to 5 letters a token, other scripts take two or three
bytes a letter and about as many letters fewer. What a model thinks without showing it
cannot be seen, so an estimate is rather too low than too high.

How much a call may use at most is another question, which budgets ask before it: no
tokenizer in use makes more than one token of a byte.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from inference.errors import BackendError, Interrupted, InvalidResponse, Timeout
from inference.types import (
    ChatMessage,
    Completion,
    CompletionRequest,
    DeadlineKind,
    Usage,
)

BYTES_A_TOKEN = 4
TOKENS_A_MESSAGE = 4
# the marks that templates put around messages, as many as any of them has
_MOST_A_MESSAGE = 16


@dataclass(frozen=True, slots=True)
class Counted:
    """What the provider had counted, and the text that came `after` that."""

    usage: Usage | None = None
    after: str = ""


def find_usage(
    request: CompletionRequest,
    counted: Counted,
    end: Completion | BackendError | None,
) -> Usage | None:
    """Return what a call used; None if it was not accepted and so costs nothing.

    `end` is None for a call that was left. What it says itself is the whole, unless it
    is marked as estimated: then it is what was counted before.
    """
    last = None if end is None else end.usage
    if last is not None and not last.is_estimated:
        return last
    said = counted.usage or last
    is_refused = isinstance(end, BackendError) and not _may_be_billed(end)
    if is_refused and said is None and not counted.after:
        return None
    num_after = estimate_tokens(counted.after)
    if said is None:
        return Usage(estimate_prompt(request.messages), num_after, is_estimated=True)
    num_written = said.completion_tokens + num_after
    return replace(said, completion_tokens=num_written, is_estimated=True)


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text.encode(errors="replace")) // BYTES_A_TOKEN)


def estimate_prompt(messages: Iterable[ChatMessage]) -> int:
    """Return about how many tokens a prompt has."""
    return sum(estimate_tokens(m.content) + TOKENS_A_MESSAGE for m in messages)


def bound_usage(request: CompletionRequest, num_written: int) -> Usage:
    """Return what a call uses at most that writes at most so many tokens."""
    texts = [message.content for message in request.messages]
    if request.is_constrained:
        texts += [request.grammar, json.dumps(request.json_schema)]
    num_bytes = sum(len(text.encode(errors="replace")) for text in texts)
    num_marks = _MOST_A_MESSAGE * len(request.messages)
    return Usage(num_bytes + num_marks, num_written, is_estimated=True)


def _may_be_billed(error: BackendError) -> bool:
    """Return whether a call that failed like this had perhaps been taken.

    One that was refused, by a status or a closed port, was not. An error that comes as
    an event of the stream is none of these: the prompt had been read.
    """
    if error.was_accepted is not None:
        return error.was_accepted
    if isinstance(error, Timeout):
        return error.kind is not DeadlineKind.CONNECT
    return isinstance(error, Interrupted | InvalidResponse)
