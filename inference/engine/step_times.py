"""How long steps take, measured as they run."""

# Of a mean, the share of the newest value: it follows some fifty steps.
_SHARE = 0.04
# A step that took so many times longer for a token was held up by something else, as by
# a machine that paused: it counts as that long.
_MOST_TIMES = 4.0
# The first values count fully, so that a mean is right soon.
_FIRST_SHARES = (1.0, 0.5, 0.33, 0.25, 0.2, 0.16, 0.12, 0.1, 0.08, 0.06)


class RunningMean:
    """A mean that forgets; 0 before the first value."""

    def __init__(self) -> None:
        self.value = 0.0
        self._num_values = 0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Take in a value; one with a larger weight counts like several."""
        is_early = self._num_values < len(_FIRST_SHARES)
        share = _FIRST_SHARES[self._num_values] if is_early else _SHARE
        self._num_values += 1
        self.value += min(share * weight, 1.0) * (value - self.value)


class StepTimes:
    """The times of the engine's decode calls, in seconds.

    A step that reads prompts costs more the more replies are written in it. What the
    replies take by themselves is known from steps without a prompt.
    """

    def __init__(self) -> None:
        self.last_s = 0.0
        self.mean = RunningMean()
        self._alone = RunningMean()
        self._beside = RunningMean()

    @property
    def prompt_token_s(self) -> float:
        """Return the seconds a prompt's token takes when no reply is written."""
        return self._alone.value or self._beside.value

    @property
    def beside_token_s(self) -> float:
        """Return the seconds a prompt's token takes while replies are written."""
        return self._beside.value or self._alone.value

    def add(self, took_s: float, num_reading: int, num_writing: int) -> None:
        """Take in a step with so many tokens of prompts, and so many replies."""
        self.last_s = took_s
        self.mean.add(took_s)
        if num_reading:
            times = self._beside if num_writing else self._alone
            token_s = took_s / num_reading
            if usual_s := times.value or self.prompt_token_s:
                token_s = min(token_s, usual_s * _MOST_TIMES)
            times.add(token_s, weight=min(num_reading / 16, 4.0))
