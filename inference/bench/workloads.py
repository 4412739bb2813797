"""What is asked: conversations, and in which order their turns come.

Every text has a number of tokens that is known beforehand, see `words.py`. A seed
fixes all texts; another seed makes a system prompt that nobody has cached.
"""

import random
from collections import deque
from dataclasses import dataclass

from inference.bench.words import draw_passages, draw_text
from inference.types import ChatMessage

SYSTEM_TOKENS = 400
QUESTION_TOKENS = 45
ANSWER_TOKENS = 48
LONG_PROMPT_TOKENS = 2000
PIECE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one customer asks, turn after turn, under one system prompt."""

    system: str
    questions: tuple[str, ...]

    def build_messages(self, answers: list[str]) -> tuple[ChatMessage, ...]:
        """Return the prompt of the turn that follows on `answers`."""
        messages = [ChatMessage("system", self.system)]
        for question, answer in zip(self.questions, answers, strict=False):
            messages.append(ChatMessage("user", question))
            messages.append(ChatMessage("assistant", answer))
        messages.append(ChatMessage("user", self.questions[len(answers)]))
        return tuple(messages)


@dataclass(frozen=True, slots=True)
class Workload:
    """Conversations, and by number which of them has the next turn.

    `num_parallel` are answered at once. A turn waits for the one before it of the
    same conversation, and lets others pass meanwhile.
    """

    name: str
    conversations: tuple[Conversation, ...]
    order: tuple[int, ...]
    num_parallel: int
    answer_tokens: int = ANSWER_TOKENS


class Agenda:
    """The turns of a workload that nobody has taken yet. Not for threads as it is."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self._waiting = deque(order)
        self._busy: set[int] = set()

    @property
    def is_empty(self) -> bool:
        """Return whether every turn was taken."""
        return not self._waiting

    def take(self) -> int | None:
        """Return whose turn can begin now; None if all that wait are busy, or none."""
        for number in self._waiting:
            if number not in self._busy:
                self._waiting.remove(number)
                self._busy.add(number)
                return number
        return None

    def finish(self, number: int) -> None:
        """Note that the turn of a conversation is over."""
        self._busy.remove(number)


def build_support(
    seed: int, system_seed: int, num_conversations: int = 16, num_turns: int = 2
) -> Workload:
    """Return conversations at once, with a turn of all before the next turn of any."""
    system = draw_text(random.Random(f"system {system_seed}"), SYSTEM_TOKENS)
    rng = random.Random(f"support {seed}")
    conversations = _draw_conversations(rng, system, num_conversations, num_turns)
    order = tuple(range(num_conversations)) * num_turns
    return Workload("support", conversations, order, num_conversations)


def build_churn(
    seed: int, num_conversations: int = 64, num_turns: int = 4, num_parallel: int = 16
) -> Workload:
    """Return conversations whose turns come in random order."""
    rng = random.Random(f"churn {seed}")
    system = draw_text(rng, SYSTEM_TOKENS)
    conversations = _draw_conversations(rng, system, num_conversations, num_turns)
    order = list(range(num_conversations)) * num_turns
    rng.shuffle(order)
    return Workload("churn", conversations, tuple(order), num_parallel)


def build_turns(seed: int, num_conversations: int, num_turns: int = 10) -> Workload:
    """Return conversations one after another, each with many turns."""
    rng = random.Random(f"turns {seed}")
    system = draw_text(rng, SYSTEM_TOKENS)
    conversations = _draw_conversations(rng, system, num_conversations, num_turns)
    order = [number for number in range(num_conversations) for _ in range(num_turns)]
    return Workload("turns", conversations, tuple(order), 1)


def build_copy(
    seed: int, num_streams: int, answer_tokens: int, copies: bool
) -> Workload:
    """Return questions on the same passages.

    With `copies` half of every answer stands in them, in pieces of PIECE_TOKENS;
    without, they have the same words and no two of an answer in a row.
    """
    rng = random.Random(f"copy {seed}")
    passages = draw_passages(rng, PIECE_TOKENS)
    if not copies:
        passages = draw_text(rng, len(passages.split()))
    conversations = _draw_conversations(rng, passages, num_streams, 1)
    order = tuple(range(num_streams))
    return Workload("copy", conversations, order, num_streams, answer_tokens)


def build_long_prompt(seed: int) -> Conversation:
    """Return a customer who pastes a long text."""
    rng = random.Random(f"long {seed}")
    return Conversation(
        draw_text(rng, QUESTION_TOKENS), (draw_text(rng, LONG_PROMPT_TOKENS),)
    )


def _draw_conversations(
    rng: random.Random, system: str, number: int, num_turns: int
) -> tuple[Conversation, ...]:
    return tuple(
        Conversation(
            system,
            tuple(draw_text(rng, QUESTION_TOKENS) for _ in range(num_turns)),
        )
        for _ in range(number)
    )
