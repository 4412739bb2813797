"""Tokens and prompt caches of providers that do not exist, counted the same each time.

A token is at most five letters with the space before them. Not what a real tokenizer
makes of a text, but as many as one within a third, and every number can be worked out
by hand.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"\s?[^\s]{1,5}|\s")

# Both round down to blocks; less than the minimum is not cached at all.
IMPLICIT_MIN_TOKENS = 1024
IMPLICIT_BLOCK_TOKENS = 128
MARKED_MIN_TOKENS = 1024
LIFETIME_S = 300.0


def tokenize(text: str) -> tuple[str, ...]:
    """Return the pieces of a text; together they are the text."""
    return tuple(_TOKEN.findall(text))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in tokens; `marks` are the ends of what the client wants cached.

    `last` is the text of its last part.
    """

    tokens: tuple[str, ...]
    marks: tuple[int, ...] = ()
    last: str = ""


def build_prompt(parts: Iterable[tuple[str, str, bool]]) -> Prompt:
    """Return the prompt of (role, text, is marked): one token for a role, then text."""
    tokens: list[str] = []
    marks = []
    text = ""
    for role, text, is_marked in parts:
        tokens += [f"<{role}>", *tokenize(text)]
        if is_marked:
            marks.append(len(tokens))
    return Prompt(tuple(tokens), tuple(marks), text)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a prompt was read: both counts are parts of its tokens."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class ImplicitCache:
    """Keeps prompts by itself, as OpenAI and Gemini do; writing costs nothing extra.

    `scope` is what a cache is never shared across: key and model.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], list[tuple[float, tuple[str, ...]]]] = {}

    def read(self, scope: tuple[str, ...], prompt: Prompt) -> Reading:
        """Return what was known of a prompt, and know it from now on."""
        now_s = self._clock()
        with self._lock:
            kept = [
                (until_s, tokens)
                for until_s, tokens in self._kept.get(scope, [])
                if until_s > now_s
            ]
            common = max((_count_common(prompt.tokens, t) for _, t in kept), default=0)
            self._kept[scope] = [*kept[-99:], (now_s + LIFETIME_S, prompt.tokens)]
        cached = common // IMPLICIT_BLOCK_TOKENS * IMPLICIT_BLOCK_TOKENS
        return Reading(cached if cached >= IMPLICIT_MIN_TOKENS else 0)


class MarkedCache:
    """Keeps what the client marks, as Anthropic does; writing is counted.

    Read is the longest beginning that ends at a mark and was written before; written is
    what lies between it and the last mark.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until_s: dict[tuple[tuple[str, ...], tuple[str, ...]], float] = {}

    def read(self, scope: tuple[str, ...], prompt: Prompt) -> Reading:
        """Return what was known of a prompt and what is written of it now."""
        marks = [mark for mark in prompt.marks if mark >= MARKED_MIN_TOKENS]
        if not marks:
            return Reading()
        now_s = self._clock()
        with self._lock:
            known = [m for m in marks if self._is_known(scope, prompt, m, now_s)]
            for mark in marks:
                self._until_s[scope, prompt.tokens[:mark]] = now_s + LIFETIME_S
        cached = max(known, default=0)
        return Reading(cached, max(marks) - cached)

    def _is_known(
        self, scope: tuple[str, ...], prompt: Prompt, mark: int, now_s: float
    ) -> bool:
        return self._until_s.get((scope, prompt.tokens[:mark]), 0.0) > now_s


def _count_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many tokens two prompts begin with in common."""
    num = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        num += 1
    return num


@dataclass(frozen=True, slots=True)
class Reply:
    """What will be written: the pieces, why they end, and what was thought before."""

    pieces: tuple[str, ...]
    reason: str  # "stop", "stop_sequence" or "length"
    reasoning_tokens: int = 0
    stop_sequence: str | None = None


def build_reply(
    text: str, max_tokens: int, stops: Sequence[str] = (), reasoning_tokens: int = 0
) -> Reply:
    """Return a text cut as a model would be: at a stop string, at the token limit.

    Thoughts count first, and may leave nothing for the answer.
    """
    found = [(text.find(stop), stop) for stop in stops if stop in text]
    at, stop_sequence = min(found, default=(len(text), None))
    pieces = tokenize(text[:at])
    reasoning_tokens = min(reasoning_tokens, max_tokens)
    room = max_tokens - reasoning_tokens
    if len(pieces) > room:
        return Reply(pieces[:room], "length", reasoning_tokens)
    reason = "stop" if stop_sequence is None else "stop_sequence"
    return Reply(pieces, reason, reasoning_tokens, stop_sequence)
