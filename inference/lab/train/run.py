"""The state of a training run: one step of it, and its checkpoint."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from inference.lab.train.batches import Rows
from inference.lab.train.curriculum import Curriculum, learning_rate_factor
from inference.lab.train.loss import Losses
from inference.lab.train.model import Decoder, Shape
from inference.lab.train.optimizers import build_optimizers
from inference.lab.train.parallel import GradientPool

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is given: its folder, its time, its sizes."""

    folder: Path
    minutes: float = 100.0
    tokens_per_step: int = 4096
    matrix_lr: float = 0.004
    other_lr: float = 0.002
    threads: int = 2
    seed: int = 1
    checkpoint_s: float = 180.0
    exam_s: float = 240.0
    log_every: int = 20


class Run:
    """A run and its state; `save` and `resume` make it survive an interruption."""

    def __init__(self, plan: Plan, shape: Shape) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.shape = shape
        self.model = Decoder(shape)
        self.gradients = GradientPool(self.model, plan.threads)
        self.optimizers = build_optimizers(
            self.model, plan.matrix_lr, plan.other_lr, self.gradients.pool
        )
        self.curriculum = Curriculum()
        self.step = 0
        self.tokens = 0
        self.spent_s = 0.0

    @property
    def progress(self) -> float:
        """The share of the planned time that is used up."""
        return min(1.0, self.spent_s / (self.plan.minutes * 60))

    def train_step(self, rows: Rows) -> Losses:
        """Learn from one batch; return its mean losses."""
        factor = learning_rate_factor(self.step, self.progress)
        peaks = (self.plan.matrix_lr, self.plan.other_lr)
        for optimizer, peak in zip(self.optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * factor
        losses = self.gradients.accumulate(rows, self.step)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        for block in self.model.blocks:
            block.limit_heads()
        self.curriculum.observe(losses.answer, losses.choice)
        self.step += 1
        self.tokens += int((rows.segments >= 0).sum())
        return losses

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        state = {
            "model": self.model.state_dict(),
            "shape": asdict(self.shape),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "curriculum": asdict(self.curriculum),
            "step": self.step,
            "tokens": self.tokens,
            "spent_s": self.spent_s,
        }
        target = self.plan.folder / CHECKPOINT
        partial = target.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, target)

    def resume(self) -> bool:
        """Continue from the checkpoint of the folder; return whether there was one."""
        path = self.plan.folder / CHECKPOINT
        if not path.exists():
            return False
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.curriculum = Curriculum(**state["curriculum"])
        self.step, self.tokens = state["step"], state["tokens"]
        self.spent_s = state["spent_s"]
        return True
