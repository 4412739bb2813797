"""A small decoder of the Llama shape.

RMSNorm, rotary embeddings in interleaved pairs, SwiGLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.lab.train.batches import TO_MARK, TO_OWN, TO_SOURCE

# Heads that are taught where to look, as layer, head, kind (batches.py): first from a
# word to the mark of its sentence, then over its sentence, then from the question to
# the sentence that answers it.
WATCHED = (
    (0, 0, TO_MARK),
    (1, 0, TO_MARK),
    (1, 1, TO_OWN),
    (2, 0, TO_SOURCE),
    (2, 1, TO_SOURCE),
    (3, 0, TO_SOURCE),
)
MOST_GROWTH = 1.6
EMBEDDING_STD = 0.5
GATHERED_GAIN, MATCHING_GAIN = 1.0, 1.4


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network. Widths are multiples of 256, which K-quants need."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 4
    heads: int = 4
    feed_forward: int = 768
    context: int = 2048
    rope_base: float = 10000000.0
    norm_epsilon: float = 1e-5

    @property
    def meaning(self) -> int:
        """How many dimensions hold what a word means at first."""
        return self.width // 2

    @property
    def head_width(self) -> int:
        """The width of one attention head."""
        return self.width // self.heads


class Norm(nn.Module):
    """Root mean square normalisation with a learned gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input, in its own type."""
        return functional.rms_norm(
            x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon
        )


class Block(nn.Module):
    """Attention and feed-forward, each on a normalised copy and added back."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, shape.feed_forward
        self.heads = shape.heads
        self.attention_norm = Norm(width, shape.norm_epsilon)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.feed_norm = Norm(width, shape.norm_epsilon)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    @torch.no_grad()
    def limit_heads(self) -> None:
        """Keep the norms of every head's queries and keys near what they were at first.

        Muon lets them grow: scores reached 160, attention was all or nothing, and
        nothing more was learned about where to look.
        """
        width = self.query_key_value.weight.shape[1]
        size = width // self.heads
        heads = self.query_key_value.weight[: 2 * width].view(-1, size, width)
        norms = heads.norm(dim=(1, 2), keepdim=True)
        heads.mul_((MOST_GROWTH * size**0.5 / norms).clamp(max=1.0))

    def watch(
        self, x: Tensor, rotation: Tensor, mask: Tensor, at: Tensor, head: int
    ) -> Tensor:
        """Return where a head looks, as log probabilities (batch, at, length).

        `at`, (batch, at), are the positions that look. Recomputes what it needs.
        """
        width = x.shape[-1]
        size = width // self.heads
        normed = self.attention_norm(x)
        weight = self.query_key_value.weight
        start = head * size
        q = functional.linear(normed, weight[start : start + size])[:, None]
        start += width
        k = functional.linear(normed, weight[start : start + size])[:, None]
        q, k = rotate(q, rotation)[:, 0], rotate(k, rotation)[:, 0]
        looking = q.gather(1, at[..., None].expand(-1, -1, size))
        seen = mask[:, 0].gather(1, at[..., None].expand(-1, -1, mask.shape[-1]))
        scores = looking @ k.mT / size**0.5 + seen
        return scores.float().log_softmax(-1)

    def forward(self, x: Tensor, rotation: Tensor, mask: Tensor) -> Tensor:
        """Return the input with what attention and feed-forward add to it."""
        batch, length, width = x.shape
        packed = self.query_key_value(self.attention_norm(x))
        q, k, v = packed.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            rotate(q, rotation), rotate(k, rotation), v, attn_mask=mask
        )
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up)


class Decoder(nn.Module):
    """Token ids in, hidden states out; `logits` turns chosen ones into scores."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.out_norm = Norm(shape.width, shape.norm_epsilon)
        self.output = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self._initialise()

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        at: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return hidden states, and where the watched heads look from positions `at`.

        `ids` and `positions` are (batch, length), `mask` is (batch, 1, length, length),
        `at` (batch, kinds, looks).
        """
        x = self.embedding(ids).to(mask.dtype)
        rotation = rotations(positions, self.shape).to(mask.dtype)
        looks = []
        for number, block in enumerate(self.blocks):
            for layer, head, kind in WATCHED:
                if layer == number and at is not None:
                    looks.append(block.watch(x, rotation, mask, at[:, kind], head))
            x = block(x, rotation, mask)
        return self.out_norm(x), looks

    def logits(self, hidden: Tensor) -> Tensor:
        """Return scores over the vocabulary."""
        return cast("Tensor", self.output(hidden))

    @torch.no_grad()
    def adopt(self, meanings: Tensor) -> None:
        """Start as a matcher of words; `meanings` is (vocabulary, shape.meaning).

        The embedding holds what a word means, room for what its sentence means, and,
        by chance, which word it is. The head that is taught to gather a sentence
        writes the mean of its words into that room, and the heads that look from the
        question to the sentence that answers compare what they find there. So they
        begin with what the meanings know, and learn from there.
        """
        size, meaning = self.shape.head_width, self.shape.meaning
        room = slice(meaning, meaning + size)
        self.embedding.weight[:, :meaning] = meanings * EMBEDDING_STD * meaning**0.5
        self.embedding.weight[:, room] = 0.0
        mixing = nn.init.orthogonal_(torch.empty(size, meaning))
        for layer, head, kind in WATCHED:
            block = self.blocks[layer]
            rows = slice(head * size, (head + 1) * size)
            queries, keys, values = (
                part[rows] for part in block.query_key_value.weight.chunk(3)
            )
            if kind == TO_OWN:
                values.zero_()[:, :meaning] = mixing
                out = block.attention_out.weight[:, rows].zero_()
                out[room] = torch.eye(size) * GATHERED_GAIN
            elif kind == TO_SOURCE:
                # the second half of a head turns so slowly that places do not matter
                half = torch.eye(size)[(layer + head) % 2 :: 2] * MATCHING_GAIN
                queries.zero_()[size // 2 :, room] = half
                keys.zero_()[size // 2 :, room] = half

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            # What blocks add is nothing at first: it would drown the embedding.
            is_added = name.endswith(("attention_out.weight", "down.weight"))
            std = 0.0 if is_added else parameter.shape[1] ** -0.5
            if "embedding" in name:
                std = EMBEDDING_STD
            elif name == "output.weight":
                std = 0.02
            nn.init.normal_(parameter, std=std)


def rotations(positions: Tensor, shape: Shape) -> Tensor:
    """Return cosines and sines for positions: (2, batch, 1, length, head_width / 2)."""
    half = torch.arange(0, shape.head_width, 2, device=positions.device).float()
    angles = positions[:, None, :, None].float() * shape.rope_base ** (
        -half / shape.head_width
    )
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn neighbouring pairs of the last dimension by their positions' angles."""
    cosine, sine = rotation[0], rotation[1]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack(
        (even * cosine - odd * sine, even * sine + odd * cosine), dim=-1
    ).flatten(-2)
