"""How good the choices on held-out questions are while a model is in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Tokenizer

from inference.engine.marks import MARKS
from inference.lab.train.batches import CHOICE, BatchWriter, Rows, split
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.loss import branch_mask
from inference.lab.train.model import Decoder
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.topics import load_topics

if TYPE_CHECKING:
    from inference.lab.train.run import Run

NUM_TOKENS = 40_000
SEED = 99


@dataclass(frozen=True, slots=True)
class Result:
    """Shares of right first tokens of answers, from 0 to 1."""

    chosen: float
    refused: float
    small_talk: float


class Exam:
    """Always the same dialogues, in wordings and with names that training never shows.

    Only the first token of an answer counts: a mark, the first word of the refusal or
    that of a small talk's answer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        talk = load_small_talk()
        writer = BatchWriter(
            DialogueWriter(load_topics(), talk, "held_out"), tokenizer, SEED
        )
        self.rows = writer.write(0, 1.0, NUM_TOKENS)
        self.refusal = tokenizer.encode(talk.refusal, add_special_tokens=False).ids[0]
        self.marks = {
            tokenizer.encode(f"{mark})", add_special_tokens=False).ids[0]
            for mark in MARKS
        }

    def take(self, run: Run) -> Result:
        """Return how a run's model does."""
        parts = split(self.rows, 1)
        hits = list(run.gradients.pool.map(lambda part: _hits(run.model, part), parts))
        right = np.concatenate([hit for hit, _ in hits])
        targets = np.concatenate([target for _, target in hits])
        is_mark = np.isin(targets, list(self.marks))
        is_refusal = targets == self.refusal
        is_talk = ~is_mark & ~is_refusal
        return Result(*(float(right[k].mean()) for k in (is_mark, is_refusal, is_talk)))


def _hits(model: Decoder, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return which choices the model gets right, and their tokens."""
    chosen = torch.from_numpy(rows.roles == CHOICE)
    mask = branch_mask(torch.from_numpy(rows.segments), torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        ids, positions = torch.from_numpy(rows.ids), torch.from_numpy(rows.positions)
        hidden, _ = model(ids, positions, mask)
        best = model.logits(hidden[chosen]).argmax(-1)
    targets = rows.targets[rows.roles == CHOICE]
    return best.numpy() == targets, targets
