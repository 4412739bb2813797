"""Rows of token ids: one block, then its questions, each blind to the others."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from inference.lab.train.blocks import Block, Branch
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.prompt_form import answer_text, opening, question_text

PADDING = -1
# What a target counts as: nothing, part of the text around, part of an answer, and the
# part of an answer that decides which sentence is repeated.
NOTHING, CONTEXT, ANSWER, CHOICE = 0, 1, 2, 3
NUM_CHOICE_TOKENS = 2

# Copying is learned long before choosing: from then on many answers end after the
# choice, which makes room for more questions.
COPYING_UNTIL = 0.28
CUT_SHARE = 0.35
NUM_CUT_TOKENS = 5

# A position, and from where to where it should look.
Look = tuple[int, int, int]
NUM_SPANS = 60
# How many tokens stand before and after the words of a question.
QUESTION_START, QUESTION_END = 4, 5
# Where to look when no sentence answers: the first tokens of the row.
NOWHERE = (0, 2)

# The tokens of a row, by difficulty: (difficulty up to, length). Short at first: a row
# copies one sentence again and again, and a step needs many different ones.
ROW_LENGTHS = ((0.1, 160), (0.3, 256), (0.65, 448), (1.0, 576))
LONG_ROW = 1024
LONG_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch. All arrays are (rows, length).

    `segments` is 0 in the shared beginning, 1, 2, ... in the branches, -1 in the
    padding; `positions` continue from the beginning in every branch; `targets` are the
    next tokens, `roles` say how they count. `spans` and `homes`, (rows, NUM_SPANS, 3),
    say where a question should look, at the sentence that answers it, and a word of a
    sentence, at its start; zeros fill the rest.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    segments: NDArray[np.int64]
    targets: NDArray[np.int64]
    roles: NDArray[np.int64]
    spans: NDArray[np.int64]
    homes: NDArray[np.int64]


@dataclass(slots=True)
class Row:
    """One row while it is filled."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    targets: list[int]
    roles: list[int]
    spans: list[Look] = field(default_factory=list)
    homes: list[Look] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a question and its answer.

    The answer starts with `num_lead` tokens of lead-in; `source` is where the sentence
    that it repeats stands in the beginning, from and to, if it repeats one.
    """

    question: list[int]
    answer: list[int]
    num_lead: int = 0
    source: tuple[int, int] | None = None

    @property
    def looking(self) -> list[int]:
        """The tokens that should look at the source: some of the question, the last."""
        words = range(QUESTION_START, len(self.question) - QUESTION_END)
        last = len(self.question) - 1 + self.num_lead
        return [*words[:: max(1, len(words) // 4)], last]

    @property
    def roles(self) -> list[int]:
        """How the targets count; the last token of the answer has none."""
        answer = [ANSWER] * len(self.answer)
        for start in {0, self.num_lead}:
            answer[start : start + NUM_CHOICE_TOKENS] = [CHOICE] * NUM_CHOICE_TOKENS
        return [CONTEXT] * (len(self.question) - 1) + answer + [NOTHING]


def pack(beginning: list[int], branches: list[Tokens], length: int) -> Row | None:
    """Return a row of at most `length` tokens, or None if not even one branch fits.

    The last token of the beginning has no target: what follows depends on the branch,
    and all start with the same tokens.
    """
    size = len(beginning)
    row = Row(
        list(beginning),
        list(range(size)),
        [0] * size,
        [*beginning[1:], 0],
        [CONTEXT] * (size - 1) + [NOTHING],
    )
    for number, branch in enumerate(branches, start=1):
        tokens = branch.question + branch.answer
        if len(row.ids) + len(tokens) > length:
            continue
        row.ids += tokens
        row.positions += range(size, size + len(tokens))
        row.segments += [number] * len(tokens)
        row.targets += [*tokens[1:], 0]
        row.roles += branch.roles
        if branch.source:
            start = len(row.ids) - len(tokens)
            row.spans += [(start + at, *branch.source) for at in branch.looking]
    return row if len(row.ids) > size else None


def stack(rows: list[Row], length: int) -> Rows:
    """Return rows as arrays, padded to `length`."""

    def array(name: str, padding: int) -> NDArray[np.int64]:
        lists = [getattr(row, name) for row in rows]
        return np.array(
            [items + [padding] * (length - len(items)) for items in lists],
            dtype=np.int64,
        )

    return Rows(
        array("ids", 0),
        array("positions", 0),
        array("segments", PADDING),
        array("targets", 0),
        array("roles", NOTHING),
        _looks([row.spans for row in rows]),
        _looks([row.homes for row in rows]),
    )


def _looks(rows: list[list[Look]]) -> NDArray[np.int64]:
    filled = [(looks + [(0, 0, 0)] * NUM_SPANS)[:NUM_SPANS] for looks in rows]
    return np.array(filled, dtype=np.int64)


def split(rows: Rows, size: int) -> list[Rows]:
    """Return the batch in parts of at most `size` rows."""
    parts = []
    for start in range(0, len(rows.ids), size):
        arrays = {
            name: getattr(rows, name)[start : start + size] for name in Rows.__slots__
        }
        parts.append(Rows(**arrays))
    return parts


def _homes(
    block: Block, text: str, offsets: list[tuple[int, int]], rng: random.Random
) -> list[Look]:
    """Return some words of the first sentence of every fact, with where it begins."""
    homes: list[Look] = []
    for statement in (s for p in block.passages for s in p.statements):
        start = text.rfind(statement.text)
        end = start + len(statement.text.split(". ")[0])
        inside = [i for i, (a, b) in enumerate(offsets) if b > start and a < end]
        for at in rng.sample(inside, min(4, len(inside))):
            homes.append((at, inside[0], inside[0] + 1))
    return homes


class BatchWriter:
    """Writes the batch of a step, always the same for a step, seed and difficulty."""

    def __init__(self, writer: DialogueWriter, tokenizer: Tokenizer, seed: int) -> None:
        self.writer = writer
        self.tokenizer = tokenizer
        self.seed = seed
        self.cut_share = CUT_SHARE

    def write(self, step: int, difficulty: float, tokens: int) -> Rows:
        """Return about `tokens` tokens in rows that are longer the harder they are."""
        rng = random.Random(f"{self.seed}/{step}")
        self.cut_share = 0.0 if difficulty < COPYING_UNTIL else CUT_SHARE
        length = next(size for limit, size in ROW_LENGTHS if difficulty <= limit)
        if rng.random() < LONG_SHARE * difficulty:
            length = LONG_ROW
        rows: list[Row] = []
        while len(rows) < max(1, tokens // length):
            row = self._row(rng, difficulty, length)
            if row:
                rows.append(row)
        return stack(rows, length)

    def _row(self, rng: random.Random, difficulty: float, length: int) -> Row | None:
        block = self.writer.write(rng, difficulty, num_branches=9)
        text = opening(block)
        beginning = self.tokenizer.encode(text, add_special_tokens=False)
        branches = [
            self._tokens(branch, text, beginning.offsets, rng)
            for branch in block.branches
        ]
        row = pack(list(beginning.ids), branches, length)
        if row:
            row.homes = _homes(block, text, beginning.offsets, rng)
        return row

    def _tokens(
        self,
        branch: Branch,
        text: str,
        offsets: list[tuple[int, int]],
        rng: random.Random,
    ) -> Tokens:
        """Return a branch as tokens; many answers are cut after their choice."""
        answer = self._encode(answer_text(branch))
        num_lead = len(self._encode(branch.lead))
        if rng.random() < self.cut_share:
            answer = answer[: num_lead + NUM_CUT_TOKENS]
        source = None if branch.right_text else NOWHERE
        start = text.rfind(branch.right_text) if branch.right_text else -1
        if start >= 0:
            end = start + len(branch.right_text)
            inside = [i for i, (a, b) in enumerate(offsets) if b > start and a < end]
            source = (inside[0], inside[-1] + 1)
        question = self._encode(question_text(branch))
        return Tokens(question, answer, num_lead, source)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)
