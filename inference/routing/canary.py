"""When a trial ends: a candidate's own replies against the operator's bounds. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a candidate must keep to, once it wrote `min_replies`; None is no bound."""

    min_replies: int
    max_ttft_s: float | None = None
    max_error_percent: float | None = None
    max_thumbs_down_percent: float | None = None
    max_handoff_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What a candidate did since its trial began.

    `ttfts_ms` are the first-token times of its calls. Of its `num_calls` those that
    were stopped do not count. `num_replies` are the turns it answered, in
    `num_conversations`, of which `num_handoffs` asked for a person afterwards.
    """

    ttfts_ms: Sequence[int] = ()
    num_calls: int = 0
    num_errors: int = 0
    num_replies: int = 0
    num_thumbs_down: int = 0
    num_conversations: int = 0
    num_handoffs: int = 0


def judge(record: Record, bounds: Bounds) -> str:
    """Return which bound a candidate has crossed, in words; empty if none.

    Errors count from `min_replies` calls on, as a candidate that always fails never
    writes a reply; the rest from as many replies on.
    """
    error = bounds.max_error_percent
    if record.num_calls >= bounds.min_replies and error is not None:
        percent = 100 * record.num_errors / record.num_calls
        if percent > error:
            return f"{percent:.1f} % of its calls failed, more than {error:g} %"
    if record.num_replies < bounds.min_replies:
        return ""
    return _judge_time(record, bounds) or _judge_shares(record, bounds)


def _judge_time(record: Record, bounds: Bounds) -> str:
    limit_s = bounds.max_ttft_s
    if limit_s is None or not record.ttfts_ms:
        return ""
    p95_s = find_p95_ms(record.ttfts_ms) / 1000
    if p95_s <= limit_s:
        return ""
    return f"95 % of its first words came within {p95_s:.2f} s, not {limit_s:g} s"


def _judge_shares(record: Record, bounds: Bounds) -> str:
    shares = (
        (record.num_thumbs_down, record.num_replies, bounds.max_thumbs_down_percent,
         "of its replies got a thumb down"),
        (record.num_handoffs, record.num_conversations, bounds.max_handoff_percent,
         "of its conversations asked for a person"),
    )  # fmt: skip
    for part, whole, limit, words in shares:
        percent = 100 * part / whole if whole else 0.0
        if limit is not None and percent > limit:
            return f"{percent:.1f} % {words}, more than {limit:g} %"
    return ""


def find_p95_ms(times_ms: Sequence[int]) -> int:
    """Return the time that 95 % stay within, by nearest rank; there is at least one."""
    ordered = sorted(times_ms)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]
