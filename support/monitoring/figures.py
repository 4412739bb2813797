"""What a set of calls adds up to."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from decimal import Decimal

from support.monitoring.percentiles import Spread, build_spread


@dataclass(slots=True)
class Figures:
    """Sums over calls, and their times one by one; docs/monitoring.md defines each.

    `cost_usd` is that of the calls with a known cost; `num_unpriced` counts those
    that have ended without one. `writing_tokens` and `writing_ms` are of completed
    calls, from the first delta to the last.
    """

    num_calls: int = 0
    num_replies: int = 0
    num_failed: int = 0
    num_lost: int = 0
    num_cancelled: int = 0
    num_fallbacks: int = 0
    num_priced: int = 0
    num_unpriced: int = 0
    cost_usd: Decimal = Decimal(0)
    estimated_usd: Decimal = Decimal(0)
    num_shared: int = 0
    hardware_usd: Decimal = Decimal(0)
    busy_ms: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    writing_tokens: int = 0
    writing_ms: int = 0
    ttft_ms: list[int] = field(default_factory=list)
    duration_ms: list[int] = field(default_factory=list)
    queue_ms: list[int] = field(default_factory=list)

    @property
    def num_failures(self) -> int:
        """Return the calls that failed or were lost with their worker."""
        return self.num_failed + self.num_lost

    @property
    def ttft(self) -> Spread:
        """Return how the times to the first token are spread."""
        return build_spread(self.ttft_ms)

    @property
    def duration(self) -> Spread:
        """Return how the durations are spread."""
        return build_spread(self.duration_ms)

    @property
    def queue(self) -> Spread:
        """Return how the queue times are spread."""
        return build_spread(self.queue_ms)

    @property
    def known_cost_usd(self) -> Decimal | None:
        """Return the cost of the priced calls; None when no call has a price."""
        return self.cost_usd if self.num_priced else None

    @property
    def known_hardware_usd(self) -> Decimal | None:
        """Return the calls' share of our hardware's cost; None if none has one."""
        return self.hardware_usd if self.num_shared else None

    @property
    def writing_speed(self) -> float | None:
        """Return tokens per second while a reply is written; None without any."""
        if not self.writing_ms:
            return None
        return self.writing_tokens / self.writing_ms * 1000


def add_up(parts: Iterable[Figures]) -> Figures:
    """Return the figures of all calls of the parts."""
    total = Figures()
    for part in parts:
        for each in fields(Figures):
            sum_so_far = getattr(total, each.name)
            setattr(total, each.name, sum_so_far + getattr(part, each.name))
    return total
