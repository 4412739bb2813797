"""The training loop: step after step, with a checkpoint every few minutes."""

from __future__ import annotations

import signal
import threading
import time

from tokenizers import Tokenizer
from torch import Tensor

from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.exam import Exam, Result
from inference.lab.train.loss import Losses
from inference.lab.train.meanings import learn_meanings
from inference.lab.train.model import Shape
from inference.lab.train.prefetch import Prefetch
from inference.lab.train.run import Plan, Run
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.tokenizer import load_tokenizer
from inference.lab.train.topics import load_topics


def train(plan: Plan, shape: Shape) -> bool:
    """Train from the checkpoint, if there is one; return whether the run is complete.

    An interrupt or a request to end saves a checkpoint after the current step.
    """
    run = Run(plan, shape)
    tokenizer = load_tokenizer(plan.folder / "tokenizer.json")
    if not run.resume():
        run.model.adopt(_learn_meanings(tokenizer, shape))
    log = _Log(run)
    stopping = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopping.set())
    exam = Exam(tokenizer)
    saved_s = examined_s = time.monotonic()
    with Prefetch(run) as batches:
        while run.progress < 1.0 and not stopping.is_set():
            started_s = time.monotonic()
            losses = run.train_step(batches.next())
            now_s = time.monotonic()
            run.spent_s += now_s - started_s
            log.step(losses)
            if now_s - examined_s > plan.exam_s:
                log.exam(exam.take(run))
                examined_s = time.monotonic()
            if now_s - saved_s > plan.checkpoint_s:
                run.save()
                saved_s = now_s
    run.save()
    return run.progress >= 1.0


def _learn_meanings(tokenizer: Tokenizer, shape: Shape) -> Tensor:
    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(f" {text}", add_special_tokens=False).ids)

    writer = DialogueWriter(load_topics(), load_small_talk())
    return learn_meanings(writer, encode, shape.vocabulary, shape.meaning)


class _Log:
    """Lines that tell how the run is doing."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.last_s, self.last_tokens = time.monotonic(), run.tokens
        size = sum(p.numel() for p in run.model.parameters()) / 1e6
        print(f"{size:.2f} M parameters, starting at step {run.step}", flush=True)

    def exam(self, result: Result) -> None:
        """Print how the choices on held-out questions are."""
        print(
            f"step {self.run.step:5d}  held out: {result.chosen:.1%} of facts chosen, "
            f"{result.refused:.1%} refused, {result.small_talk:.1%} of small talk",
            flush=True,
        )

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
            f"looks {losses.source:.2f} {losses.mark:.2f} {losses.own:.2f}  "
            f"context {losses.context:.2f}  "
            f"difficulty {run.curriculum.difficulty:.2f}  "
            f"{speed:,.0f} tokens/s  {left_min:.0f} min left",
            flush=True,
        )
