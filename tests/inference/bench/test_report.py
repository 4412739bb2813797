import json

import pytest

from inference.bench.report import (
    TARGETS,
    Results,
    Target,
    build_json,
    format_tables,
    format_targets,
)
from inference.bench.suite import AGAINST, ENGINE, Record


def record(contestant: str, repeat: int, tokens_per_s: float) -> Record:
    figures = {"tokens_per_s": tokens_per_s}
    return Record("support cold", contestant, repeat, figures)


RESULTS = Results(
    [
        record(ENGINE, 1, 70.0),
        record(AGAINST, 1, 50.0),
        record(ENGINE, 2, 30.0),
        record(AGAINST, 2, 20.0),
        record(ENGINE, 3, 80.0),
    ]
)


def test_a_ratio_is_taken_within_each_repetition():
    ratio = RESULTS.ratio("support cold", "tokens_per_s", (ENGINE, AGAINST))
    assert ratio == pytest.approx((1.4 + 1.5) / 2)


def test_there_is_no_ratio_with_somebody_who_was_not_measured():
    assert RESULTS.ratio("support cold", "tokens_per_s", (ENGINE, "lock")) is None


def test_a_figure_is_the_median_of_the_repetitions():
    assert RESULTS.median("support cold", ENGINE, "tokens_per_s") == 70.0


@pytest.mark.parametrize(
    ("value", "word"),
    [(None, "not measured"), (1.34, "missed"), (1.35, "must"), (1.5, "aim")],
)
def test_more_is_better_where_the_aim_is_higher(value, word):
    assert Target("", 1.35, 1.5, lambda _: None).judge(value) == word


@pytest.mark.parametrize(
    ("value", "word"), [(0.5, "missed"), (0.45, "must"), (0.3, "aim")]
)
def test_less_is_better_where_the_aim_is_lower(value, word):
    assert Target("", 0.45, 0.3, lambda _: None).judge(value) == word


def test_every_target_has_a_row():
    assert len(list(format_targets(RESULTS))) == len(TARGETS) + 2


def test_a_table_compares_everybody_with_the_first():
    row = next(line for line in format_tables(RESULTS) if line.startswith("| against"))
    assert row == "| against | 35 | 1.45 |"


def test_the_json_has_repetitions_ratios_and_targets():
    whole = json.loads(build_json(RESULTS, {"threads": 2}))
    assert len(whole["records"]) == 5
    ratios = {"tokens_per_s": pytest.approx(1.45)}
    assert whole["ratios"] == {"support cold": {AGAINST: ratios}}
    assert whole["targets"][0]["reached"] == "must"
    assert whole["threads"] == 2
