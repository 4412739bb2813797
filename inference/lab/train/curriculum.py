"""How hard the dialogues are, and how large the steps, in the course of a run."""

from __future__ import annotations

from dataclasses import dataclass

# Difficulty rises while both smoothed losses are under these and waits otherwise.
# Without this order copying was not learned at all in a trial: the answer loss stood
# still at 1.42. With the answer loss as the only condition, difficulty rose as soon as
# copying was learned, and choosing the right sentence was not.
GOOD_ANSWERS = 0.8
GOOD_CHOICES = 0.8
SMOOTHING = 0.95


@dataclass(slots=True)
class Curriculum:
    """Difficulty from 0 to 1, raised whenever copies and choices are good enough."""

    difficulty: float = 0.0
    answer_loss: float | None = None
    choice_loss: float | None = None
    rise: float = 0.006

    def observe(self, answer_loss: float, choice_loss: float) -> None:
        """Take the losses of one step into account."""
        self.answer_loss = _smooth(self.answer_loss, answer_loss)
        self.choice_loss = _smooth(self.choice_loss, choice_loss)
        if self.answer_loss < GOOD_ANSWERS and self.choice_loss < GOOD_CHOICES:
            self.difficulty = min(1.0, self.difficulty + self.rise)


def _smooth(before: float | None, now: float) -> float:
    return now if before is None else SMOOTHING * before + (1 - SMOOTHING) * now


def tokens_per_step(difficulty: float, most: int) -> int:
    """Return the tokens of a step: fewer at first, when many steps beat sure ones."""
    return most * 5 // 8 if difficulty < 0.3 else most


def learning_rate_factor(step: int, progress: float, decay_from: float = 0.5) -> float:
    """Return the share of the peak learning rate: up, level, then a straight line down.

    `progress` is the share of the time that is used up, so that the line ends with the
    run on any machine.
    """
    warm_up = min(1.0, (step + 1) / 60)
    decay = min(1.0, (1.0 - progress) / (1.0 - decay_from))
    return warm_up * max(0.02, decay)
