"""Tables and JSON of what was measured, and what it had to reach."""

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from inference.bench.suite import (
    AGAINST,
    BARE_SAME,
    ENGINE,
    LOCK,
    OFF,
    ON,
    Record,
)

Value = Callable[["Results"], float | None]


class Results:
    """The records of a run of the bench."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = tuple(records)

    @property
    def workloads(self) -> list[str]:
        """Return the names of what was measured, in the order of measuring."""
        return list(dict.fromkeys(record.workload for record in self.records))

    def contestants_of(self, workload: str) -> list[str]:
        """Return who was measured at a workload."""
        names = (one.contestant for one in self.records if one.workload == workload)
        return list(dict.fromkeys(names))

    def find(self, workload: str, contestant: str, figure: str) -> dict[int, float]:
        """Return a figure by repetition; empty if it was not measured."""
        return {
            one.repeat: one.figures[figure]
            for one in self.records
            if (one.workload, one.contestant) == (workload, contestant)
            and figure in one.figures
        }

    def median(self, workload: str, contestant: str, figure: str) -> float | None:
        """Return the median over the repetitions, None if there are none."""
        found = self.find(workload, contestant, figure)
        return statistics.median(found.values()) if found else None

    def ratio(
        self, workload: str, figure: str, contestants: tuple[str, str]
    ) -> float | None:
        """Return how a figure of the first contestant compares with the second's.

        The median of the ratios within the repetitions; None without a common one.
        """
        ours, theirs = (self.find(workload, one, figure) for one in contestants)
        ratios = [
            ours[repeat] / theirs[repeat] for repeat in ours if theirs.get(repeat)
        ]
        return statistics.median(ratios) if ratios else None


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must be reached and one that is aimed at; which way is better."""

    measure: str
    must: float
    aim: float
    value: Value
    unit: str = ""

    @property
    def is_lower_better(self) -> bool:
        """Return whether small values are good."""
        return self.aim < self.must

    def judge(self, value: float | None) -> str:
        """Return what a value means, in a word."""
        if value is None:
            return "not measured"
        sign = -1 if self.is_lower_better else 1
        if sign * value >= sign * self.aim:
            return "aim"
        return "must" if sign * value >= sign * self.must else "missed"


def _ratio(workload: str, figure: str, ours: str, theirs: str) -> Value:
    return lambda results: results.ratio(workload, figure, (ours, theirs))


def _figure(workload: str, contestant: str, figure: str) -> Value:
    return lambda results: results.median(workload, contestant, figure)


_SPEED, _FIRST = "tokens_per_s", "ttft_1_s"

TARGETS = (
    Target(
        "support cold: tokens/s against the server",
        *(1.35, 1.5, _ratio("support cold", _SPEED, ENGINE, AGAINST)),
    ),
    Target(
        "support cold: median first token of turn 1 against the server",
        *(0.45, 0.3, _ratio("support cold", _FIRST, ENGINE, AGAINST)),
    ),
    Target(
        "support steady: tokens/s against the server",
        *(1.0, 1.15, _ratio("support steady", _SPEED, ENGINE, AGAINST)),
    ),
    Target(
        "churn: tokens/s against the server",
        *(1.0, 1.15, _ratio("churn", _SPEED, ENGINE, AGAINST)),
    ),
    Target(
        "support cold: tokens/s against the lock",
        *(2.2, 2.5, _ratio("support cold", _SPEED, ENGINE, LOCK)),
    ),
    *(
        Target(
            f"{workload}: tokens/s against the bare loop, our settings",
            *(0.95, 0.98, _ratio(workload, _SPEED, ENGINE, BARE_SAME)),
        )
        for workload in ("support cold", "support steady", "churn")
    ),
    Target(
        "first token of turn 10 against turn 2",
        *(1.3, 1.1, _figure("turns", ENGINE, "last_to_second")),
    ),
    Target(
        "one stream that copies half: speculation on against off",
        *(1.35, 1.6, _ratio("copy, 1 stream", _SPEED, ON, OFF)),
    ),
    Target(
        "16 streams that copy half: speculation on against off",
        *(1.0, 1.15, _ratio("copy, 16 streams", _SPEED, ON, OFF)),
    ),
    Target(
        "one stream that copies nothing: speculation on against off",
        *(0.97, 1.0, _ratio("copy nothing, 1 stream", _SPEED, ON, OFF)),
    ),
    Target(
        "95th-percentile gap while a long prompt is read, against before",
        *(3.0, 2.0, _figure("long prompt", ENGINE, "ratio")),
    ),
    Target(
        "cells of 16 conversations against 16 copies",
        *(0.4, 0.3, _figure("footprint", ENGINE, "cells_ratio")),
    ),
    Target(
        "memory of the engine's own Python, MB",
        *(150.0, 149.9, _figure("footprint", ENGINE, "own_mb")),
    ),
)


