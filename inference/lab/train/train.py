"""The training run: batches from a worker process, one step after the other, a checkpoint every few minutes."""

from __future__ import annotations

import os
import time
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from inference.lab.train.batches import BatchWriter, Rows
from inference.lab.train.curriculum import Curriculum, learning_rate_factor, tokens_per_step
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.model import Decoder, Shape
from inference.lab.train.optimizers import build_optimizers
from inference.lab.train.parallel import GradientPool
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.tokenizer import load_tokenizer
from inference.lab.train.topics import load_topics

CHECKPOINT = "checkpoint.pt"
PREFETCH = 4
_writer: BatchWriter | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is given: its folder, its time, its sizes."""

    folder: Path
    minutes: float = 100.0
    tokens_per_step: int = 4096
    matrix_lr: float = 0.02
    other_lr: float = 0.003
    threads: int = 2
    seed: int = 1
    checkpoint_s: float = 180.0
    log_every: int = 20


class Run:
    """A training run and its state; `save` and `resume` make it survive an interruption."""

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

    def train_step(self, rows: Rows) -> tuple[float, float]:
        """Learn from one batch; return the losses of the answers and of the text around."""
        factor = learning_rate_factor(self.step, self.progress)
        peaks = (self.plan.matrix_lr, self.plan.other_lr)
        for optimizer, peak in zip(self.optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * factor
        answer, context = self.gradients.accumulate(rows, self.step)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.curriculum.observe(answer)
        self.step += 1
        self.tokens += int((rows.segments >= 0).sum())
        return answer, context

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


def train(plan: Plan, shape: Shape) -> None:
    """Train until the time of the plan is used up, continuing from a checkpoint if there is one."""
    run = Run(plan, shape)
    if run.resume():
        print(f"resuming at step {run.step}, difficulty {run.curriculum.difficulty:.2f}", flush=True)
    sizes = sum(p.numel() for p in run.model.parameters())
    print(f"{sizes / 1e6:.2f} M parameters, {plan.minutes:.0f} minutes", flush=True)
    saved = reported = time.monotonic()
    reported_tokens = run.tokens
    with ProcessPoolExecutor(1, initializer=_start_worker, initargs=(plan,)) as pool:
        batches = _Prefetch(pool, run)
        while run.progress < 1.0:
            started = time.monotonic()
            answer, context = run.train_step(batches.next())
            now = time.monotonic()
            run.spent_s += now - started
            if run.step % plan.log_every == 0:
                speed = (run.tokens - reported_tokens) / (now - reported)
                _report(run, answer, context, speed)
                reported, reported_tokens = now, run.tokens
            if now - saved > plan.checkpoint_s:
                run.save()
                saved = now
    run.save()


class _Prefetch:
    """Batches of the next steps, written by the worker while the current one is learned."""

    def __init__(self, pool: ProcessPoolExecutor, run: Run) -> None:
        self.pool, self.run = pool, run
        self.asked = run.step
        self.futures: deque[Future[Rows]] = deque()

    def next(self) -> Rows:
        """Return the batch of the current step."""
        while len(self.futures) < PREFETCH:
            difficulty = self.run.curriculum.difficulty
            tokens = tokens_per_step(difficulty, self.run.plan.tokens_per_step)
            self.futures.append(self.pool.submit(_write_batch, self.asked, difficulty, tokens))
            self.asked += 1
        return self.futures.popleft().result()


def _start_worker(plan: Plan) -> None:
    global _writer  # noqa: PLW0603 - the worker process has one writer for its life
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    writer = DialogueWriter(load_topics(), load_small_talk())
    _writer = BatchWriter(writer, load_tokenizer(plan.folder / "tokenizer.json"), plan.seed)


def _write_batch(step: int, difficulty: float, tokens: int) -> Rows:
    if _writer is None:
        raise RuntimeError("the worker was not started with a plan")
    return _writer.write(step, difficulty, tokens)


def _report(run: Run, answer: float, context: float, speed: float) -> None:
    left_s = run.plan.minutes * 60 - run.spent_s
    print(
        f"step {run.step:5d}  tokens {run.tokens / 1e6:6.2f} M  answer loss {run.curriculum.smoothed_loss:.3f} "
        f"(now {answer:.3f})  context {context:.2f}  difficulty {run.curriculum.difficulty:.2f}  "
        f"{speed:,.0f} tokens/s  {left_s / 60:.0f} min left",
        flush=True,
    )
