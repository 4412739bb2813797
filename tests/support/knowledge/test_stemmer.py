import sqlite3

import pytest

from support.knowledge.stemmer import stem

_TEXT = """
    returned returning returns refund refunds refunded delivery deliveries delivered
    shipping shipped warranty warranties payment paid cancelled cancellation agreed
    hopping hoping falling relational conditional electricity hopefulness goodness
    adjustment dependent adoption controlling rolled rate cease generalization sky
    happy ponies caresses ties feed plastered motoring conflated troubled sized failing
    filing probate possibly analogically yes lying dying being is a by generously
"""
WORDS = _TEXT.split()


@pytest.fixture(scope="module")
def sqlite_stems():
    """What SQLite's own porter tokenizer makes of WORDS."""
    memory = sqlite3.connect(":memory:")
    memory.execute("CREATE VIRTUAL TABLE t USING fts5(word, tokenize='porter ascii')")
    memory.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, 'instance')")
    memory.executemany(
        "INSERT INTO t(rowid, word) VALUES (?, ?)", list(enumerate(WORDS, start=1))
    )
    stems = dict(memory.execute("SELECT doc, term FROM v"))
    return {word: stems[number] for number, word in enumerate(WORDS, start=1)}


@pytest.mark.parametrize("word", WORDS)
def test_stems_as_sqlite_does(word, sqlite_stems):
    assert stem(word) == sqlite_stems[word]


@pytest.mark.parametrize("word", ["größe", "60", "rücksendung", "доставка", "x", ""])
def test_other_words_come_back_as_they_are(word):
    assert stem(word) == word
