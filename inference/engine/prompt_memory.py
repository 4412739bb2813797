"""Guesses how many tokens a prompt has, and how many of them the engine still knows.

The host has no tokenizer and does not see the cache. It remembers, as hashes, which
texts it has sent lately, block by block from the beginning, and learns from each
completion how many characters a token has and how good the guess was.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from inference.engine.step_times import RunningMean
from inference.types import CompletionRequest, Usage

_BLOCK = 64  # characters
# What a small vocabulary needs for English, before anything is known.
_TOKENS_PER_CHARACTER = 0.3
# A guess at what is left to compute is believed to be wrong by this factor at most.
_MOST_WRONG = 3.0


@dataclass(frozen=True, slots=True)
class PromptSize:
    """A guess: the tokens of a prompt, and those that have to be computed."""

    num_characters: int
    num_left_characters: int
    num_left: float


class PromptMemory:
    """What was read lately. `num_cells` is how many tokens the cache can hold."""

    def __init__(self, num_cells: int) -> None:
        self._num_cells = num_cells
        self._known: OrderedDict[int, None] = OrderedDict()
        self._tokens_per_character = RunningMean()
        self._correction = RunningMean()

    def size_up(self, text: str) -> PromptSize:
        """Return how large a prompt is; nothing is remembered of it."""
        num_known = 0
        for block in _hash_blocks(text):
            if block not in self._known:
                break
            num_known += 1
        num_left = len(text) - min(num_known * _BLOCK, len(text))
        rate = self._tokens_per_character.value or _TOKENS_PER_CHARACTER
        correction = self._correction.value or 1.0
        return PromptSize(len(text), num_left, max(num_left * rate * correction, 1.0))

    def remember(self, text: str) -> None:
        """Note that the engine reads a prompt, or goes on with it."""
        # the beginning last: it is what others share, as in the cache
        for block in reversed([*_hash_blocks(text)]):
            self._known[block] = None
            self._known.move_to_end(block)
        rate = self._tokens_per_character.value or _TOKENS_PER_CHARACTER
        max_blocks = int(self._num_cells / rate / _BLOCK) + 1
        while len(self._known) > max_blocks:
            self._known.popitem(last=False)

    def learn(self, size: PromptSize, usage: Usage) -> None:
        """Compare a guess with what was computed."""
        if not size.num_characters or not usage.prompt_tokens:
            return
        self._tokens_per_character.add(usage.prompt_tokens / size.num_characters)
        guess = size.num_left_characters * self._tokens_per_character.value
        left = usage.prompt_tokens - usage.cached_tokens
        ratio = left / max(guess, 1.0)
        self._correction.add(min(max(ratio, 1 / _MOST_WRONG), _MOST_WRONG))

    def forget(self) -> None:
        """Know of no prompt any more: the cache is gone."""
        self._known.clear()


def render(request: CompletionRequest) -> str:
    """Return a text that begins alike for prompts that do."""
    parts = (f"{message.role}\n{message.content}\n" for message in request.messages)
    return "".join(parts)


def _hash_blocks(text: str) -> Iterator[int]:
    """Yield for each full block what tells it apart with all that stands before it."""
    number = 0
    for start in range(0, len(text) - _BLOCK + 1, _BLOCK):
        number = hash((number, text[start : start + _BLOCK]))
        yield number
