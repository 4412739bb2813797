"""The loss of a batch with shared beginnings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.lab.train.batches import (
    ANSWER,
    CHOICE,
    CONTEXT,
    NUM_KINDS,
    TO_MARK,
    TO_OWN,
    TO_SOURCE,
    Rows,
)
from inference.lab.train.model import WATCHED, Decoder

CONTEXT_WEIGHT = 0.1
# The first token of an answer decides which sentence is repeated; left to its share of
# the tokens, copying was learned and choosing was not.
CHOICE_WEIGHT = 1.0
# Some heads are told where to look when an answer begins. Without this hint choosing
# between two sentences was not learned in 2,100 steps.
LOOK_WEIGHT = 1.0
# The text around is learned from a part of its tokens: scores over the vocabulary
# are a fifth of the work.
CONTEXT_SHARE = 0.15


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
    source: float
    mark: float
    own: float


def count(rows: Rows) -> Losses:
    """Return how many targets of each kind a batch has; at least one."""
    roles = rows.roles
    return Losses(
        answer=max(1.0, float((roles >= ANSWER).sum())),
        choice=max(1.0, float((roles == CHOICE).sum())),
        context=max(1.0, float((roles == CONTEXT).sum()) * CONTEXT_SHARE),
        source=_num_looks(rows, TO_SOURCE),
        mark=_num_looks(rows, TO_MARK),
        own=_num_looks(rows, TO_OWN),
    )


def _num_looks(rows: Rows, kind: int) -> float:
    """Return how many looks of a kind there are, each by all heads of that kind."""
    num_heads = sum(watched == kind for _, _, watched in WATCHED)
    return max(1.0, float((rows.looks[:, kind, :, 2] > 0).sum() * num_heads))


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
        spans = torch.from_numpy(rows.looks)
        ids = torch.from_numpy(rows.ids)
        hidden, looks = model(ids, positions, mask, spans[..., 0])
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
    looked = [torch.zeros(()) for _ in range(NUM_KINDS)]
    for (_, _, kind), where in zip(WATCHED, looks, strict=True):
        lost = spread if kind == TO_OWN else missed
        looked[kind] = looked[kind] + lost(where, spans[:, kind])
    wanted = (counts.source, counts.mark, counts.own)
    for one, number in zip(looked, wanted, strict=True):
        loss = loss + LOOK_WEIGHT * one / number
    sums = (answer, choice, context, *looked)
    return loss, Losses(*(one.item() for one in sums))


def missed(look: Tensor, spans: Tensor) -> Tensor:
    """Return the sum of minus the log of the attention that falls into the spans."""
    hit = look.masked_fill(~_inside(look, spans), -1e9).logsumexp(-1)
    return -hit[spans[..., 2] > 0].sum()


def spread(look: Tensor, spans: Tensor) -> Tensor:
    """Return how far the attention is from an equal share for all of a span.

    The sum of the divergences; 0 if all positions of the spans get the same.
    """
    inside = _inside(look, spans)
    size = inside.sum(-1).clamp(min=1)
    mean = look.masked_fill(~inside, 0.0).sum(-1) / size
    return -(mean + size.log())[spans[..., 2] > 0].sum()


def _inside(look: Tensor, spans: Tensor) -> Tensor:
    place = torch.arange(look.shape[-1])
    return (place >= spans[..., 1:2]) & (place < spans[..., 2:3])
