"""The panels of the monitoring page: each a chart with its table."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from support.models import Notice, TurnState
from support.monitoring import charts, formats
from support.monitoring.charts import Axes, Chart, Series
from support.monitoring.figures import Figures
from support.monitoring.percentiles import Spread
from support.monitoring.periods import Window
from support.monitoring.selectors import Calls

_PERCENTILES = ("p50", "p95", "p99")
NUM_COLORS = 6


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers of a chart, written out; the first cell of a row is its head.

    `groups` are the names above several columns, each with their number.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    groups: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart with its table; `note` says what the chart leaves out."""

    key: str
    title: str
    meaning: str
    chart: Chart
    table: Table
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the whole window, and what stands below it."""

    title: str
    value: str
    details: Sequence[str]
    is_median: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The calls of a window, of one backend or (without a name) of all.

    `turns` counts how the turns of each step ended; a turn belongs to no backend.
    """

    calls: Calls
    turns: Sequence[Counter[str]]
    backend: str = ""

    @property
    def window(self) -> Window:
        """Return the window."""
        return self.calls.window

    @property
    def shown_names(self) -> Sequence[str]:
        """Return the backends that are looked at."""
        return [self.backend] if self.backend else self.calls.names

    @property
    def num_unanswered(self) -> int | None:
        """Return the turns that ended without an answer; None for one backend."""
        if self.backend:
            return None
        return sum(step[TurnState.FAILED] for step in self.turns)

    @property
    def num_excerpts(self) -> int:
        """Return how many of those got an excerpt of an article."""
        return sum(step[Notice.REPLY_EXCERPT] for step in self.turns)

    def style_of(self, name: str) -> str:
        """Return the colour of a backend; the same in all charts."""
        return f"color-{self.calls.names.index(name) % NUM_COLORS + 1}"


def build_panels(page: Page) -> list[Panel]:
    """Return the panels in their order; no query."""
    steps = page.calls.by_step(page.backend)
    return [
        _replies_panel(page),
        _spread_panel(
            page, "ttft", "Time to first token",
            "From the call to the first piece of text", [step.ttft for step in steps],
        ),
        _spread_panel(
            page, "duration", "Duration",
            "From the call to the last piece of text of a finished reply",
            [step.duration for step in steps],
        ),
        _spread_panel(
            page, "queue", "Queue time",
            "From the stored question to its first call",
            [step.queue for step in steps],
        ),
        _throughput_panel(page, steps),
        _cost_panel(page, steps),
        _failures_panel(page, steps),
    ]  # fmt: skip


def build_tiles(page: Page) -> list[Tile]:
    """Return the numbers of the whole window."""
    total = page.calls.total(page.backend)
    seconds = page.calls.duration_s
    replies = [formats.number_of(total.num_calls, "call") + " to models"]
    if page.num_unanswered is not None:
        replies.append(
            formats.number_of(page.num_unanswered, "question") + " unanswered"
        )
    if page.num_unanswered and page.num_excerpts:
        replies.append(f"{formats.count(page.num_excerpts)} of them got an excerpt")
    return [
        Tile("Replies", formats.count(total.num_replies), replies),
        _spread_tile("Time to first token", total.ttft),
        _spread_tile("Duration", total.duration),
        _spread_tile("Queue time", total.queue),
        Tile(
            "Tokens per second",
            formats.rate(total.completion_tokens / seconds),
            _describe_tokens(total),
        ),
        Tile("Cost", _cost(total), _describe_costs(total)),
        Tile(
            "Failures",
            formats.count(total.num_failures),
            _share(total.num_failures, total.num_calls, "of the calls"),
        ),
        Tile(
            "Fallbacks",
            formats.count(total.num_fallbacks),
            _share(total.num_fallbacks, total.num_replies, "of the replies"),
        ),
    ]


