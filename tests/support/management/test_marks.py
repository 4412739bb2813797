"""Marks tell conversations apart."""

import pytest

from support.management.loadtest.marks import (
    MARK_PATTERN,
    build_mark,
    choose_run,
    find_foreign,
)

OWN, OTHER = build_mark("aaaaa", 1), build_mark("aaaaa", 2)


def test_marks_differ_by_run_and_number():
    marks = {build_mark(run, n) for run in ("aaaaa", "baaaa") for n in range(1000)}
    assert len(marks) == 2000


def test_marks_are_recognised():
    run = choose_run()
    assert MARK_PATTERN.fullmatch(build_mark(run, 26**6 - 1))


@pytest.mark.parametrize(("run", "number"), [("aaaaa", 26**6), ("aaaa", 1)])
def test_there_is_no_mark_for_more(run, number):
    with pytest.raises(ValueError, match="no mark"):
        build_mark(run, number)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"I am {OWN}.", set()),
        (f"I am {OTHER.upper()}.", {OTHER}),
        (f"{OWN}{OTHER}", {OTHER}),
        (OTHER[:-1], set()),
    ],
)
def test_finds_marks_of_others(text, found):
    assert find_foreign(text, OWN) == found
