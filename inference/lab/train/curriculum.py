"""How hard the dialogues are, and how large the steps, in the course of a run."""

from __future__ import annotations

from dataclasses import dataclass

# Difficulty rises while the smoothed answer loss is under this and waits otherwise.
# Without this order copying was not learned at all in a trial: the answer loss stood
# still at 1.42.
ENOUGH = 0.45
SMOOTHING = 0.95


@dataclass(slots=True)
class Curriculum:
    """Difficulty from 0 to 1, raised whenever the answers are good enough."""

    difficulty: float = 0.0
    smoothed_loss: float = 9.0
    rise: float = 0.004

    def observe(self, answer_loss: float) -> None:
        """Take the answer loss of one step into account."""
        if self.smoothed_loss > 8.0:
            self.smoothed_loss = answer_loss
        self.smoothed_loss = (
            SMOOTHING * self.smoothed_loss + (1 - SMOOTHING) * answer_loss
        )
        if self.smoothed_loss < ENOUGH:
            self.difficulty = min(1.0, self.difficulty + self.rise)


def tokens_per_step(difficulty: float, most: int) -> int:
    """Return the tokens of a step: fewer at first, when many steps beat sure ones."""
    return most * 5 // 8 if difficulty < 0.3 else most


def learning_rate_factor(step: int, progress: float, decay_from: float = 0.35) -> float:
    """Return the share of the peak learning rate: up, level, then a straight line down.

    `progress` is the share of the time that is used up, so that the line ends with the
    run on any machine.
    """
    warm_up = min(1.0, (step + 1) / 60)
    decay = min(1.0, (1.0 - progress) / (1.0 - decay_from))
    return warm_up * max(0.02, decay)