def build_summary(page: Page) -> Table:
    """Return a row for each backend, and one for all if there are several."""
    names = list(page.shown_names)
    rows = [_summary_row(name, page.calls.total(name), page) for name in names]
    if len(names) > 1:
        rows.append(_summary_row("All", page.calls.total(), page))
    columns = (
        "Backend", "calls", "replies", "failures", "fallbacks", *_PERCENTILES * 3,
        "in all", "writing", "priced", "unpriced calls",
    )  # fmt: skip
    groups = (
        ("", 1), ("Number", 4), ("First token, ms", 3), ("Duration, ms", 3),
        ("Queue, ms", 3), ("Tokens/s", 2), ("Cost", 2),
    )  # fmt: skip
    return Table(columns, rows, groups)


def _summary_row(name: str, figures: Figures, page: Page) -> list[str]:
    spreads = (figures.ttft, figures.duration, figures.queue)
    return [
        name,
        formats.count(figures.num_calls),
        formats.count(figures.num_replies),
        formats.count(figures.num_failures),
        formats.count(figures.num_fallbacks),
        *(formats.milliseconds(p) for each in spreads for p in each.percentiles),
        formats.rate(figures.completion_tokens / page.calls.duration_s),
        formats.rate(figures.writing_speed),
        _cost(figures),
        formats.count(figures.num_unpriced),
    ]


def _spread_tile(title: str, spread: Spread) -> Tile:
    if not spread.count:
        return Tile(title, formats.NONE, ["nothing measured"])
    details = [
        f"p95 {formats.duration(spread.p95)}",
        f"p99 {formats.duration(spread.p99)}",
    ]
    return Tile(title, formats.duration(spread.p50), details, is_median=True)


def _share(part: int, whole: int, of_what: str) -> list[str]:
    return [f"{formats.share(part, whole)} {of_what}"] if whole else []


def _describe_tokens(figures: Figures) -> list[str]:
    details = [f"{formats.count(figures.completion_tokens)} tokens in the period"]
    if figures.writing_speed is not None:
        details.append(
            f"{formats.rate(figures.writing_speed)} while a reply is written"
        )
    return details


def _cost(figures: Figures) -> str:
    """Return the known cost; what has no price is unpriced, never zero."""
    if figures.num_unpriced and not figures.num_priced:
        return "unpriced"
    return formats.usd(figures.known_cost_usd)


def _describe_costs(figures: Figures) -> list[str]:
    unpriced = formats.number_of(figures.num_unpriced, "call")
    if not figures.num_priced:
        return [unpriced] if figures.num_unpriced else []
    details = [formats.number_of(figures.num_priced, "call") + " with a price"]
    if figures.estimated_usd:
        details.append(f"{formats.usd(figures.estimated_usd)} of it estimated")
    if figures.num_unpriced:
        details.append(f"+ {unpriced} unpriced, not in it")
    return details


def _axes(
    page: Page,
    write: Callable[[float | None], str],
    write_tick: Callable[[float], str],
    is_whole: bool = False,
) -> Axes:
    starts, period = page.window.starts, page.window.period
    return Axes(
        [formats.step_label(start, period) for start in starts],
        _names(page),
        write,
        write_tick,
        is_whole,
    )


def _names(page: Page) -> list[str]:
    window = page.window
    return [formats.step_name(start, window.period) for start in window.starts]


def _table(page: Page, columns: dict[str, Iterable[str]]) -> Table:
    """Return a row for each step, the latest first."""
    names = _names(page)
    rows = list(zip(names, *columns.values(), strict=True))
    return Table([page.window.period.step_name.capitalize(), *columns], rows[::-1])


def _replies_panel(page: Page) -> Panel:
    series = [
        Series(
            name,
            page.style_of(name),
            [step.num_replies for step in page.calls.by_step(name)],
        )
        for name in page.shown_names
    ]
    columns: dict[str, Iterable[str]] = {
        each.name: map(formats.count, each.values) for each in series
    }
    if len(series) > 1:
        steps = page.calls.by_step()
        columns["All"] = [formats.count(step.num_replies) for step in steps]
    return Panel(
        "replies",
        "Replies",
        "Finished replies, by the backend that wrote them",
        charts.build_stacks(
            series, _axes(page, formats.count, formats.count, is_whole=True)
        ),
        _table(page, columns),
    )


