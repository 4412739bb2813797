import pytest

from support.knowledge.query import build_query, is_follow_up
from support.knowledge.ranking import rank_passages, score_sentence
from support.knowledge.vocabulary import PassageText, Vocabulary


def passage(number, text, heading="", title="", keywords=""):
    return PassageText(number, title, heading, text, keywords, summary="")


PASSAGES = [
    passage(0, "A zip costs $38. Zips are sewn.", "Zips", "Repairs", "fix, mend"),
    passage(1, "Boots are waxed.", "Wax", "Boots"),
    passage(2, "Boots and zips and tents.", "All", "List"),
]
VOCABULARY = Vocabulary(PASSAGES)


def order(question):
    ranked = rank_passages(build_query(question, VOCABULARY), PASSAGES, VOCABULARY, {})
    return [item.passage.passage_id for item in ranked]


@pytest.mark.parametrize(
    ("question", "best"),
    [("zips", 0), ("boots", 1), ("tents", 2), ("mending", 0), ("wax for boots", 1)],
)
def test_the_best_passage_comes_first(question, best):
    assert order(question)[0] == best


def test_what_shares_nothing_is_left_out():
    assert order("wax") == [1]
    assert order("helicopter") == []


def test_a_passage_with_every_word_is_complete():
    query = build_query("boots and tents", VOCABULARY)
    ranked = rank_passages(query, PASSAGES, VOCABULARY, {})
    complete = [item.passage.passage_id for item in ranked if item.is_complete]
    assert complete == [2]


def test_a_sentence_with_a_price_answers_a_question_for_one():
    query = build_query("how much is a zip", VOCABULARY)
    price, other = "A zip costs $38.", "A zip is sewn."
    scores = [score_sentence(query, text, VOCABULARY, 0.0) for text in (price, other)]
    assert scores[0] > scores[1]


def test_closeness_in_meaning_finds_what_shares_no_word():
    query = build_query("wax", VOCABULARY)
    ranked = rank_passages(query, PASSAGES, VOCABULARY, {0: 0.9})
    assert [item.passage.passage_id for item in ranked] == [1, 0]


@pytest.mark.parametrize(
    ("question", "asked", "is_one"),
    [
        ("and in winter?", ["winter"], True),
        ("what about it", [], True),
        ("how much is that?", [], True),
        ("do you sell boots", ["sell", "boot"], False),
        ("it tore when I pitched my tent", ["tore", "pitch", "my", "tent"], False),
    ],
)
def test_short_questions_that_point_back_are_follow_ups(question, asked, is_one):
    assert is_follow_up(question, asked) is is_one


def test_a_small_site_still_tells_its_words_apart():
    assert 0 < VOCABULARY.rarity("zip") < VOCABULARY.rarity("unheard")
    assert VOCABULARY.rarity("unheard") == VOCABULARY.max_rarity
