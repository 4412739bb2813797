"""Which token comes next, from the logits of one position.

Numpy rather than llama.cpp's sampler chain, which first copies every logit into a
candidate struct. Values are applied in the order penalty, temperature, top-k, top-p,
min-p, as in transformers and vLLM.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from inference.types import SamplingParams

# Above temperature 0 only this many of the likeliest tokens are looked at.
MAX_CANDIDATES = 1024

# Candidates are looked for this far below the best scaled logit, in growing steps:
# comparing a vocabulary costs a fraction of sorting it. What lies below the last one
# has less than e**-24 of the best token's chance.
_REACHES = (4.0, 8.0, 12.0, 16.0, 20.0, 24.0)


class NotANumber(ArithmeticError):  # noqa: N818 - says what happened, as in errors.py
    """The model's logits are no numbers, or none is left to choose."""


class Sampler:
    """Chooses tokens for one sequence.

    The same seed gives the same choices whatever else is in the batch, as long as the
    logits are the same: each sequence draws from a generator of its own.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._rng = np.random.default_rng(params.seed)

    def sample(self, logits: NDArray[np.float32], tokens: Sequence[int] = ()) -> int:
        """Return the next token id behind `tokens`; raises NotANumber.

        `logits` has shape (n_vocab,), not normalised, and is not changed. One number
        is drawn for each call above temperature 0.
        """
        return self.choose(self.penalise(logits, tokens))

    def penalise(
        self, logits: NDArray[np.float32], tokens: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return the logits with repeated tokens made less likely; may be the same."""
        params = self._params
        if params.repetition_penalty == 1.0 or params.repetition_window == 0:
            return logits
        recent = np.unique(np.asarray(tokens[-params.repetition_window :], np.intp))
        values = logits[recent]
        result = logits.copy()
        penalty = np.float32(params.repetition_penalty)
        result[recent] = np.where(values > 0, values / penalty, values * penalty)
        return result

    def choose(self, logits: NDArray[np.float32]) -> int:
        """Return a token id by logits that are penalised already."""
        best = int(logits.argmax())
        if not np.isfinite(logits[best]):
            raise NotANumber(f"the best logit is {logits[best]}")
        if self._params.temperature == 0.0 or self._params.top_k == 1:
            return best
        return _draw(logits, float(logits[best]), self._params, self._rng)


def _draw(
    logits: NDArray[np.float32], best: float, params: SamplingParams, rng: Generator
) -> int:
    """Return a token drawn by its chance.

    The kept ones stand in the order of their ids, not of their chances: where two
    chances are nearly equal, rounding that swaps them then changes no choice.
    """
    if params.min_p > 0.0 and params.top_p == 1.0 and not params.top_k:
        ids = np.flatnonzero(logits >= best + np.log(params.min_p) * params.temperature)
    else:
        limit = min(params.top_k or MAX_CANDIDATES, MAX_CANDIDATES)
        ids = find_likeliest(logits, limit, params.temperature)
    scaled = (logits[ids].astype(np.float64) - best) / params.temperature
    weights = np.exp(scaled)
    if params.top_p < 1.0:
        kept = _find_nucleus(weights, params.top_p)
        ids, weights = ids[kept], weights[kept]
    if params.min_p > 0.0:
        likely = weights >= params.min_p
        ids, weights = ids[likely], weights[likely]
    shares = np.cumsum(weights)
    shares /= shares[-1]
    return int(ids[np.searchsorted(shares, rng.random(), side="right")])


def find_likeliest(
    logits: NDArray[np.float32], limit: int, scale: float = 1.0
) -> NDArray[np.intp]:
    """Return the ids of the likeliest tokens in their order, at most `limit`.

    The likeliest is always among them; `scale` is that of the logits' differences.
    """
    best = logits.max()
    for reach in _REACHES:
        ids = np.flatnonzero(logits >= best - reach * scale)
        if len(ids) > limit:
            largest = np.argpartition(logits[ids], -limit)[-limit:]
            return np.sort(ids[largest])
    return ids


def _find_nucleus(weights: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Return the places of the fewest weights that reach `top_p`, in their order."""
    order = np.argsort(-weights, kind="stable")
    shares = np.cumsum(weights[order])
    num_kept = int(np.searchsorted(shares, top_p * shares[-1])) + 1
    return np.sort(order[:num_kept])