def _spread_panel(
    page: Page, key: str, title: str, meaning: str, spreads: Sequence[Spread]
) -> Panel:
    percentiles = list(zip(*(spread.percentiles for spread in spreads), strict=True))
    series = [
        Series(name, name, values)
        for name, values in zip(_PERCENTILES, percentiles, strict=True)
    ]
    columns: dict[str, Iterable[str]] = {
        f"{each.name}, ms": map(formats.milliseconds, each.values) for each in series
    }
    columns["Calls"] = [formats.count(spread.count) for spread in spreads]
    return Panel(
        key,
        title,
        meaning,
        charts.build_lines(series, _axes(page, formats.duration, formats.duration)),
        _table(page, columns),
    )


def _throughput_panel(page: Page, steps: Sequence[Figures]) -> Panel:
    rates = [
        step.completion_tokens / page.window.step_s(number)
        for number, step in enumerate(steps)
    ]
    series = [Series("Tokens per second", "color-1", rates)]
    columns: dict[str, Iterable[str]] = {
        "Tokens/s": map(formats.rate, rates),
        "While writing": (formats.rate(step.writing_speed) for step in steps),
        "Written": (formats.count(step.completion_tokens) for step in steps),
        "Read": (formats.count(step.prompt_tokens) for step in steps),
        "Cached": (formats.count(step.cached_tokens) for step in steps),
    }
    return Panel(
        "throughput",
        "Tokens per second",
        "Written tokens of all calls, spread over the whole "
        + page.window.period.step_name,
        charts.build_stacks(series, _axes(page, formats.rate, formats.short_rate)),
        _table(page, columns),
    )


def _cost_panel(page: Page, steps: Sequence[Figures]) -> Panel:
    series = [
        Series(
            name,
            page.style_of(name),
            [_as_number(step.known_cost_usd) for step in page.calls.by_step(name)],
        )
        for name in page.shown_names
    ]
    columns: dict[str, Iterable[str]] = {
        name: [_cost(step) for step in page.calls.by_step(name)]
        for name in page.shown_names
    }
    if len(series) > 1:
        columns["All"] = [_cost(step) for step in steps]
    columns["Unpriced calls"] = [formats.count(step.num_unpriced) for step in steps]
    num_unpriced = sum(step.num_unpriced for step in steps)
    return Panel(
        "cost",
        "Cost",
        "In US dollars, at the prices of the day of the call",
        charts.build_stacks(series, _axes(page, _write_usd, formats.short_usd)),
        _table(page, columns),
        f"Not in the columns: {formats.number_of(num_unpriced, 'call')} without a "
        "known price. The table counts them."
        if num_unpriced
        else "",
    )


def _failures_panel(page: Page, steps: Sequence[Figures]) -> Panel:
    series = [
        Series("Failed", "failed", [step.num_failed for step in steps]),
        Series("Lost", "lost", [step.num_lost for step in steps]),
        Series("Fallbacks", "fallback", [step.num_fallbacks for step in steps]),
    ]
    if not page.backend:
        unanswered = [step[TurnState.FAILED] for step in page.turns]
        series.append(Series("Unanswered", "unanswered", unanswered))
    return Panel(
        "failures",
        "Failures and fallbacks",
        "Calls that failed or were lost with their worker, replies by another backend "
        "than the first, questions without an answer",
        charts.build_columns(
            series, _axes(page, formats.count, formats.count, is_whole=True)
        ),
        _table(page, {s.name: map(formats.count, s.values) for s in series}),
    )


def _as_number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _write_usd(value: float | None) -> str:
    return formats.usd(None if value is None else Decimal(f"{value:.8f}"))
