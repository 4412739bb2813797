"""What a call used where its provider did not say: the rule, and when it applies.

A call may be billed once the provider has taken it, also one that we left or that
broke. What the provider said by then counts; the rest is estimated from the texts:

    prompt      a token for every 4 bytes of UTF-8, and 4 for each message
    completion  a token for every 4 bytes of the text that came

both rounded up. English has 4 to 5 letters a token, other scripts take two or three
bytes a letter and about as many letters fewer. What a model thinks without showing it
cannot be seen, so an estimate is rather too low than too high.

How much a call may use at most is another question, which budgets ask before it: no
tokenizer in use makes more than one token of a byte.
"""

import json
from collections.abc import Iterable

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


def find_usage(
    request: CompletionRequest,
    text: str,
    said: Usage | None,
    end: Completion | BackendError | None,
) -> Usage | None:
    """Return what a call used; None if it was not accepted and so costs nothing.

    `text` is what came of it, `said` what the provider had counted before the `end`,
    which is None for a call that was left. What the end itself says is the whole unless
    it is marked as estimated.
    """
    counted = None if end is None else end.usage
    if counted is not None and not counted.is_estimated:
        return counted
    said = counted or said
    is_refused = isinstance(end, BackendError) and not _may_be_billed(end)
    if is_refused and not text and said is None:
        return None
    num_written = estimate_tokens(text)
    if said is None:
        return Usage(estimate_prompt(request.messages), num_written, is_estimated=True)
    return Usage(
        prompt_tokens=said.prompt_tokens,
        completion_tokens=max(said.completion_tokens, num_written),
        cached_tokens=said.cached_tokens,
        reasoning_tokens=said.reasoning_tokens,
        cache_write_tokens=said.cache_write_tokens,
        is_estimated=True,
    )


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

    One that was refused, by a status or a closed port, was not.
    """
    if isinstance(error, Timeout):
        return error.kind is not DeadlineKind.CONNECT
    return isinstance(error, Interrupted | InvalidResponse)
