"""What a step costs by its number of tokens, measured when the engine starts.

It decides how many guesses are worth their time (speculation.py) and how much of a
prompt is read beside replies that are being written (scheduler.py).
"""

from collections.abc import Mapping

import numpy as np

# Beside replies that are written a prompt is read in pieces that make a step so many
# times as long, or this long where nobody minds; and never in smaller ones.
STRETCH = 3.0
UNNOTICED_S = 0.2
MIN_PROMPT_TOKENS = 8


class StepCosts:
    """Measured points, and lines between.

    `points` are seconds by number of tokens with logits behind each; beyond the last
    the line goes on. A token of a prompt, without logits, takes `prompt_token_s`.
    """

    def __init__(self, points: Mapping[int, float], prompt_token_s: float) -> None:
        if not points or min(points) < 1 or min(points.values()) <= 0:
            raise ValueError(f"no measured steps: {points}")
        if prompt_token_s <= 0:
            raise ValueError(f"a token of a prompt cannot take {prompt_token_s} s")
        self.prompt_token_s = prompt_token_s
        self._numbers = sorted(points)
        # more tokens never cost less: what says so was a disturbance
        self._costs_s = list(
            np.minimum.accumulate([points[n] for n in reversed(self._numbers)])
        )[::-1]

    def read(self, num_tokens: int) -> float:
        """Return the seconds of a step of `num_tokens`."""
        numbers, costs_s = self._numbers, self._costs_s
        if num_tokens <= numbers[-1]:
            return float(np.interp(num_tokens, numbers, costs_s))
        return float(costs_s[-1] * num_tokens / numbers[-1])

    def fit_prompt(self, num_writing: int) -> int:
        """Return how many tokens of prompts fit beside as many of replies.

        So that no reply stutters: 43 beside 16 replies of a model of 0.5 B parameters
        on two cores, whose steps take 131 ms and a token of a prompt 6 ms.
        """
        alone_s = self.read(num_writing)
        spare_s = max(STRETCH * alone_s, UNNOTICED_S) - alone_s
        return max(int(spare_s / self.prompt_token_s), MIN_PROMPT_TOKENS)
