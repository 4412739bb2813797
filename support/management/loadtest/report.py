"""The report of a load test: as values for JSON, and as a table for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from support.management.loadtest.history import Violation
from support.management.loadtest.measures import Measures
from support.management.loadtest.play import Played
from support.management.loadtest.screen import Kind

Report = dict[str, Any]

# each kind of violation is in one column of the report
GROUPS: dict[str, frozenset[Kind]] = {
    "lost": frozenset({Kind.LOST, Kind.UNANSWERED, Kind.GAP}),
    "doubled": frozenset({Kind.DOUBLED, Kind.TWO_OUTCOMES}),
    "out_of_order": frozenset({Kind.DISORDER, Kind.DIVERGED}),
    "mixed": frozenset({Kind.TORN, Kind.CHANGED, Kind.FOREIGN, Kind.UNASKED}),
}
TIMES = {
    "open_ms": "socket open and caught up, ms",
    "reopen_ms": "the same after a lost socket, ms",
    "ack_ms": "acknowledged, ms",
    "first_ms": "first text, ms",
    "reply_ms": "whole reply, ms",
    "gap_ms": "gap between texts, ms",
    "added_gap_ms": "gap more than the pace asks, ms",
    "added_ms": "text later than the pace asks, ms",
    "words_per_s": "words a second in a reply",
    "lag_ms": "lag of this program itself, ms",
}
_SHOWN_VIOLATIONS = 20
_MB = 1_000_000


def build_report(played: Played) -> Report:
    """Return the report; times have count, p50, p95, p99 and max."""
    measures = played.measures
    violations = [found for held in played.broken for found in held.violations]
    report: Report = {
        "plan": asdict(played.plan),
        "took_s": round(played.took_s, 3),
        "conversations": measures.num_conversations,
        "messages": _count_messages(measures),
        "notices": dict(measures.notices),
        "text": _describe_text(measures, played.took_s),
        "times": {name: describe(getattr(measures, name)) for name in TIMES},
        "errors": dict(measures.errors),
        "promises": count_violations(violations),
        "unchecked": measures.num_unchecked,
        "violations": [str(found) for found in violations],
        "histories": [
            {"conversation": held.conversation, "events": _describe_events(held.events)}
            for held in played.broken
            if held.events
        ],
        "cpu": {"load_test_share": _share(played.own_cpu_s, played.took_s)},
    }
    if played.plan.server_pids and played.server is not None:
        share = _share(played.server.cpu_s, played.took_s)
        report["cpu"]["server_share"] = share
        report["server_memory_mb"] = round(played.server.memory_bytes / _MB, 1)
    if played.idle is not None:
        report["idle"] = _describe_idle(played)
    return report


def describe(numbers: Sequence[float]) -> dict[str, float]:
    """Return count, percentiles (linear between the nearest two) and maximum."""
    if not len(numbers):
        return {"count": 0}
    p50, p95, p99 = np.percentile(np.asarray(numbers, float), [50, 95, 99])
    values = {"p50": p50, "p95": p95, "p99": p99, "max": max(numbers)}
    rounded = {name: round(float(value), 2) for name, value in values.items()}
    return {"count": len(numbers), **rounded}


def count_violations(violations: Iterable[Violation]) -> dict[str, int]:
    """Return how many violations each group has."""
    kinds = [found.kind for found in violations]
    return {
        name: sum(kind in group for kind in kinds) for name, group in GROUPS.items()
    }


def format_report(report: Report) -> str:
    """Return the report as lines for a terminal."""
    lines = []
    if report["messages"]["sent"] or report["plan"]["num_chats"]:
        lines += _format_chats(report)
    if "idle" in report:
        lines += _format_idle(report["idle"])
    lines += ["", f"errors: {_list_counts(report['errors'])}"]
    promises = ", ".join(
        f"{name.replace('_', ' ')} {count}"
        for name, count in report["promises"].items()
    )
    lines.append(f"promises: {promises}")
    if report["unchecked"]:
        lines.append(f"{report['unchecked']} conversations could not be read again")
    shown = report["violations"][:_SHOWN_VIOLATIONS]
    lines += [f"BROKEN {violation}" for violation in shown]
    num_more = len(report["violations"]) - len(shown)
    lines += [f"and {num_more} more"] if num_more else []
    return "\n".join(lines) + "\n"


def _count_messages(measures: Measures) -> dict[str, int]:
    num_replies = sum(measures.states.values())
    return {
        "sent": measures.num_sent,
        "acknowledged": measures.num_acked,
        "answered": measures.states["answered"],
        "stopped": measures.states["stopped"],
        "failed": measures.states["failed"],
        "without_a_reply": measures.num_sent - num_replies,
        "replies_with_their_mark": measures.num_marked,
        "resets": measures.num_resets,
        "connections_cut": measures.num_dropped,
    }


def _describe_text(measures: Measures, took_s: float) -> dict[str, float]:
    return {
        "words": measures.num_words,
        "characters": measures.num_characters,
        "words_per_s": _share(measures.num_words, took_s),
        "characters_per_s": _share(measures.num_characters, took_s),
    }


def _describe_idle(played: Played) -> dict[str, object]:
    idle = played.idle
    if idle is None:
        raise ValueError("no idle sockets were played")
    described: dict[str, object] = {
        "sockets": idle.num_opened,
        "held_s": idle.held_s,
        "lost": dict(idle.lost),
    }
    if played.plan.server_pids and idle.num_opened:
        described["memory_kb_per_socket"] = round(
            idle.memory_bytes / idle.num_opened / 1000, 1
        )
        described["cpu_share"] = _share(idle.cpu_s, idle.held_s)
    return described


def _share(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0


def _describe_events(events: Iterable[Any]) -> list[dict[str, Any]]:
    return [
        {"event": type(event).__name__.lower()}
        | {name: _plain(getattr(event, name)) for name in event.__slots__}
        for event in events
    ]


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


def _format_chats(report: Report) -> list[str]:
    plan, messages, text = report["plan"], report["messages"], report["text"]
    lines = [
        f"{plan['num_chats']} chats, {report['conversations']} conversations in "
        f"{report['took_s']:.1f} s: {messages['sent']} messages, "
        f"{messages['acknowledged']} acknowledged, {messages['answered']} answered, "
        f"{messages['stopped']} stopped, {messages['failed']} failed, "
        f"{messages['without_a_reply']} without a reply",
        f"{messages['replies_with_their_mark']} replies carried their mark; "
        f"{messages['resets']} resets, {messages['connections_cut']} connections cut; "
        f"notices: {_list_counts(report['notices'])}",
        f"{text['words_per_s']:.0f} words/s, {text['characters_per_s']:.0f} "
        f"characters/s of all chats together; {_format_load(report)}",
        "",
        f"{'':34}{'count':>8}{'p50':>10}{'p95':>10}{'p99':>10}{'max':>10}",
    ]
    for name, title in TIMES.items():
        lines += _format_row(title, report["times"][name])
    return lines


def _list_counts(counts: Mapping[str, int]) -> str:
    listed = ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items()))
    return listed or "none"


def _format_load(report: Report) -> str:
    cpu = report["cpu"]
    used = f"processor: load test {cpu['load_test_share']:.0%}"
    if "server_share" in cpu:
        used += f", server {cpu['server_share']:.0%} of one core"
        used += f"; server memory {report['server_memory_mb']:.0f} MB"
    return used


def _format_row(title: str, numbers: Mapping[str, float]) -> list[str]:
    if not numbers["count"]:
        return []
    columns = "".join(f"{numbers[name]:10.1f}" for name in ("p50", "p95", "p99", "max"))
    return [f"{title:34}{numbers['count']:8}{columns}"]


def _format_idle(idle: Mapping[str, Any]) -> list[str]:
    num_lost = sum(idle["lost"].values())
    line = f"{idle['sockets']} idle sockets, {num_lost} lost"
    if "memory_kb_per_socket" in idle:
        line += (
            f"; server: {idle['memory_kb_per_socket']:.1f} kB for each, "
            f"{idle['cpu_share']:.1%} of one core while nothing happens"
        )
    return ["", line]
