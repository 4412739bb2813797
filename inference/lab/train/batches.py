"""Rows of token ids: one block, then its questions, each blind to the others."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.prompt_form import answer_text, opening, question_text

PADDING = -1
# What a target counts as: nothing, part of the text around, part of an answer.
NOTHING, CONTEXT, ANSWER = 0, 1, 2

# The tokens of a row, by difficulty: (difficulty up to, length).
# Short at first: a row copies one sentence again and again, and a step needs many
# different ones.
ROW_LENGTHS = ((0.1, 160), (0.3, 256), (0.65, 448), (1.0, 576))
LONG_ROW = 1024
LONG_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch. All arrays are (rows, length).

    `segments` is 0 in the shared beginning, 1, 2, ... in the branches, -1 in the
    padding; `positions` continue from the beginning in every branch; `targets` are the
    next tokens, `roles` say how they count.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    segments: NDArray[np.int64]
    targets: NDArray[np.int64]
    roles: NDArray[np.int64]


@dataclass(slots=True)
class Row:
    """One row while it is filled."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    targets: list[int]
    roles: list[int]


def pack(
    beginning: list[int], branches: list[tuple[list[int], list[int]]], length: int
) -> Row | None:
    """Return a row of at most `length` tokens, or None if not even one branch fits.

    A branch is a pair of question and answer. The last token of the beginning has no
    target: what follows depends on the branch, and all start with the same tokens.
    """
    size = len(beginning)
    row = Row(
        list(beginning),
        list(range(size)),
        [0] * size,
        [*beginning[1:], 0],
        [CONTEXT] * (size - 1) + [NOTHING],
    )
    for number, (question, answer) in enumerate(branches, start=1):
        tokens = question + answer
        if len(row.ids) + len(tokens) > length:
            continue
        row.ids += tokens
        row.positions += range(size, size + len(tokens))
        row.segments += [number] * len(tokens)
        row.targets += [*tokens[1:], 0]
        row.roles += (
            [CONTEXT] * (len(question) - 1) + [ANSWER] * len(answer) + [NOTHING]
        )
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
    )


def split(rows: Rows, size: int) -> list[Rows]:
    """Return the batch in parts of at most `size` rows."""
    parts = []
    for start in range(0, len(rows.ids), size):
        arrays = {
            name: getattr(rows, name)[start : start + size] for name in Rows.__slots__
        }
        parts.append(Rows(**arrays))
    return parts


class BatchWriter:
    """Writes the batch of a step, always the same for a step, seed and difficulty."""

    def __init__(self, writer: DialogueWriter, tokenizer: Tokenizer, seed: int) -> None:
        self.writer = writer
        self.tokenizer = tokenizer
        self.seed = seed

    def write(self, step: int, difficulty: float, tokens: int) -> Rows:
        """Return about `tokens` tokens in rows that are longer the harder they are."""
        rng = random.Random(f"{self.seed}/{step}")
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
        block = self.writer.write(rng, difficulty, num_branches=7)
        texts = [opening(block)]
        for branch in block.branches:
            texts += [question_text(branch), answer_text(branch)]
        encoded = [
            e.ids for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)
        ]
        pairs = list(zip(encoded[1::2], encoded[2::2], strict=True))
        return pack(encoded[0], pairs, length)
