"""Muon for the matrices of the blocks, AdamW for embeddings and gains."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inference.lab.train.model import Decoder


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal: all directions learn equally fast.

    After Keller Jordan and others, "Muon", 2024. Matrices of the same shape are taken
    two by two; `pool` spreads the pairs over the cores.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        pool: Executor,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum})
        self.pool = pool

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all matrices in place."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            pairs = [
                same[i : i + 2]
                for same in by_shape.values()
                for i in range(0, len(same), 2)
            ]
            update = partial(self._update, lr=group["lr"], momentum=group["momentum"])
            list(self.pool.map(update, pairs))

    @torch.no_grad()
    def _update(self, parameters: list[Tensor], lr: float, momentum: float) -> None:
        updates = []
        for parameter in parameters:
            state = self.state[parameter]
            buffer = state.setdefault("momentum", torch.zeros_like(parameter))
            buffer.lerp_(parameter.grad, 1 - momentum)
            updates.append(parameter.grad.lerp(buffer, momentum))
        rows, columns = parameters[0].shape
        scale = lr * max(1.0, rows / columns) ** 0.5
        for parameter, update in zip(
            parameters, orthogonal(torch.stack(updates)), strict=True
        ):
            parameter.add_(update.to(parameter.dtype), alpha=-scale)


def orthogonal(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Return matrices with the same directions and singular values near 1.

    Five rounds of Newton and Schulz in bfloat16, with the coefficients of "Muon".
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def build_optimizers(
    model: Decoder, matrix_lr: float, other_lr: float, pool: Executor
) -> list[torch.optim.Optimizer]:
    """Return Muon over the matrices of the blocks and AdamW over the rest."""
    matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(matrices, matrix_lr, pool),
        torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]
