"""Gradients of a batch on several cores: one thread a core, each with its own copy.

Several threads for each operation would be simpler, but they wait for each other a
thousand times a step: with another program on one of two cores, steps took seven times
longer. Threads that share only a queue of small parts lose no more than their share.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import torch

from inference.lab.train.batches import Rows, split
from inference.lab.train.loss import Losses, count, weighted_loss
from inference.lab.train.model import Decoder

TOKENS_PER_PART = 512


class GradientPool:
    """Copies of a network that share its weights, one for each thread of `pool`."""

    def __init__(self, model: Decoder, threads: int) -> None:
        self.model = model
        self.pool = ThreadPoolExecutor(
            threads, initializer=torch.set_num_threads, initargs=(1,)
        )
        self.free: SimpleQueue[Decoder] = SimpleQueue()
        self.copies = [self._copy() for _ in range(threads)]
        for one in self.copies:
            self.free.put(one)

    def accumulate(self, rows: Rows, seed: int) -> Losses:
        """Set the gradients of a batch; return its mean losses."""
        counts = count(rows)
        parts = split(rows, max(1, TOKENS_PER_PART // rows.ids.shape[1]))

        def learn(number: int) -> Losses:
            model = self.free.get()
            try:
                generator = torch.Generator().manual_seed(seed * 1000 + number)
                loss, sums = weighted_loss(model, parts[number], counts, generator)
                loss.backward()
                return sums
            finally:
                self.free.put(model)

        sums = list(self.pool.map(learn, range(len(parts))))
        self._gather()
        return Losses(
            sum(s.answer for s in sums) / counts.answer,
            sum(s.choice for s in sums) / counts.choice,
            sum(s.context for s in sums) / counts.context,
            sum(s.source for s in sums) / counts.source,
            sum(s.mark for s in sums) / counts.mark,
            sum(s.own for s in sums) / counts.own,
        )

    def _copy(self) -> Decoder:
        twin = copy.deepcopy(self.model)
        for own, shared in zip(twin.parameters(), self.model.parameters(), strict=True):
            own.data = shared.data
        return twin

    def _gather(self) -> None:
        """Add the gradients of the copies up and clear them."""
        groups = zip(
            self.model.parameters(), *(c.parameters() for c in self.copies), strict=True
        )
        for target, *sources in groups:
            grads = [s.grad for s in sources if s.grad is not None]
            target.grad = grads[0] if len(grads) == 1 else torch.stack(grads).sum(0)
            for source in sources:
                source.grad = None
