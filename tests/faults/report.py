"""What came of all rounds: as JSON, and as a table by fault."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.faults.play import Round
from tests.faults.registry import FAULTS

_COLUMNS = (
    "fault", "rounds", "messages", "lost", "doubled", "mixed", "broken",
    "pause s", "recovery s", "slowest ack s",
)  # fmt: skip
_NOTE = "seconds: median / worst of the rounds"


def summarize(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """Return one entry for each fault, in the order in which they came first."""
    by_fault: dict[str, list[Round]] = {}
    for played in rounds:
        by_fault.setdefault(played.fault, []).append(played)
    return [_summarize_fault(name, own) for name, own in by_fault.items()]


def _summarize_fault(name: str, rounds: Sequence[Round]) -> dict[str, Any]:
    promises = [played.promises for played in rounds]
    known = FAULTS.get(name)
    return {
        "fault": name,
        "title": known.title if known else "",
        "rounds": len(rounds),
        "messages": sum(played.messages for played in rounds),
        "acknowledged": sum(played.acknowledged for played in rounds),
        "lost": sum(each.get("lost", 0) for each in promises),
        "doubled": sum(each.get("doubled", 0) for each in promises),
        "mixed": sum(
            each.get("mixed", 0) + each.get("out_of_order", 0) for each in promises
        ),
        "broken": sum(len(played.broken) for played in rounds),
        "within_s": known.within_s if known else None,
        "pause_s": _describe([played.pause_s for played in rounds]),
        "recovery_s": _describe([played.recovery_s for played in rounds]),
        "slowest_ack_s": _describe([played.slowest_ack_s for played in rounds]),
    }


def _describe(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(values), 2), "worst": round(max(values), 2)}


def write_report(path: Path, rounds: Sequence[Round]) -> None:
    """Write summary and rounds as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "summary": summarize(rounds),
        "rounds": [played.describe() for played in rounds],
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def format_rounds(rounds: Sequence[Round]) -> str:
    """Return the summary as a Markdown table with a total."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    entries = summarize(rounds)
    for entry in entries:
        name = f"{entry['fault']} {entry['title']}".strip()
        counts = [str(entry[column]) for column in _COLUMNS[1:7]]
        times = [
            f"{entry[key]['median']} / {entry[key]['worst']}"
            for key in ("pause_s", "recovery_s", "slowest_ack_s")
        ]
        lines.append(f"| {' | '.join([name, *counts, *times])} |")
    sums = [str(sum(entry[column] for entry in entries)) for column in _COLUMNS[1:7]]
    lines.append(f"| {' | '.join(['all', *sums, '', '', ''])} |")
    return "\n".join([*lines, "", _NOTE, ""])