def format_record(record: Record) -> str:
    """Return the figures of a record in a line."""
    figures = (f"{name} {_format(value)}" for name, value in record.figures.items())
    return f"  {', '.join(figures)}"


def format_tables(results: Results) -> Iterator[str]:
    """Yield the lines of a Markdown table for each workload, then the targets'."""
    for workload in results.workloads:
        yield from _format_workload(results, workload)
        yield ""
    yield from format_targets(results)


def _format_workload(results: Results, workload: str) -> Iterator[str]:
    contestants = results.contestants_of(workload)
    figures = dict.fromkeys(
        name
        for record in results.records
        if record.workload == workload
        for name in record.figures
    )
    compares = len(contestants) > 1
    heads = [workload, *(_say_figure(name) for name in figures)]
    heads += (
        ["tokens/s, ours against this"]
        if compares and "tokens_per_s" in figures
        else []
    )
    yield _row(heads)
    yield _row(["---"] * len(heads))
    for contestant in contestants:
        values = (results.median(workload, contestant, name) for name in figures)
        cells = [contestant, *map(_format, values)]
        if len(cells) < len(heads):
            pair = (contestants[0], contestant)
            cells.append(_format(results.ratio(workload, "tokens_per_s", pair)))
        yield _row(cells)


def format_targets(results: Results) -> Iterator[str]:
    """Yield the lines of the table of what had to be reached and was."""
    yield _row(["measure", "must", "aim", "measured", "reached"])
    yield _row(["---"] * 5)
    for target in TARGETS:
        value = target.value(results)
        bounds = (f"{target.must:g}", f"{target.aim:g}")
        yield _row([target.measure, *bounds, _format(value), target.judge(value)])


def build_json(results: Results, about: Mapping[str, object]) -> str:
    """Return everything as JSON: each repetition, and what had to be reached."""
    targets = [
        {
            "measure": target.measure,
            "must": target.must,
            "aim": target.aim,
            "value": target.value(results),
            "reached": target.judge(target.value(results)),
        }
        for target in TARGETS
    ]
    records = [
        {
            "workload": one.workload,
            "contestant": one.contestant,
            "repeat": one.repeat,
            **one.figures,
        }
        for one in results.records
    ]
    whole = {
        **about,
        "records": records,
        "ratios": build_ratios(results),
        "targets": targets,
    }
    return json.dumps(whole, indent=1) + "\n"


def build_ratios(results: Results) -> dict[str, dict[str, dict[str, float]]]:
    """Return what the first of each workload has of the others' figures."""
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    for workload in results.workloads:
        first, *others = results.contestants_of(workload)
        figures = {
            name
            for record in results.records
            if record.workload == workload
            for name in record.figures
        }
        ratios[workload] = {
            other: {
                name: ratio
                for name in sorted(figures)
                if (ratio := results.ratio(workload, name, (first, other))) is not None
            }
            for other in others
        }
    return ratios


def _say_figure(name: str) -> str:
    """Return a figure's name as the head of a column."""
    words = name.replace("_per_cpu_s", "/CPU second").replace("_per_s", "/s")
    for unit in ("s", "mb"):
        if words.endswith(f"_{unit}"):
            words = f"{words.removesuffix(f'_{unit}')}, {unit.replace('mb', 'MB')}"
    return words.replace("_", " ")


def _format(value: float | None) -> str:
    """Return three figures of a value, more if they are before the point."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
