"""Guesses: what is proposed, when it is worth its time, and that it changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.speculation import (
    MAX_MATCH,
    Acceptance,
    Draft,
    Drafter,
    PromptLookup,
    Unwritten,
    choose_lengths,
)
from inference.engine.step_costs import StepCosts

FLAT = StepCosts({1: 1.0, 64: 1.0}, 1.0)
LINEAR = StepCosts({1: 1.0, 64: 64.0}, 1.0)
# Two tokens cost twice as much as one, sixteen six times.
DEAR = StepCosts({1: 22, 2: 42, 4: 60, 8: 100, 12: 118, 16: 131, 24: 190}, 6)
# As measured with half a billion weights on two cores, in milliseconds.
MEASURED = StepCosts({1: 17, 2: 36, 4: 43, 8: 61, 12: 65, 16: 67, 24: 101, 32: 137}, 4)


def choose(drafts, num_others, room, costs):
    """Choose among drafts of which each token has the same chance."""
    chances = [
        [share ** (place + 1) for place in range(len(draft.tokens))]
        for draft, share in drafts
    ]
    return choose_lengths(chances, num_others, room, costs.read)


def propose(text: str, limit: int = 8) -> str:
    return bytes(PromptLookup().propose(text.encode(), limit).tokens).decode()


class TestPromptLookup:
    def test_goes_on_as_the_same_words_did(self):
        assert propose("a repair takes nine days. It takes ", 9) == "nine days"

    def test_the_latest_place_counts(self):
        assert propose("ab1 ab2 ab", 1) == "2"

    def test_a_longer_match_is_told(self):
        match = PromptLookup().propose(b"takes nine days; takes", 3).match
        assert match == len("takes")
        assert PromptLookup().propose(b"xa1 ya", 3).match == 0
        long = b"a whole sentence again; a whole sentence"
        assert PromptLookup().propose(long, 3).match == MAX_MATCH

    def test_what_was_never_there_is_not_proposed(self):
        assert propose("abcdef") == ""
        assert propose("a") == ""
        assert propose("") == ""

    def test_stops_at_the_end_of_what_is_known(self):
        assert propose("ab ab", 8) == " ab"

    @pytest.mark.parametrize("limit", [0, -1])
    def test_nothing_where_nothing_more_may_come(self, limit):
        assert propose("ab ab", limit) == ""

    @given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 9), st.data())
    def test_proposes_what_a_search_finds(self, tokens, limit, data):
        """However the tokens came, one by one or many at once."""
        lookup = PromptLookup()
        for end in sorted(data.draw(st.sets(st.integers(0, len(tokens))))):
            lookup.propose(tokens[:end], limit)
        found = ()
        for place in range(2, len(tokens)):
            if tokens[place - 2 : place] == tokens[-2:]:
                found = tuple(tokens[place : place + limit])
        assert lookup.propose(tokens, limit).tokens == found


class TestAcceptance:
    def test_begins_between_hope_and_doubt(self):
        assert 0.5 < Acceptance().share(3) < 0.7

    def test_learns_for_each_length_of_match(self):
        seen = Acceptance()
        for _ in range(20):
            seen.note(6, 8, 8)
            seen.note(2, 8, 0)
        assert seen.share(6) > 0.8
        assert seen.share(2) < 0.25

    def test_what_stands_behind_a_refused_token_is_not_held_against_it(self):
        seen = Acceptance()
        for _ in range(50):
            seen.note(3, 15, 3)
        assert seen.share(3) == pytest.approx(0.75, abs=0.03)

    def test_a_longer_match_begins_with_what_a_shorter_one_taught(self):
        seen = Acceptance()
        for _ in range(20):
            seen.note(2, 8, 8)
        assert seen.share(5) == pytest.approx(seen.share(2))

    def test_knows_how_long_copies_are(self):
        seen = Acceptance()
        for _ in range(30):
            seen.note(2, 20, 12)
        chances = seen.chances(Draft((1,) * 20, 2))
        assert chances[11] > 0.5
        assert chances[12] < 0.2


class TestChoosingLengths:
    def test_what_is_free_is_all_taken(self):
        drafts = [(Draft((1,) * 5), 0.1), (Draft((1,) * 9), 0.9)]
        assert choose(drafts, 2, 24, FLAT) == [5, 9]

    def test_what_costs_as_much_as_it_brings_is_left(self):
        assert choose([(Draft((1,) * 8), 0.95)], 1, 24, LINEAR) == [0]

    def test_the_likelier_draft_goes_first(self):
        drafts = [(Draft((1,) * 8), 0.5), (Draft((1,) * 8), 1.0)]
        assert choose(drafts, 2, 6, FLAT) == [0, 6]

    def test_on_two_cores_only_a_long_and_likely_draft_pays(self):
        long, short = Draft((1,) * 15), Draft((1,) * 3)
        assert choose([(long, 0.95)], 1, 24, MEASURED) == [15]
        assert choose([(long, 0.6)], 1, 24, MEASURED) == [0]
        assert choose([(short, 0.95)], 1, 24, MEASURED) == [3]
        assert choose([(short, 0.65)], 1, 24, MEASURED) == [0]

    def test_with_sixteen_replies_a_draft_must_be_nearly_certain(self):
        likely = [(Draft((1,) * 8), 0.5)] * 16
        assert sum(choose(likely, 16, 24, MEASURED)) == 0

    def test_nothing_to_write_and_no_room(self):
        assert choose([], 0, 24, MEASURED) == []
        assert choose([(Draft((1,)), 1.0)], 1, 0, FLAT) == [0]

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 9).map(lambda n: Draft((1,) * n)), st.floats(0, 1)
            ),
            max_size=6,
        ),
        st.integers(0, 40),
        st.integers(0, 24),
    )
    def test_no_draft_is_stretched_and_no_limit_passed(self, drafts, others, room):
        lengths = choose(drafts, len(drafts) + others, room, MEASURED)
        assert sum(lengths) <= room
        for length, (draft, _) in zip(lengths, drafts, strict=True):
            assert 0 <= length <= len(draft.tokens)


class TestDrafter:
    def test_switches_itself_off_where_nothing_is_copied_and_tries_again(self):
        drafter = Drafter(MEASURED, 24)
        tried = []
        for _ in range(1500):
            lookup = PromptLookup()
            reply = Unwritten("a", b"abcdefghijklmnop ab", 15, lookup)
            drafts = drafter.draft([reply], 0)
            tried.append(bool(drafts))
            if drafts:
                drafter.note(drafts["a"], len(drafts["a"].tokens), 0)
        assert sum(tried[:20]) <= 3
        assert sum(tried) <= 30

    def test_stays_on_where_all_is_copied(self):
        drafter = Drafter(MEASURED, 24)
        drafter._acceptance.note(2, 15, 15)
        for _ in range(50):
            reply = Unwritten("a", b"abcdefghijklmnopqrs ab", 15, PromptLookup())
            draft = drafter.draft([reply], 0)["a"]
            assert len(draft.tokens) == 15
            drafter.note(draft, 15, 15)

    def test_learns_from_replies_that_copy_though_no_draft_was_computed(self):
        drafter = Drafter(DEAR, 24)
        text = b"abcdefghijklmnopqrstuvwxyz "
        asked = Unwritten("a", text + b"ab", 20, PromptLookup())
        assert not drafter.draft([asked], 0)
        for _ in range(4):
            lookup = PromptLookup()
            for length in range(2, 24):
                drafter.draft([Unwritten("b", text + text[:length], 8, lookup)], 0)
        asked = Unwritten("c", text + b"ab", 20, PromptLookup())
        assert len(drafter.draft([asked], 0)["c"].tokens) > 2

    def test_what_must_follow_is_certain_and_teaches_nothing(self):
        drafter = Drafter(MEASURED, 24)
        reply = Unwritten("a", b"xy", 15, PromptLookup(), expected=(7, 8, 9))
        draft = drafter.draft([reply], 0)["a"]
        assert (draft.tokens, draft.is_certain) == ((7, 8, 9), True)
        drafter.note(draft, 3, 3)
        assert drafter._acceptance.share(0) == Acceptance().share(0)

    def test_never_more_than_the_reply_may_have(self):
        drafter = Drafter(FLAT, 24)
        reply = Unwritten("a", b"abcdef ab", 2, PromptLookup())
        assert drafter.draft([reply], 0)["a"].tokens == tuple(b"cd")
