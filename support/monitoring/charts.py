"""The geometry of charts, which a template draws as SVG.

Heights are pixels from the top; places from left to right are percentages, so that a
chart fills any width while its text and lines keep their size. No colour is here: the
style sheet gives each series its own, in light and dark.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

HEIGHT_PX = 208.0
MAX_LABELS = 6
MAX_TICKS = 4
_BAR_SHARE = 0.68  # of the width of a step
_MAX_BAR = 5.0  # per cent of the chart
_SMALLEST_BAR_PX = 1.5  # what is there is seen
_GAP_PX = 1.0  # between the pieces of a column

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each step, None where there is none; `style` names the colour."""

    name: str
    style: str
    values: Values


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the chart with its value."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """A step's name below the chart, at `x` per cent."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a column: `x` and `width` in per cent, the rest in pixels."""

    x: float
    width: float
    y: float
    height: float
    style: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A value on a line."""

    x: float
    y: float
    style: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A line from one value to that of the next step."""

    x1: float
    y1: float
    x2: float
    y2: float
    style: str


@dataclass(frozen=True, slots=True)
class Step:
    """The place of a step over the chart's full height, with what to say there."""

    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All shapes of a chart; `is_lines` if values are joined, not columns."""

    series: Sequence[Series]
    ticks: Sequence[Tick]
    labels: Sequence[Label]
    steps: Sequence[Step]
    bars: Sequence[Bar] = ()
    segments: Sequence[Segment] = ()
    dots: Sequence[Dot] = ()
    is_lines: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether no series has a value above zero, or any on a line."""
        return not self.bars and not self.dots

    @property
    def height(self) -> float:
        """Return the height of the part that values are drawn in."""
        return HEIGHT_PX


@dataclass(frozen=True, slots=True)
class Axes:
    """What charts of one window share, and how to write the values of this one.

    `labels` are short and `names` full names of the steps.
    """

    labels: Sequence[str]
    names: Sequence[str]
    write: Callable[[float | None], str]
    write_tick: Callable[[float], str]
    is_whole: bool = False


def build_stacks(series: Sequence[Series], axes: Axes) -> Chart:
    """Return a chart of one column a step; the series stand on each other."""
    num_steps = len(axes.labels)
    sums = [sum(each.values[step] or 0 for each in series) for step in range(num_steps)]
    scale = _Scale.up_to(max(sums, default=0), axes.is_whole)
    width = min(100 / max(num_steps, 1) * _BAR_SHARE, _MAX_BAR)
    bars = []
    for step in range(num_steps):
        top = HEIGHT_PX
        for each in series:
            if value := each.values[step]:
                height = scale.height(value)
                gap = _GAP_PX if top < HEIGHT_PX and height > 2 * _GAP_PX else 0
                top -= height
                x = _middle(step, axes) - width / 2
                bars.append(_bar(x, width, top, height - gap, each.style))
    return _bar_chart(series, axes, scale, bars)


def build_columns(series: Sequence[Series], axes: Axes) -> Chart:
    """Return a chart of a column for each series, side by side in every step."""
    num_steps = len(axes.labels)
    highest = max((v or 0 for each in series for v in each.values), default=0)
    scale = _Scale.up_to(highest, axes.is_whole)
    width = min(100 / max(num_steps, 1) * _BAR_SHARE, _MAX_BAR) / max(len(series), 1)
    bars = []
    for place, each in enumerate(series):
        for step, value in enumerate(each.values):
            if value:
                x = _middle(step, axes) + width * (place - len(series) / 2)
                height = scale.height(value)
                bars.append(_bar(x, width, HEIGHT_PX - height, height, each.style))
    return _bar_chart(series, axes, scale, bars)


def build_lines(series: Sequence[Series], axes: Axes) -> Chart:
    """Return a chart of lines; a step without a value interrupts its line."""
    known = [value for each in series for value in each.values if value is not None]
    scale = _Scale.up_to(max(known, default=0), axes.is_whole)
    segments, dots = [], []
    for each in series:
        places = [
            None if value is None else (_middle(step, axes), _round(scale.y(value)))
            for step, value in enumerate(each.values)
        ]
        dots += [Dot(*place, each.style) for place in places if place]
        segments += [
            Segment(*before, *after, each.style)
            for before, after in pairwise(places)
            if before and after
        ]
    return Chart(
        series,
        scale.ticks(axes),
        _labels(axes),
        _steps(series, axes),
        segments=segments,
        dots=dots,
        is_lines=True,
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """From zero to a round number, in equal parts."""

    part: float
    num_parts: int

    @classmethod
    def up_to(cls, highest: float, is_whole: bool) -> "_Scale":
        """Return the scale with the fewest round parts that holds a value."""
        if highest <= 0:
            return cls(0.0, 0)
        part = _round_up(highest / MAX_TICKS)
        if is_whole:
            part = max(1.0, ceil(part))
        return cls(part, ceil(round(highest / part, 9)))

    def y(self, value: float) -> float:
        """Return where a value is, in pixels from the top."""
        highest = self.part * self.num_parts
        return HEIGHT_PX * (1 - value / highest) if highest else HEIGHT_PX

    def height(self, value: float) -> float:
        """Return the height of a column, in pixels."""
        return max(HEIGHT_PX - self.y(value), _SMALLEST_BAR_PX)

    def ticks(self, axes: Axes) -> list[Tick]:
        """Return the lines, from zero upwards; of an empty scale zero alone."""
        values = [self.part * number for number in range(self.num_parts + 1)]
        return [Tick(_round(self.y(value)), axes.write_tick(value)) for value in values]


def _bar(x: float, width: float, y: float, height: float, style: str) -> Bar:
    return Bar(_round(x), _round(width), _round(y), _round(height), style)


def _bar_chart(
    series: Sequence[Series], axes: Axes, scale: _Scale, bars: Sequence[Bar]
) -> Chart:
    return Chart(
        series, scale.ticks(axes), _labels(axes), _steps(series, axes), bars=bars
    )


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5 and 10 times a power of ten."""
    power = 10.0 ** floor(log10(value))
    for factor in (1, 2, 2.5, 5):
        if value <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power


def _labels(axes: Axes) -> list[Label]:
    """Return every so manieth step's label, counted from the latest."""
    num_steps = len(axes.labels)
    every = ceil(num_steps / MAX_LABELS)
    shown = range((num_steps - 1) % every, num_steps, every) if num_steps else ()
    return [Label(_middle(step, axes), axes.labels[step]) for step in shown]


def _steps(series: Sequence[Series], axes: Axes) -> list[Step]:
    """Return what the pointer finds over each step: its name and all values."""
    width = 100 / max(len(axes.labels), 1)
    return [
        Step(
            _round(width * step),
            _round(width),
            "\n".join(
                [name, *(f"{s.name}: {axes.write(s.values[step])}" for s in series)]
            ),
        )
        for step, name in enumerate(axes.names)
    ]


def _middle(step: int, axes: Axes) -> float:
    return _round(100 / len(axes.labels) * (step + 0.5))


def _round(value: float) -> float:
    return round(value, 2)
