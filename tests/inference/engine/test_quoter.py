"""What a model may say once it has named the sentence that it quotes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.quoter import (
    MAX_LEAD_IN_TOKENS,
    QuotePolicy,
    Quoter,
    Source,
)

A, B, C, PAREN, LINE, END, HELLO, THE = range(8)
NUM_TOKENS = 20
WORDS = {A: (10, 11, 12), B: (10, 13), C: (14, 15)}
FREE = QuotePolicy()


def quoter_of(*marks, policy=FREE, weights=()):
    weights = weights or [0.0] * len(marks)
    sources = [
        Source((mark, PAREN, *WORDS[mark]), 2, weight)
        for mark, weight in zip(marks, weights, strict=True)
    ]
    return Quoter(sources, LINE, policy)


def logits_for(*tokens):
    """Return logits that like the tokens, the first one most."""
    logits = np.zeros(NUM_TOKENS, dtype=np.float32)
    logits[list(tokens)] = np.arange(len(tokens), 0, -1)
    return logits


def piece_of(token):
    return {HELLO: b" Hello!", THE: b" the"}.get(token, f" {token}".encode())


def write(quoter, *wishes):
    """Return the reply of a model that wishes for these tokens, one after another."""
    said = b""
    for wish in wishes:
        token = int(quoter.restrict(logits_for(wish)).argmax())
        if quoter.is_done or token == END:
            break
        said += quoter.take(token, piece_of(token))
    return said


class TestAReply:
    def test_that_begins_with_a_mark_is_the_sentence(self):
        assert write(quoter_of(A, B), A, PAREN, 10, 11, 12, END) == b"10 11 12"

    def test_keeps_to_the_words_whatever_the_model_would_say(self):
        assert write(quoter_of(A, B), A, THE, 10, THE, THE) == b"10 11 12"

    def test_may_begin_with_a_greeting(self):
        said = write(quoter_of(A, B), A, PAREN, HELLO, THE, THE, THE)
        assert said == b"Hello! 10 11 12"

    def test_leaves_out_a_lead_in_that_does_not_end(self):
        said = write(quoter_of(A, B), A, PAREN, *[THE] * (MAX_LEAD_IN_TOKENS + 9))
        assert said == b"10 11 12"

    def test_may_begin_with_a_lead_in_of_several_words(self):
        said = write(quoter_of(A, B), A, PAREN, THE, THE, HELLO, THE, THE, THE)
        assert said == b"the the Hello! 10 11 12"

    def test_without_a_mark_is_free(self):
        assert write(quoter_of(A, B), THE, A, 13, THE) == b"the 0 13 the"

    def test_goes_on_to_a_second_sentence_if_the_model_does(self):
        said = write(quoter_of(A, B), B, PAREN, 10, 13, LINE, A, PAREN, 10, 11, 12)
        assert said == b"10 13 10 11 12"

    def test_does_not_repeat_a_sentence(self):
        said = write(quoter_of(A, B), B, PAREN, 10, 13, LINE, B, PAREN, 10, 11, 12)
        assert said == b"10 13 10 11 12"

    def test_is_complete_where_the_model_rambles(self):
        quoter = quoter_of(A, B)
        assert write(quoter, B, PAREN, 10, 13, THE, THE) == b"10 13"
        assert quoter.is_done

    def test_has_two_sentences_at_most(self):
        wishes = (A, PAREN, 10, 11, 12, LINE, B, PAREN, 10, 13, LINE, C, PAREN, 14)
        quoter = quoter_of(A, B, C)
        assert write(quoter, *wishes) == b"10 11 12 10 13"
        assert quoter.is_done


class TestWeights:
    def test_tip_the_choice(self):
        policy = QuotePolicy(lean=5.0)
        quoter = quoter_of(A, B, policy=policy, weights=(0.0, 1.0))
        assert quoter.restrict(logits_for(A, B)).argmax() == B

    def test_below_the_doubt_are_in_favour_of_other_words(self):
        policy = QuotePolicy(lean=5.0, doubt=0.5)
        quoter = quoter_of(A, policy=policy, weights=(0.0,))
        assert quoter.restrict(logits_for(A, HELLO)).argmax() == HELLO

    def test_do_not_change_the_argument(self):
        logits = logits_for(A)
        before = logits.copy()
        quoter_of(A, policy=QuotePolicy(lean=5.0), weights=(1.0,)).restrict(logits)
        assert (logits == before).all()


class TestASecondSentence:
    policy = QuotePolicy(also_from=0.3)  # one less in logits is 0.37 times as likely

    def test_is_quoted_where_it_is_nearly_as_likely(self):
        quoter = quoter_of(A, B, C, policy=self.policy)
        quoter.restrict(logits_for(A, B))
        said = quoter.take(A, b"a") + write(quoter, PAREN, 10, *[END] * 8)
        assert said == b"10 11 12 10 13"

    def test_is_not_where_it_is_not(self):
        quoter = quoter_of(A, B, C, policy=self.policy)
        quoter.restrict(logits_for(A, THE, B))
        said = quoter.take(A, b"a") + write(quoter, PAREN, 10, *[END] * 8)
        assert said == b"10 11 12"


@given(
    st.lists(
        st.lists(st.integers(0, NUM_TOKENS - 1), min_size=1, max_size=3),
        min_size=1,
        max_size=40,
    )
)
def test_what_follows_a_mark_is_always_a_source(wishes):
    quoter = quoter_of(A, B, C)
    quoter.restrict(logits_for(A))
    said = quoter.take(A, b"a") + write(quoter, PAREN, 10)
    for liked in wishes:
        token = int(quoter.restrict(logits_for(*liked)).argmax())
        if quoter.is_done:
            break
        said += quoter.take(token, piece_of(token))
    whole = [b" ".join(b"%d" % word for word in words) for words in WORDS.values()]
    texts = whole + [one + b" " + two for one in whole for two in whole]
    assert any(text.startswith(said) for text in texts)


@pytest.mark.parametrize("also_from", [0.0, 2.0])
def test_a_policy_can_do_without_a_second_sentence(also_from):
    quoter = quoter_of(A, B, policy=QuotePolicy(also_from=also_from))
    quoter.restrict(logits_for(A, B))
    said = quoter.take(A, b"a") + write(quoter, PAREN, 10, *[END] * 8)
    assert said == b"10 11 12"
