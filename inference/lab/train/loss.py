"""The loss of a batch with shared beginnings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inference.lab.train.batches import ANSWER, CONTEXT, Rows
from inference.lab.train.model import Decoder

CONTEXT_WEIGHT = 0.1
# The text around is learned from a quarter of its tokens: scores over the vocabulary
# are a fifth of the work.
CONTEXT_SHARE = 0.25


def branch_mask(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the additive attention mask, (batch, 1, length, length).

    A token sees the beginning and its own branch, never later tokens or another branch.
    """
    seen = segments[:, None, :]
    seeing = segments[:, :, None]
    causal = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    allowed = causal & ((seen == 0) | (seen == seeing))
    mask = torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, float("-inf"))
    return mask[:, None]


def summed_losses(
    model: Decoder, rows: Rows, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the summed losses of the answers and of a sample of the text around."""
    segments = torch.from_numpy(rows.segments)
    mask = branch_mask(segments, torch.bfloat16)
    roles = torch.from_numpy(rows.roles)
    targets = torch.from_numpy(rows.targets)
    sampled = torch.rand(roles.shape, generator=generator) < CONTEXT_SHARE
    counted = (roles == ANSWER) | ((roles == CONTEXT) & sampled)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model(
            torch.from_numpy(rows.ids), torch.from_numpy(rows.positions), mask
        )
        scores = model.logits(hidden[counted])
    each = functional.cross_entropy(scores.float(), targets[counted], reduction="none")
    in_answer = roles[counted] == ANSWER
    return each[in_answer].sum(), each[~in_answer].sum()
