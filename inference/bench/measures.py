"""What was measured of answers and runs, and the figures that follow from it."""

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from inference.types import Usage


@dataclass(slots=True)
class Answer:
    """One turn: when it was asked, and when how many tokens of it came.

    Times are in seconds on one clock of the run. A piece may hold several tokens: its
    words are counted, which are tokens of our models.
    """

    conversation: int
    turn: int
    asked_s: float
    pieces: list[tuple[float, int]] = field(default_factory=list)
    usage: Usage | None = None

    @property
    def num_tokens(self) -> int:
        """Return how many tokens came, by the server's count if it gave one."""
        if self.usage is not None:
            return self.usage.completion_tokens
        return sum(number for _, number in self.pieces)

    @property
    def ttft_s(self) -> float:
        """Return the time to the first token; raises ValueError if none came."""
        if not self.pieces:
            raise ValueError(f"nothing came of turn {self.turn}")
        return self.pieces[0][0] - self.asked_s

    @property
    def ended_s(self) -> float:
        """Return when the last token came."""
        return self.pieces[-1][0]

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """Return from when to when nothing came, between any two pieces."""
        return list(pairwise(time_s for time_s, _ in self.pieces))


@dataclass(frozen=True, slots=True)
class Run:
    """All answers of one workload by one contestant."""

    answers: Sequence[Answer]

    @property
    def num_tokens(self) -> int:
        """Return how many tokens were written."""
        return sum(answer.num_tokens for answer in self.answers)

    @property
    def wall_s(self) -> float:
        """Return the time from the first question to the last token."""
        started_s = min(answer.asked_s for answer in self.answers)
        return max(answer.ended_s for answer in self.answers) - started_s

    @property
    def tokens_per_s(self) -> float:
        """Return the written tokens per second over everything."""
        return self.num_tokens / self.wall_s

    @property
    def writing_tokens_per_s(self) -> float:
        """Return the tokens per second from the first token of all to the last.

        The first token of each answer does not count: it is paid for by the prompt.
        """
        started_s = min(answer.asked_s + answer.ttft_s for answer in self.answers)
        wall_s = max(answer.ended_s for answer in self.answers) - started_s
        return (self.num_tokens - len(self.answers)) / wall_s

    @property
    def num_prompt_tokens(self) -> int:
        """Return the prompt tokens of all answers whose usage is known."""
        return sum(usage.prompt_tokens for usage in self._usages)

    @property
    def cached_share(self) -> float | None:
        """Return the share of prompt tokens taken from a cache, None if unknown."""
        if not self._usages:
            return None
        num_cached = sum(usage.cached_tokens for usage in self._usages)
        return num_cached / max(self.num_prompt_tokens, 1)

    @property
    def _usages(self) -> list[Usage]:
        return [answer.usage for answer in self.answers if answer.usage]

    def median_ttft_s(self, turn: int) -> float:
        """Return the median time to the first token among the answers of a turn."""
        return statistics.median(self.ttfts_s(turn))

    def ttfts_s(self, turn: int) -> list[float]:
        """Return the times to the first token of a turn, which counts from 1."""
        return [answer.ttft_s for answer in self.answers if answer.turn == turn]


def find_percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that `share` of the values do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is no percentile of nothing")
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def read_private_bytes(pid: str = "self") -> int:
    """Return the memory of a process that is no file's: heap, cache, buffers."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not say how much memory is anonymous")


def read_cpu_s(pid: int) -> float:
    """Return how long processors have worked for a process and its threads."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
