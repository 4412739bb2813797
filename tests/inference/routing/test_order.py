"""Who may be asked, and in which order, by table."""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.routing.order import Rules, Trial, put_before, rank, why_forbidden
from inference.routing.plan import Asker

NOBODY = Asker(conversation="c")


@dataclass(frozen=True)
class Row:
    """What the order goes by."""

    name: str
    position: int = 10
    weight: int = 1
    leaves_house: bool = False


LOCAL = Row("local", 10)
CLOUD = Row("cloud", 20, leaves_house=True)
SPARE = Row("spare", 30, leaves_house=True)
CHAIN = [CLOUD, SPARE, LOCAL]
ALL = Trial("spare", 100)


def names(ranking):
    return [option.name for option in ranking.options]


@pytest.mark.parametrize(
    ("pinned", "rules", "expected", "why"),
    [
        ("", Rules(), "local cloud spare", "it comes first in the order"),
        ("cloud", Rules(), "cloud local spare", "the conversation stays with it"),
        ("gone", Rules(), "local cloud spare", "it comes first in the order"),
        ("", Rules(trial=ALL), "spare local cloud",
         "it is on trial with 100 % of new conversations"),
        ("local", Rules(trial=ALL), "local cloud spare",
         "the conversation stays with it"),
        ("spare", Rules(trial=ALL), "spare local cloud",
         "the conversation stays with it"),
        ("", Rules(trial=Trial("local", 0)), "cloud spare local",
         "it comes first in the order"),
        ("", Rules(trial=Trial("gone", 100)), "local cloud spare",
         "it comes first in the order"),
        ("spare", Rules(distrusted=frozenset({"spare"})), "local cloud spare",
         "it comes first in the order"),
        ("local", Rules(distrusted=frozenset({"local"})), "local cloud spare",
         "it comes first in the order"),
    ],
)  # fmt: skip
def test_the_order_of_asking(pinned, rules, expected, why):
    ranking = rank(CHAIN, Asker("c", pinned=pinned), rules)
    assert names(ranking) == expected.split()
    assert ranking.why_first == why


def test_nobody_is_no_order():
    assert names(rank([], NOBODY, Rules())) == []


def test_a_candidate_that_is_alone_answers_all():
    assert names(rank([LOCAL], NOBODY, Rules(trial=Trial("local", 0)))) == ["local"]


@pytest.mark.parametrize(
    ("option", "is_private", "is_cloud_off", "why"),
    [
        (LOCAL, True, True, ""),
        (CLOUD, False, False, ""),
        (CLOUD, True, False, "the conversation is private"),
        (CLOUD, False, True, "nothing may leave the house"),
        (CLOUD, True, True, "nothing may leave the house"),
    ],
)
def test_what_may_not_be_asked(option, is_private, is_cloud_off, why):
    asker = Asker("c", is_private=is_private)
    assert why_forbidden(option, asker, Rules(is_cloud_off)) == why


def count_firsts(options, rules=None):
    rules = rules or Rules()
    return Counter(
        rank(options, Asker(str(UUID(int=number))), rules).options[0].name
        for number in range(4000)
    )


def test_those_at_one_position_share_by_weight():
    firsts = count_firsts([Row("a", weight=3), Row("b", weight=1), Row("c", 20)])
    assert firsts["a"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert firsts["c"] == 0


def test_who_shares_is_said():
    rows = [Row("a"), Row("b", weight=0), Row("c", weight=0)]
    ranking = rank(rows, NOBODY, Rules())
    assert ranking.why_first == "it shares new conversations with b and c"


def test_without_a_weight_a_backend_only_helps_out():
    assert count_firsts([Row("a", weight=0), Row("b")]) == {"b": 4000}


def test_a_candidate_gets_its_share():
    rows = [LOCAL, Row("new", 5)]
    firsts = count_firsts(rows, Rules(trial=Trial("new", 5)))
    assert firsts["new"] / 4000 == pytest.approx(0.05, abs=0.015)


@given(st.uuids(), st.lists(st.integers(0, 5), min_size=2, max_size=5))
def test_a_backend_that_is_gone_moves_only_its_own(conversation, weights):
    rows = [Row(f"b{number}", weight=weight) for number, weight in enumerate(weights)]
    asker = Asker(str(conversation))
    first, *rest = rank(rows, asker, Rules()).options
    assert list(rank(rest, asker, Rules()).options) == rest
    assert rank(rows[::-1], asker, Rules()).options[0] == first


def test_some_are_put_before_the_others():
    ranking = rank(CHAIN, NOBODY, Rules())
    moved = put_before(ranking, {"spare", "cloud"}, "because")
    assert (names(moved), moved.why_first) == (["cloud", "spare", "local"], "because")
    assert put_before(ranking, {"gone"}, "because") == ranking
