"""Topic files: the facts that the synthetic dialogues are made of.

The format is line based and described in `topics/README.md`. Lower case `s:` and `q:`
lines are for training, upper case `S:` and `Q:` lines only for the evaluation.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

TOPICS_FOLDER = Path(__file__).parent / "topics"
SMALL_TALK_FILE = "smalltalk.txt"
SLOT = re.compile(r"\{([a-z_]+?)(\d*)\}")
# One fact in this many is never trained on: the evaluation asks about it.
UNSEEN_FACT_SHARE = 25


class TopicError(ValueError):
    """A topic file breaks the format; the message names the file and the line."""


@dataclass(slots=True)
class Fact:
    """One thing an article can state, and the ways customers ask for it."""

    id: str
    statements: list[str] = field(default_factory=list)
    held_out_statements: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    held_out_questions: list[str] = field(default_factory=list)

    @property
    def asked_slots(self) -> set[str]:
        """The slots that a question may name: they tell instances apart."""
        return {
            name + digits
            for question in self.questions + self.held_out_questions
            for name, digits in SLOT.findall(question)
        }


@dataclass(slots=True)
class Topic:
    """The facts of one area, with titles, sentences without a fact, and slots.

    Near misses are questions on its subject that no fact answers.
    """

    id: str
    titles: list[str] = field(default_factory=list)
    filler: list[str] = field(default_factory=list)
    slots: dict[str, list[str]] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    near_misses: list[str] = field(default_factory=list)
    held_out_near_misses: list[str] = field(default_factory=list)


def share_of(text: str, parts: int) -> int:
    """Return a number in `range(parts)` for a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % parts


def is_unseen(topic: Topic, fact: Fact) -> bool:
    """Whether the whole fact is kept from training."""
    return share_of(f"{topic.id}/{fact.id}", UNSEEN_FACT_SHARE) == 0


def load_topics(folder: Path = TOPICS_FOLDER) -> list[Topic]:
    """Return the topics of all files of a folder but the small talk, in name order."""
    topics: list[Topic] = []
    for path in sorted(folder.glob("*.txt")):
        if path.name == SMALL_TALK_FILE:
            continue
        topics += parse_topics(path.read_text(encoding="utf-8"), path.name)
    return topics


def parse_topics(text: str, name: str = "topics") -> list[Topic]:
    """Return the topics of one file; raises TopicError at a line it cannot read."""
    topics: list[Topic] = []
    pending_slots: dict[str, list[str]] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or (line.startswith("#") and not line.startswith("## ")):
            continue
        try:
            _read_line(line, topics, pending_slots)
        except (IndexError, KeyError, ValueError) as error:
            raise TopicError(f"{name}:{number}: {line!r} is not understood") from error
    for topic in topics:
        topic.slots = {**pending_slots, **topic.slots}
    return topics


def _read_line(
    line: str, topics: list[Topic], pending_slots: dict[str, list[str]]
) -> None:
    """Add one line; slots before the first topic belong to the whole file."""
    if line.startswith("= "):
        topics.append(Topic(line[2:].strip()))
    elif line.startswith("## "):
        topics[-1].facts.append(Fact(line[3:].strip()))
    elif line.startswith("slot "):
        name, values = line[5:].split(":", 1)
        slots = topics[-1].slots if topics else pending_slots
        slots[name.strip()] = _parts(values)
    else:
        key, value = line.split(":", 1)
        _lists_of(topics[-1])[key.strip()].extend(
            _parts(value) if key == "titles" else [value.strip()]
        )


def _lists_of(topic: Topic) -> dict[str, list[str]]:
    lists = {
        "titles": topic.titles,
        "filler": topic.filler,
        "n": topic.near_misses,
        "N": topic.held_out_near_misses,
    }
    if topic.facts:
        fact = topic.facts[-1]
        lists |= {
            "s": fact.statements,
            "S": fact.held_out_statements,
            "q": fact.questions,
            "Q": fact.held_out_questions,
        }
    return lists


def _parts(values: str) -> list[str]:
    return [part.strip() for part in values.split("|") if part.strip()]
