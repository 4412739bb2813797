"""What is said around the facts: system prompts, greetings and the like, refusals."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from inference.lab.train.topics import SMALL_TALK_FILE, TOPICS_FOLDER, TopicError


@dataclass(slots=True)
class Group:
    """One kind of small talk: what customers say and what the assistant replies."""

    name: str
    lines: list[str] = field(default_factory=list)
    held_out_lines: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SmallTalk:
    """Everything of the small talk file."""

    systems: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    @property
    def refusal(self) -> str:
        """The one sentence that refuses.

        One only: several would share the probability of refusing between their first
        words, and a greedy reader would answer instead. It also lets the application
        recognise a refusal.
        """
        return self.refusals[0]


def load_small_talk(folder: Path = TOPICS_FOLDER) -> SmallTalk:
    """Return the small talk of a folder of topic files."""
    path = folder / SMALL_TALK_FILE
    return parse_small_talk(path.read_text(encoding="utf-8"), path.name)


def parse_small_talk(text: str, name: str = SMALL_TALK_FILE) -> SmallTalk:
    """Return the small talk of one file; raises TopicError at a line it cannot read."""
    talk = SmallTalk()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            _read_line(line, talk)
        except (IndexError, KeyError, ValueError) as error:
            raise TopicError(f"{name}:{number}: {line!r} is not understood") from error
    return talk


def choose_answer(group: Group, rng: random.Random) -> str:
    """Return an answer, nearly always the first, for the reason of `refusal`."""
    return group.answers[0] if rng.random() < 0.85 else rng.choice(group.answers)


def _read_line(line: str, talk: SmallTalk) -> None:
    if line.startswith("@"):
        talk.groups.append(Group(line[1:].strip()))
        return
    key, value = line.split(":", 1)
    if key == "lead":
        return  # lead-ins follow the customer's tone, see questions.py
    lists = {"system": talk.systems, "refusal": talk.refusals}
    if talk.groups:
        group = talk.groups[-1]
        lists |= {"u": group.lines, "U": group.held_out_lines, "a": group.answers}
    lists[key.strip()].append(value.strip())
