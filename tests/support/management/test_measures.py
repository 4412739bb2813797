"""What a load test says of its times."""

import numpy as np
import pytest

from support.management.loadtest.history import Violation
from support.management.loadtest.measures import Measures, ReplyClock
from support.management.loadtest.plan import Plan
from support.management.loadtest.play import Played
from support.management.loadtest.report import (
    GROUPS,
    build_report,
    count_violations,
    describe,
    format_report,
)
from support.management.loadtest.screen import Kind


def text(words: str) -> dict:
    return {"type": "delta", "text": words}


def done(content: str, state: str = "answered", notice: str | None = None) -> dict:
    return {"state": state, "message": {"content": content, "notice": notice}}


def rounded(numbers) -> list[float]:
    return [round(number, 6) for number in numbers]


@pytest.fixture
def measures():
    return Measures()


def test_measures_a_reply_against_its_pace(measures):
    clock = ReplyClock(measures, words_per_s=10, sent_s=100.0)
    clock.acknowledge(100.01)
    clock.read(text("one"), 100.15)
    clock.read(text(" two three"), 100.45)
    clock.read(text(" four"), 100.46)
    clock.end(done("one two three four"), 100.5, "zqx")
    assert rounded(measures.ack_ms) == [10]
    assert rounded(measures.first_ms) == [150]
    assert rounded(measures.gap_ms) == [300, 10]
    assert rounded(measures.added_gap_ms) == [100, -90]
    assert rounded(measures.added_ms) == [50, 150, 60]
    assert rounded(measures.reply_ms) == [500]
    assert measures.words_per_s[0] == pytest.approx(3 / 0.31)
    assert (measures.num_words, measures.num_characters) == (4, 18)


def test_without_a_pace_nothing_is_said_of_added_time(measures):
    clock = ReplyClock(measures, words_per_s=0, sent_s=0.0)
    clock.read(text("one"), 1.0)
    clock.read(text(" two"), 2.0)
    assert (len(measures.gap_ms), len(measures.added_ms)) == (1, 0)


def test_a_reset_ends_the_timing_of_texts(measures):
    clock = ReplyClock(measures, words_per_s=10, sent_s=0.0)
    clock.read(text("given up"), 1.0)
    clock.read({"type": "reset"}, 2.0)
    clock.read(text("again"), 60.0)
    clock.end(done("again"), 61.0, "zqx")
    assert (len(measures.gap_ms), len(measures.words_per_s)) == (0, 0)
    assert (measures.num_resets, rounded(measures.reply_ms)) == (1, [61_000])


@pytest.mark.parametrize(("content", "is_marked"), [("A ZQXab b", 1), ("none", 0)])
def test_counts_replies_with_their_mark(measures, content, is_marked):
    ReplyClock(measures, 0, 0.0).end(done(content), 1.0, "zqxab")
    assert measures.num_marked == is_marked


def test_counts_how_turns_ended(measures):
    clock = ReplyClock(measures, 0, 0.0)
    clock.end(done("sorry", "failed", "reply_failed"), 1.0, "zqx")
    assert measures.states == {"failed": 1}
    assert measures.notices == {"reply_failed": 1}


def test_percentiles_are_those_of_numpy():
    numbers = [float(number**2) for number in range(57)]
    described = describe(numbers)
    assert described["count"] == 57
    for name, q in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
        assert described[name] == pytest.approx(np.percentile(numbers, q), abs=0.01)


def test_nothing_measured_has_no_percentiles():
    assert describe([]) == {"count": 0}


def test_each_kind_of_violation_is_in_one_column():
    kinds = [kind for group in GROUPS.values() for kind in group]
    assert sorted(kinds) == sorted(Kind)


def test_counts_violations_by_column():
    kinds = (Kind.TORN, Kind.FOREIGN, Kind.GAP)
    counts = count_violations(Violation(kind, "c", "o", "d") for kind in kinds)
    assert counts == {"lost": 1, "doubled": 0, "out_of_order": 0, "mixed": 2}


def test_reports_a_run_without_a_single_reply():
    played = Played(Plan("http://localhost", "aaaaa"))
    played.measures.errors["unreachable"] = 3
    printed = format_report(build_report(played))
    assert "0 messages" in printed
    assert "errors: unreachable: 3" in printed
