"""Word vectors for retrieval, from the same texts as the model."""

from __future__ import annotations

from pathlib import Path

from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.meanings import learn_meanings
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.topics import SLOT, Topic, load_topics
from inference.word_vectors import read_words, save_word_vectors

NUM_DIMENSIONS = 128
UNKNOWN = "the"


def write_words(path: Path) -> None:
    """Learn vectors for all words of the topics and write them to a file."""
    topics = load_topics()
    writer = DialogueWriter(topics, load_small_talk())
    words = find_words(topics)
    row_of = {word: row for row, word in enumerate(words)}

    def encode(text: str) -> list[int]:
        known = [row_of[word] for word in read_words(text) if word in row_of]
        return known or [row_of[UNKNOWN]]

    vectors = learn_meanings(writer, encode, len(words), NUM_DIMENSIONS)
    save_word_vectors(path, words, vectors.numpy())
    print(f"word vectors: {path}, {len(words)} words", flush=True)


def find_words(topics: list[Topic]) -> list[str]:
    """Return the words that stand in statements and questions for training, sorted."""
    texts = (
        text
        for topic in topics
        for fact in topic.facts
        for text in [*fact.statements, *fact.questions]
    )
    return sorted({word for text in texts for word in read_words(SLOT.sub(" ", text))})
