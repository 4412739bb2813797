"""What a synthetic dialogue is made of: passages with facts, questions, answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.lab.train.topics import Fact, Topic


@dataclass(slots=True)
class Statement:
    """A fact with its slots filled: the sentence that an answer must repeat."""

    topic: Topic
    fact: Fact
    values: dict[str, str]
    text: str

    @property
    def id(self) -> str:
        """The name of the fact, unique over all topics."""
        return f"{self.topic.id}/{self.fact.id}"

    @property
    def asked_values(self) -> tuple[str, ...]:
        """The values a question may name, such as the product it is about."""
        return tuple(self.values[name] for name in sorted(self.fact.asked_slots))


@dataclass(slots=True)
class Passage:
    """A piece of an article: its title, its sentences, and the facts among them."""

    title: str
    sentences: list[str]
    statements: list[Statement]

    @property
    def text(self) -> str:
        """What stands below the title."""
        return " ".join(self.sentences)


@dataclass(slots=True)
class Branch:
    """One question about a block and its answer; `kind` names the group in reports.

    The answer is `says`, then the sentences of the passages in `quoted`.
    """

    question: str
    kind: str
    says: str = ""
    quoted: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    rank: int = 0

    @property
    def answer(self) -> str:
        """What the customer reads."""
        return " ".join([self.says, *self.quoted]).strip()


@dataclass(slots=True)
class Block:
    """What stands before a question, and the questions that follow it."""

    system: str
    history: list[tuple[str, str]]
    passages: list[Passage]
    branches: list[Branch] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """All sentences that may be quoted, in their order."""
        return [sentence for p in self.passages for sentence in p.sentences]
