"""Batches of the next steps, written by another process during the current one."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor

from inference.lab.train.batches import BatchWriter, Rows
from inference.lab.train.curriculum import tokens_per_step
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.run import Plan, Run
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.tokenizer import load_tokenizer
from inference.lab.train.topics import load_topics

NUM_AHEAD = 4
_writer: BatchWriter | None = None  # the worker process has one for its life


class Prefetch:
    """A queue of batches; use it as a context, which ends the worker process."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.asked = run.step
        self.futures: deque[Future[Rows]] = deque()
        self.pool = ProcessPoolExecutor(
            1, initializer=_start_worker, initargs=(run.plan,)
        )

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def next(self) -> Rows:
        """Return the batch of the current step."""
        while len(self.futures) < NUM_AHEAD:
            difficulty = self.run.curriculum.difficulty
            tokens = tokens_per_step(difficulty, self.run.plan.tokens_per_step)
            job = self.pool.submit(_write_batch, self.asked, difficulty, tokens)
            self.futures.append(job)
            self.asked += 1
        return self.futures.popleft().result()


def _start_worker(plan: Plan) -> None:
    global _writer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    writer = DialogueWriter(load_topics(), load_small_talk())
    tokenizer = load_tokenizer(plan.folder / "tokenizer.json")
    _writer = BatchWriter(writer, tokenizer, plan.seed)


def _write_batch(step: int, difficulty: float, tokens: int) -> Rows:
    if _writer is None:
        raise RuntimeError("the worker was not started with a plan")
    return _writer.write(step, difficulty, tokens)
