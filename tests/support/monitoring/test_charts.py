"""The geometry of charts: what is drawn is what was measured."""

import pytest

from support.monitoring import charts, formats
from support.monitoring.charts import HEIGHT_PX, Axes, Series


def axes(number: int, is_whole: bool = False) -> Axes:
    labels = [str(step) for step in range(number)]
    return Axes(labels, labels, formats.count, formats.short_rate, is_whole)


def ticks(highest: float, is_whole: bool = False) -> list[str]:
    chart = charts.build_lines([Series("s", "s", [highest])], axes(1, is_whole))
    return [tick.text for tick in chart.ticks]


@pytest.mark.parametrize(
    ("highest", "is_whole", "texts"),
    [
        (0, False, ["0"]),
        (1, True, ["0", "1"]),
        (3, True, ["0", "1", "2", "3"]),
        (10, False, ["0", "2.5", "5", "7.5", "10"]),
        (10, True, ["0", "3", "6", "9", "12"]),
        (0.3, False, ["0", "0.1", "0.2", "0.3"]),
        (1001, False, ["0", "500", "1,000", "1,500"]),
        (4000, False, ["0", "1,000", "2,000", "3,000", "4,000"]),
    ],
)
def test_the_scale_has_few_round_parts(highest, is_whole, texts):
    assert ticks(highest, is_whole) == texts


def test_heights_are_in_proportion():
    chart = charts.build_stacks([Series("s", "s", [50, 100, 200])], axes(3))
    assert [bar.height for bar in chart.bars] == [
        HEIGHT_PX / 4, HEIGHT_PX / 2, HEIGHT_PX,
    ]  # fmt: skip


def test_the_series_of_a_step_stand_on_each_other():
    series = [Series("a", "a", [100]), Series("b", "b", [100])]
    lower, upper = charts.build_stacks(series, axes(1)).bars
    assert (lower.y, lower.y + lower.height) == (HEIGHT_PX / 2, HEIGHT_PX)
    assert (upper.y, upper.y + upper.height + 1) == (0, HEIGHT_PX / 2)


def test_columns_stand_side_by_side():
    series = [Series("a", "a", [100]), Series("b", "b", [50])]
    left, right = charts.build_columns(series, axes(1)).bars
    assert left.x + left.width == right.x
    assert right.y + right.height == HEIGHT_PX


def test_what_is_there_is_seen():
    chart = charts.build_stacks([Series("s", "s", [1, 100_000])], axes(2))
    assert chart.bars[0].height >= 1


def test_what_is_not_there_is_not_drawn():
    chart = charts.build_stacks([Series("s", "s", [0, None, 3])], axes(3))
    assert len(chart.bars) == 1


def test_a_gap_interrupts_a_line():
    chart = charts.build_lines([Series("s", "s", [1, 2, None, 3, 4])], axes(5))
    assert len(chart.dots) == 4
    assert [(line.x1, line.x2) for line in chart.segments] == [(10, 30), (70, 90)]


def test_a_single_value_is_a_dot():
    chart = charts.build_lines([Series("s", "s", [None, 7, None])], axes(3))
    assert (len(chart.dots), len(chart.segments), chart.is_empty) == (1, 0, False)


@pytest.mark.parametrize(
    "build", [charts.build_lines, charts.build_stacks, charts.build_columns]
)
@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_is_an_empty_chart(build, values):
    chart = build([Series("s", "s", values)], axes(len(values)))
    assert chart.is_empty
    assert [tick.text for tick in chart.ticks] == ["0"]


@pytest.mark.parametrize("build", [charts.build_lines, charts.build_stacks])
def test_no_series_is_an_empty_chart(build):
    assert build([], axes(3)).is_empty


@pytest.mark.parametrize("number", [1, 6, 7, 12, 24, 30])
def test_few_labels_of_which_the_last_is_the_latest(number):
    chart = charts.build_lines([Series("s", "s", [1] * number)], axes(number))
    assert len(chart.labels) <= charts.MAX_LABELS
    assert chart.labels[-1].text == str(number - 1)


def test_the_pointer_finds_all_values_of_a_step():
    series = [Series("a", "a", [1000]), Series("b", "b", [None])]
    [step] = charts.build_lines(series, axes(1)).steps
    assert step.text == "0\na: 1,000\nb: -"
