"""Rows of token ids: one block, then its questions, each blind to the others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from inference.engine.marks import AFTER_MARK, MARKS
from inference.lab.train.blocks import Block, Branch
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.prompt_form import answer_text, opening, question_text

PADDING = -1
# What a target counts as: nothing, part of the text around, part of an answer, and the
# token of an answer that decides what it says: a mark, or the first word of others.
NOTHING, CONTEXT, ANSWER, CHOICE = 0, 1, 2, 3

# Copying is learned long before choosing: from then on many answers end after the
# mark, which makes room for more questions.
COPYING_UNTIL = 0.2
CUT_SHARE = 0.65
NUM_CUT_TOKENS = 3
NUM_BRANCHES = 14

# A position, and from where to where it should look; and what for: a question at the
# sentence that answers it, a word at the mark of its sentence, a word at the sentence
# or question so far, all of it, to gather what it is about.
Look = tuple[int, int, int]
TO_SOURCE, TO_MARK, TO_OWN = 0, 1, 2
NUM_KINDS = 3
NUM_LOOKS = 90
Offsets = list[tuple[int, int]]
# How many tokens stand before and after the words of a question; where its mark is.
QUESTION_START, QUESTION_END = 4, 5
QUESTION_MARK = 2
# Where to look when no sentence answers: the first tokens of the row.
NOWHERE = (0, 2)

# The tokens of a row, by difficulty: (difficulty up to, length). Short at first: a row
# copies one sentence again and again, and a step needs many different ones.
ROW_LENGTHS = ((0.1, 160), (0.3, 256), (0.65, 384), (1.0, 512))
LONG_ROW = 1024
LONG_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch. All arrays are (rows, length).

    `segments` is 0 in the shared beginning, 1, 2, ... in the branches, -1 in the
    padding; `positions` continue from the beginning in every branch; `targets` are the
    next tokens, `roles` say how they count. `looks`, (rows, NUM_KINDS, NUM_LOOKS, 3),
    say what should look where; zeros fill the rest.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    segments: NDArray[np.int64]
    targets: NDArray[np.int64]
    roles: NDArray[np.int64]
    looks: NDArray[np.int64]


@dataclass(slots=True)
class Row:
    """One row while it is filled."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    targets: list[int]
    roles: list[int]
    looks: tuple[list[Look], ...] = field(
        default_factory=lambda: tuple([] for _ in range(NUM_KINDS))
    )

    def teach_words(self, words: Sequence[int], mark: int, end: int) -> None:
        """Tell words of a sentence or question where it begins and what it holds.

        Its own words are those behind the mark and another token, up to `end`.
        """
        start = mark + 2
        for at in words:
            self.looks[TO_MARK].append((at, mark, mark + 1))
            if at > start:
                self.looks[TO_OWN].append((at, start, min(at, end)))


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a question and its answer.

    `source` is where the sentence that it repeats stands in the beginning, from and
    to, if it repeats one.
    """

    question: list[int]
    answer: list[int]
    source: tuple[int, int] | None = None

    @property
    def looking(self) -> list[int]:
        """The tokens that should look at the source: some of the question, the last."""
        words = range(QUESTION_START, len(self.question) - QUESTION_END)
        return [*words[:: max(1, len(words) // 4)], len(self.question) - 1]

    @property
    def roles(self) -> list[int]:
        """How the targets count; the last token of the answer has none."""
        answer = [CHOICE] + [ANSWER] * (len(self.answer) - 1)
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
        start = len(row.ids) - len(tokens)
        looking = [start + at for at in branch.looking]
        if branch.source:
            row.looks[TO_SOURCE].extend((at, *branch.source) for at in looking)
        end = start + len(branch.question) - QUESTION_END
        row.teach_words(looking, start + QUESTION_MARK, end)
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
        np.array([[_filled(looks) for looks in row.looks] for row in rows]),
    )


def _filled(looks: list[Look]) -> list[Look]:
    return (looks + [(0, 0, 0)] * NUM_LOOKS)[:NUM_LOOKS]


def split(rows: Rows, size: int) -> list[Rows]:
    """Return the batch in parts of at most `size` rows."""
    parts = []
    for start in range(0, len(rows.ids), size):
        arrays = {
            name: getattr(rows, name)[start : start + size] for name in Rows.__slots__
        }
        parts.append(Rows(**arrays))
    return parts


def _teach_sentences(
    row: Row, block: Block, text: str, offsets: Offsets, rng: random.Random
) -> None:
    """Tell some words of every sentence, and its end, where they belong."""
    end = 0
    for mark, sentence in zip(MARKS, block.sentences, strict=False):
        line = f"\n{mark}{AFTER_MARK} {sentence}"
        start = text.index(line, end) + 1
        end = start + len(line) - 1
        first, *words = _tokens_in(offsets, start, end)
        chosen = rng.sample(words[1:-1], min(4, len(words) - 2))
        row.teach_words([*chosen, words[-1]], first, words[-1])


def _tokens_in(offsets: Offsets, start: int, end: int) -> list[int]:
    """Return the tokens that hold any of the characters from `start` to `end`."""
    return [i for i, (a, b) in enumerate(offsets) if b > start and a < end]


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
        block = self.writer.write(rng, difficulty, num_branches=NUM_BRANCHES)
        text = opening(block)
        beginning = self.tokenizer.encode(text, add_special_tokens=False)
        branches = [
            self._tokens(block, branch, text, beginning.offsets, rng)
            for branch in block.branches
        ]
        row = pack(list(beginning.ids), branches, length)
        if row:
            _teach_sentences(row, block, text, beginning.offsets, rng)
        return row

    def _tokens(
        self,
        block: Block,
        branch: Branch,
        text: str,
        offsets: Offsets,
        rng: random.Random,
    ) -> Tokens:
        """Return a branch as tokens; many answers are cut after their mark."""
        answer = self._encode(answer_text(block, branch))
        if branch.quoted and rng.random() < self.cut_share:
            answer = answer[:NUM_CUT_TOKENS]
        source = NOWHERE
        if branch.quoted:
            start = text.rindex(branch.quoted[0])
            inside = _tokens_in(offsets, start, start + len(branch.quoted[0]))
            source = (inside[0], inside[-1] + 1)
        return Tokens(self._encode(question_text(branch)), answer, source)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)
