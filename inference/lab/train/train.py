"""The training loop: step after step, with a checkpoint every few minutes."""

from __future__ import annotations

import signal
import threading
import time

from inference.lab.train.loss import Losses
from inference.lab.train.model import Shape
from inference.lab.train.prefetch import Prefetch
from inference.lab.train.run import Plan, Run


def train(plan: Plan, shape: Shape) -> bool:
    """Train from the checkpoint, if there is one; return whether the run is complete.

    An interrupt or a request to end saves a checkpoint after the current step.
    """
    run = Run(plan, shape)
    run.resume()
    log = _Log(run)
    stopping = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopping.set())
    saved_s = time.monotonic()
    with Prefetch(run) as batches:
        while run.progress < 1.0 and not stopping.is_set():
            started_s = time.monotonic()
            losses = run.train_step(batches.next())
            now_s = time.monotonic()
            run.spent_s += now_s - started_s
            log.step(losses)
            if now_s - saved_s > plan.checkpoint_s:
                run.save()
                saved_s = now_s
    run.save()
    return run.progress >= 1.0


class _Log:
    """Lines that tell how the run is doing."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.last_s, self.last_tokens = time.monotonic(), run.tokens
        size = sum(p.numel() for p in run.model.parameters()) / 1e6
        print(f"{size:.2f} M parameters, starting at step {run.step}", flush=True)

    def step(self, losses: Losses) -> None:
        """Print a line every few steps."""
        run = self.run
        if run.step % run.plan.log_every:
            return
        now_s = time.monotonic()
        speed = (run.tokens - self.last_tokens) / (now_s - self.last_s)
        self.last_s, self.last_tokens = now_s, run.tokens
        left_min = (1 - run.progress) * run.plan.minutes
        print(
            f"step {run.step:5d}  tokens {run.tokens / 1e6:6.2f} M  "
            f"answers {run.curriculum.answer_loss:.3f}  "
            f"choices {run.curriculum.choice_loss:.3f} (now {losses.choice:.3f})  "
            f"looks {losses.look:.2f} {losses.home:.2f}  context {losses.context:.2f}  "
            f"difficulty {run.curriculum.difficulty:.2f}  "
            f"{speed:,.0f} tokens/s  {left_min:.0f} min left",
            flush=True,
        )
