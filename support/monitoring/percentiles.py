"""Percentiles of measured times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHARES = (0.50, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread: their number, median, 95th and 99th percentile.

    The percentiles are None when there is no value, and the value when there is one.
    """

    count: int
    p50: float | None
    p95: float | None
    p99: float | None

    @property
    def percentiles(self) -> tuple[float | None, float | None, float | None]:
        """Return the three in their order."""
        return self.p50, self.p95, self.p99


def build_spread(values: Iterable[int]) -> Spread:
    """Return the spread of values in any order."""
    ordered = sorted(values)
    p50, p95, p99 = (percentile(ordered, share) for share in SHARES)
    return Spread(len(ordered), p50, p95, p99)


def percentile(ordered: Sequence[int], share: float) -> float | None:
    """Return the value below which `share` of ascending values lie; None without any.

    Between two values it is interpolated, as by numpy's default method ("linear";
    Hyndman and Fan 1996, definition 7) and by PERCENTILE_CONT in SQL.
    """
    if not ordered:
        return None
    rank = share * (len(ordered) - 1)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)
