"""Passages of synthetic articles: which facts they state, and in what words."""

from __future__ import annotations

import random
from typing import Literal

from inference.lab.train import slots
from inference.lab.train.blocks import Passage, Statement
from inference.lab.train.topics import Fact, Topic, is_unseen

Split = Literal["train", "held_out", "unseen_facts"]
MAX_PASSAGE_CHARS = 600


class PassageWriter:
    """States facts of topics, alone or in passages.

    The split decides which wordings, names and facts are used: those of the training,
    held out wordings of known facts, or facts that training never shows.
    """

    def __init__(self, topics: list[Topic], split: Split) -> None:
        self._topics = topics
        self._split = split
        self._held_out = split != "train"

    def write(
        self, topic: Topic, rng: random.Random, difficulty: float
    ) -> list[Passage]:
        """Return one to three passages, one of them at least about the topic."""
        most = 1 + min(2, int(difficulty * 3))
        count = rng.choices(range(1, most + 1), (0.16, 0.24, 0.60)[:most])[0]
        used: list[Statement] = []
        passages: list[Passage] = []
        for number in range(count):
            home = topic
            if number and rng.random() < 0.4:
                home = rng.choice(self._topics)
            passage = self._passage(home, used, rng, difficulty)
            if passage:
                passages.append(passage)
        rng.shuffle(passages)
        return passages

    def _passage(
        self, topic: Topic, used: list[Statement], rng: random.Random, difficulty: float
    ) -> Passage | None:
        """Return a passage of one to three new facts and up to two idle sentences."""
        most = 1 + min(2, int(difficulty * 3.5))
        sentences: list[str] = []
        statements: list[Statement] = []
        for _ in range(rng.randint(1, most)):
            statement = self._new_statement(topic, used, rng, difficulty)
            if (
                statement
                and _length(sentences) + len(statement.text) < MAX_PASSAGE_CHARS
            ):
                statements.append(statement)
                used.append(statement)
                sentences.append(statement.text)
        if not statements:
            return None
        for _ in range(
            rng.choice((0, 0, 1, 1, 2)) if rng.random() < 0.9 * difficulty else 0
        ):
            filler = rng.choice(topic.filler)
            if (
                filler not in sentences
                and _length(sentences) + len(filler) < MAX_PASSAGE_CHARS
            ):
                sentences.append(filler)
        rng.shuffle(sentences)
        return Passage(self._title(topic, rng), sentences, statements)

    def _title(self, topic: Topic, rng: random.Random) -> str:
        title = rng.choice(topic.titles)
        if rng.random() < 0.65 and len(topic.titles) > 1:
            heading = rng.choice([t for t in topic.titles if t != title])
            return f"{title}: {heading}"
        return title

    def _new_statement(
        self, topic: Topic, used: list[Statement], rng: random.Random, difficulty: float
    ) -> Statement | None:
        """Return a fact new to the block, sometimes a known one of another entity."""
        twins = [s for s in used if s.topic is topic and s.fact.asked_slots]
        if twins and rng.random() < 0.35 * difficulty:
            return self.twin(rng.choice(twins), used, rng)
        taken = {id(s.fact) for s in used}
        facts = [
            f for f in topic.facts if id(f) not in taken and self.is_told(topic, f)
        ]
        if not facts:
            return None
        return self.state(topic, rng.choice(facts), rng)

    def twin(
        self, other: Statement, used: list[Statement], rng: random.Random
    ) -> Statement | None:
        """Return the same fact about another entity, or None if none turns up."""
        known = {s.asked_values for s in used if s.fact is other.fact}
        for _ in range(4):
            twin = self.state(other.topic, other.fact, rng)
            if not any(set(twin.asked_values) & set(values) for values in known):
                return twin
        return None

    def state(self, topic: Topic, fact: Fact, rng: random.Random) -> Statement:
        """Return a fact in one of its wordings, with values drawn."""
        told = fact.statements + fact.held_out_statements
        asked = fact.questions + fact.held_out_questions
        values = slots.draw_all(topic, told + asked, rng, self._held_out)
        wordings = fact.statements
        if self._split == "held_out" and rng.random() < 0.7:
            wordings = fact.held_out_statements
        return Statement(topic, fact, values, slots.fill(rng.choice(wordings), values))

    def is_told(self, topic: Topic, fact: Fact) -> bool:
        """Whether a fact may stand in a passage: unseen ones never in training."""
        return self._split != "train" or not is_unseen(topic, fact)

    def is_asked(self, topic: Topic, fact: Fact) -> bool:
        """Whether questions may be about a fact."""
        return is_unseen(topic, fact) == (self._split == "unseen_facts")


def _length(sentences: list[str]) -> int:
    return sum(len(sentence) + 1 for sentence in sentences)
