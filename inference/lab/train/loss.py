"""The loss of a batch with shared beginnings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.lab.train.batches import ANSWER, CHOICE, CONTEXT, Rows
from inference.lab.train.model import WATCHED, Decoder

CONTEXT_WEIGHT = 0.1
# The first words of an answer decide which sentence is repeated; left to their share of
# the tokens, a twentieth, copying was learned and choosing was not.
CHOICE_WEIGHT = 0.4
# Two heads are told where to look when an answer begins. Without this hint choosing
# between two sentences was not learned in 2,100 steps.
LOOK_WEIGHT = 1.0
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


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses, as sums or as means.

    Of answers, of the tokens in them that choose a sentence, of a sample of the text
    around.
    """

    answer: float
    choice: float
    context: float
    look: float
    home: float


def count(rows: Rows) -> Losses:
    """Return how many targets of each kind a batch has; at least one."""
    roles = rows.roles
    return Losses(
        answer=max(1.0, float((roles >= ANSWER).sum())),
        choice=max(1.0, float((roles == CHOICE).sum())),
        context=max(1.0, float((roles == CONTEXT).sum()) * CONTEXT_SHARE),
        look=max(1.0, float((rows.spans[..., 2] > 0).sum())) * 3,
        home=max(1.0, float((rows.homes[..., 2] > 0).sum())),
    )


def weighted_loss(
    model: Decoder, rows: Rows, counts: Losses, generator: torch.Generator
) -> tuple[Tensor, Losses]:
    """Return what to minimise on a part of a batch, and the sums of its losses."""
    segments = torch.from_numpy(rows.segments)
    mask = branch_mask(segments, torch.bfloat16)
    roles = torch.from_numpy(rows.roles)
    targets = torch.from_numpy(rows.targets)
    sampled = torch.rand(roles.shape, generator=generator) < CONTEXT_SHARE
    counted = (roles >= ANSWER) | ((roles == CONTEXT) & sampled)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        positions = torch.from_numpy(rows.positions)
        spans = (torch.from_numpy(rows.spans), torch.from_numpy(rows.homes))
        ids = torch.from_numpy(rows.ids)
        at = (spans[0][..., 0], spans[1][..., 0])
        hidden, looks = model(ids, positions, mask, at)
        scores = model.logits(hidden[counted])
    each = functional.cross_entropy(scores.float(), targets[counted], reduction="none")
    kinds = roles[counted]
    answer = each[kinds >= ANSWER].sum()
    choice = each[kinds == CHOICE].sum()
    context = each[kinds == CONTEXT].sum()
    loss = (
        answer / counts.answer
        + CHOICE_WEIGHT * choice / counts.choice
        + CONTEXT_WEIGHT * context / counts.context
    )
    look, home = torch.zeros(()), torch.zeros(())
    for (_, _, kind), where in zip(WATCHED, looks, strict=True):
        if kind:
            home = home + missed(where, spans[1])
        else:
            look = look + missed(where, spans[0])
    loss = loss + LOOK_WEIGHT * (look / counts.look + home / counts.home)
    sums = (answer, choice, context, look, home)
    return loss, Losses(*(one.item() for one in sums))


def missed(look: Tensor, spans: Tensor) -> Tensor:
    """Return the sum of minus the log of the attention that falls into the spans."""
    place = torch.arange(look.shape[-1])
    inside = (place >= spans[..., 1:2]) & (place < spans[..., 2:3])
    hit = look.masked_fill(~inside, -1e9).logsumexp(-1)
    return -hit[spans[..., 2] > 0].sum()
