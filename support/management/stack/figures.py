"""What came of it: speeds, first texts, and where a turn's time went."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from support.management.stack.alone import Answer
from support.management.stack.talking import Exchange
from support.models import Attempt, Turn

Figures = dict[str, Any]

# From frame to frame, in order; `PHASES` of a turn add up to its time to first text.
PHASES = {
    "accepted": "message sent, until it is checked and about to be stored",
    "claimed": "until a worker has the turn: commit, queue, Celery",
    "prepared": "until the call: prompt, history, passages, backends, ledger",
    "model": "until the model's first text",
    "shown": "until that is on the visitor's socket",
}


@dataclass(slots=True)
class Level:
    """All rounds with one number of conversations at once."""

    num_chats: int
    num_messages: int
    pause_s: float
    rounds: list[tuple[list[Exchange], list[Answer]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Booked:
    """What the ledger says of a turn: moments of the wall clock, and its tokens."""

    created_s: float
    claimed_s: float
    called_s: float
    ttft_ms: int
    num_tokens: int


def read_ledger(exchanges: Iterable[Exchange]) -> dict[UUID, Booked]:
    """Return by turn what was booked; only of turns with one completed call.

    Two queries.
    """
    ids = [exchange.turn for exchange in exchanges]
    calls = {call.turn_id: call for call in Attempt.objects.filter(turn__in=ids)}
    booked = {}
    for key, turn in Turn.objects.in_bulk(ids).items():
        call = calls[key]
        if turn.started_at is None or call.ttft_ms is None:
            raise ValueError(f"the ledger has no whole call for {turn}")
        booked[key] = Booked(
            turn.created_at.timestamp(),
            turn.started_at.timestamp(),
            call.started_at.timestamp(),
            call.ttft_ms,
            call.completion_tokens or 0,
        )
    return booked


def build_figures(level: Level, ledger: dict[UUID, Booked]) -> Figures:
    """Return what all rounds of a level say together.

    Tokens a second count while anybody waits for a reply. `added_ms` is the median of
    the differences, turn by turn; `phases_ms` are medians, so they need not add up.
    """
    exchanges = [one for talked, _ in level.rounds for one in talked]
    answers = [one for _, answered in level.rounds for one in answered]
    stack = sum(ledger[one.turn].num_tokens for one in exchanges) / sum(
        measure_busy_s((one.sent_s, one.done_s) for one in talked)
        for talked, _ in level.rounds
    )
    alone = sum(one.num_tokens for one in answers) / sum(
        measure_busy_s((one.asked_s, one.done_s) for one in answered)
        for _, answered in level.rounds
    )
    first_alone = {one.turn: one.first_s - one.asked_s for one in answers}
    first_stack = {one.turn: one.first_s - one.sent_s for one in exchanges}
    added = [first_stack[turn] - first_alone[turn] for turn in first_stack]
    return {
        "chats": level.num_chats,
        "messages": len(exchanges),
        "tokens": sum(one.num_tokens for one in answers),
        "tokens_per_s": {"alone": round(alone, 1), "stack": round(stack, 1)},
        "ratio": round(stack / alone, 3),
        "first_ms": {
            "alone": _describe_ms(list(first_alone.values())),
            "stack": _describe_ms(list(first_stack.values())),
        },
        "added_ms": _describe_ms(added),
        "phases_ms": {
            name: _describe_ms(
                [_split(one, ledger[one.turn])[name] for one in exchanges]
            )
            for name in PHASES
        },
    }


def measure_busy_s(waits: Iterable[tuple[float, float]]) -> float:
    """Return for how long at least one of the waits, from and to, was under way."""
    busy_s, until_s = 0.0, float("-inf")
    for began_s, ended_s in sorted(waits):
        busy_s += max(0.0, ended_s - max(began_s, until_s))
        until_s = max(until_s, ended_s)
    return busy_s


def _split(exchange: Exchange, booked: Booked) -> dict[str, float]:
    first_s = booked.called_s + booked.ttft_ms / 1000
    moments = (
        exchange.sent_s, booked.created_s, booked.claimed_s, booked.called_s, first_s,
        exchange.first_s,
    )  # fmt: skip
    return {
        name: later - earlier
        for name, earlier, later in zip(PHASES, moments, moments[1:], strict=False)
    }


def _describe_ms(seconds: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(np.asarray(seconds) * 1000, [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def format_figures(all_figures: Sequence[Figures]) -> str:
    """Return the figures as tables for a terminal."""
    lines = [
        f"{'conversations at once':30}"
        + "".join(f"{figures['chats']:>18}" for figures in all_figures)
    ]
    rows: dict[str, Callable[[Figures], str]] = {
        "messages": lambda f: str(f["messages"]),
        "tokens/s, engine alone": lambda f: f"{f['tokens_per_s']['alone']:.1f}",
        "tokens/s, whole stack": lambda f: f"{f['tokens_per_s']['stack']:.1f}",
        "ratio": lambda f: f"{f['ratio']:.3f}",
        "first text, engine alone, ms": lambda f: _pair(f["first_ms"]["alone"]),
        "first text, whole stack, ms": lambda f: _pair(f["first_ms"]["stack"]),
        "added to the first text, ms": lambda f: _pair(f["added_ms"]),
    }
    for title, read in rows.items():
        lines.append(f"{title:30}" + "".join(f"{read(f):>18}" for f in all_figures))
    lines += ["", "where a turn's time goes, ms"]
    for name, meaning in PHASES.items():
        columns = "".join(f"{_pair(f['phases_ms'][name]):>18}" for f in all_figures)
        lines.append(f"  {name:28}{columns}   {meaning}")
    return "\n".join([*lines, "", "times are p50 / p95", ""])


def _pair(described: dict[str, float]) -> str:
    return f"{described['p50']:.1f} / {described['p95']:.1f}"
