"""What a model may say once it has begun to quote."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.quoter import (
    MIN_TOKENS,
    QuotePolicy,
    Quoter,
    Source,
    ends_sentence,
)

END = 9
SENTENCES = [(1, 2, 3, 4, END), (1, 2, 3, 5, END), (6, 7, END)]
FREE = QuotePolicy()


def quoter_of(*sentences, policy=FREE, weights=()):
    """Return a quoter whose sources read the same in the first place and later."""
    weights = weights or [0.0] * len(sentences)
    pairs = zip(sentences, weights, strict=True)
    return Quoter([Source(s, s, w) for s, w in pairs], policy)


def logits_for(*tokens):
    """Return logits that like the tokens, the first one most."""
    logits = np.zeros(10, dtype=np.float32)
    logits[list(tokens)] = np.arange(len(tokens), 0, -1)
    return logits


def follow(quoter, *tokens):
    for token in tokens:
        quoter.take(token, ends_sentence=token == END)
    return quoter


def best(quoter, *liked):
    return int(quoter.restrict(logits_for(*liked)).argmax())


class TestRestrict:
    def test_leaves_the_beginning_free(self):
        assert best(follow(quoter_of(*SENTENCES), 1, 2), 8, 3) == 8

    def test_keeps_to_a_begun_sentence(self):
        assert best(follow(quoter_of(*SENTENCES), 1, 2, 3), 8, 5, 4) == 5

    def test_leaves_the_choice_between_two_sentences_to_the_model(self):
        assert best(follow(quoter_of(*SENTENCES), 1, 2, 3), 4, 5) == 4

    def test_leaves_other_words_free(self):
        assert best(follow(quoter_of(*SENTENCES), 1, 2, 7), 8, 3) == 8

    def test_is_free_again_after_the_quotation(self):
        assert best(follow(quoter_of(*SENTENCES), 1, 2, 3, 4, END), 8, 1) == 8

    def test_quotes_a_second_sentence(self):
        quoter = follow(quoter_of(*SENTENCES), 1, 2, 3, 4, END, 1, 2, 3)
        assert best(quoter, 8, 5) == 5

    def test_quotes_after_a_free_sentence(self):
        quoter = follow(quoter_of(*SENTENCES), 8, 8, END, 1, 2, 3)
        assert best(quoter, 8, 4) == 4

    def test_does_not_change_its_argument(self):
        logits = logits_for(8)
        follow(quoter_of((1, 2)), 1).restrict(logits)
        assert np.array_equal(logits, logits_for(8))

    def test_a_lean_prefers_to_begin_a_quotation(self):
        policy = QuotePolicy(lean=2.0)
        quoter = quoter_of((6, 7, END), (5, END), policy=policy, weights=(1.5, 0.5))
        assert best(quoter, 8, 6, 5) == 6

    def test_a_doubt_prefers_a_refusal(self):
        policy = QuotePolicy(lean=2.0, doubt=1.0)
        quoter = quoter_of((6, 7, END), policy=policy, weights=(0.2,))
        assert best(quoter, 6, 8) == 8

    def test_the_later_form_is_for_later_places(self):
        quoter = Quoter([Source((1, 2, 3, END), (4, 2, 3, END))], FREE)
        assert best(follow(quoter, 8, END, 4, 2, 3), 8) == END


class TestSecondQuotation:
    def quote_first(self, weights, also_from=0.9):
        policy = QuotePolicy(also_from=also_from)
        quoter = quoter_of(*SENTENCES, policy=policy, weights=weights)
        return follow(quoter, 1, 2, 3, 4, END)

    def test_comes_where_a_source_fits_nearly_as_well(self):
        assert best(self.quote_first((1.0, 0.5, 0.95)), 8, 1) == 6

    def test_does_not_come_where_none_does(self):
        assert best(self.quote_first((1.0, 0.5, 0.5)), 8, 6) == 8

    def test_is_not_the_first_again(self):
        assert best(self.quote_first((1.0, 0.1, 0.1)), 8, 1) == 8

    def test_gets_no_lean_once_enough_was_quoted(self):
        policy = QuotePolicy(lean=9.0)
        quoter = quoter_of(*SENTENCES, policy=policy, weights=(1.0, 1.0, 1.0))
        assert best(follow(quoter, 1, 2, 3, 4, END), 8, 6) == 8

    def test_is_followed_by_no_third(self):
        quoter = follow(self.quote_first((1.0, 1.0, 1.0)), 6, 7, END)
        assert best(quoter, 8, 1) == 8


@given(st.lists(st.lists(st.integers(0, 8), min_size=1).map(lambda s: (*s, END))),
       st.lists(st.integers(0, 9)))  # fmt: skip
def test_a_begun_quotation_always_ends_as_a_source(sources, wishes):
    quoter, said = quoter_of(*sources), []
    for wish in wishes:
        token = best(quoter, wish)
        quoter.take(token, ends_sentence=token == END)
        said.append(token)
    for sentence in split(said):
        begun = [s for s in sources if list(s[:MIN_TOKENS]) == sentence[:MIN_TOKENS]]
        if len(sentence) >= MIN_TOKENS and begun:
            assert any(list(s[: len(sentence)]) == sentence for s in begun)


def split(tokens):
    """Return the sentences, the last one perhaps unfinished."""
    sentences = [[]]
    for token in tokens:
        sentences[-1].append(token)
        if token == END:
            sentences.append([])
    return sentences


@pytest.mark.parametrize(
    ("piece", "ends"),
    [(b".", True), (b" so.", True), (b"!\n", True), (b" so", False), (b"", False)],
)  # fmt: skip
def test_knows_the_end_of_a_sentence(piece, ends):
    assert ends_sentence(piece) is ends
