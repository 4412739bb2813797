"""Finds out which passages a reply really says, and what it made up.

Nothing that a model claims about its sources is believed: a passage is cited where
the words and all numbers of a sentence are found in it, whether or not the model
wrote its number in brackets.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from support.knowledge.sentences import split_lines
from support.knowledge.words import content_stems, read_stems

# Of the content words of a sentence; a sentence that was copied has all, one that was
# put into other words by a large model about two thirds.
_MIN_SHARED = 0.6
_MIN_STEMS = 2

_MARKER = re.compile(r" *\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>()\[\]]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)


class Quotable(Protocol):
    """What this module reads of a passage."""

    @property
    def title(self) -> str:
        """The title of its article."""

    @property
    def heading(self) -> str:
        """The heading of its section."""

    @property
    def text(self) -> str:
        """Its sentences."""


PassageT = TypeVar("PassageT", bound=Quotable)


@dataclass(frozen=True, slots=True)
class Citation(Generic[PassageT]):
    """A passage, and the first sentence of the reply that stands in it."""

    passage: PassageT
    sentence: str


def verify_citations(
    content: str, passages: Sequence[PassageT]
) -> list[Citation[PassageT]]:
    """Return the passages that support a reply, in the order of its sentences.

    A sentence is supported by the passage that has all of its numbers and links and
    the largest share, at least 60 %, of its content words; of equals, by the one that
    the model named in brackets, then by the better ranked. Empty for a refusal.
    """
    citations: dict[int, Citation[PassageT]] = {}
    for sentence in _split_reply(content):
        number = _find_support(sentence, passages)
        if number is not None and number not in citations:
            text = strip_markers(sentence)
            citations[number] = Citation(passages[number], text)
    return list(citations.values())


def find_invented(content: str, given: Iterable[str]) -> list[str]:
    """Return the numbers, links and addresses of a reply that were never given.

    `given` are all texts that the model saw. Numbers are compared without the marks
    between thousands. Bracketed passage numbers do not count.
    """
    texts = list(given)
    known_numbers = {number for text in texts for number in _read_numbers(text)}
    known_links = {link for text in texts for link in _read_links(text)}
    text = strip_markers(content)
    links = _read_links(text)
    numbers = _read_numbers(_LINK.sub(" ", text))
    return [link for link in links if link not in known_links] + [
        number for number in numbers if number not in known_numbers
    ]


def strip_markers(content: str) -> str:
    """Return the text without bracketed passage numbers such as [1] and [2, 3]."""
    return _MARKER.sub("", content).strip()


def _split_reply(content: str) -> list[str]:
    """Return the sentences; a marker after a full stop belongs to what it follows."""
    moved = re.sub(r"([.!?])\s*((?:\[\d{1,2}\]\s*)+)", r" \2\1 ", content)
    return split_lines(moved.replace("**", ""))


def _find_support(sentence: str, passages: Sequence[Quotable]) -> int | None:
    """Return the position of the passage that a sentence stands in, if any."""
    named = _read_markers(sentence)
    text = strip_markers(sentence)
    wanted = set(content_stems(text))
    if len(wanted) < _MIN_STEMS:
        return None
    best: tuple[float, bool, int] | None = None
    for position, passage in enumerate(passages):
        source = f"{passage.title}\n{passage.heading}\n{passage.text}"
        if find_invented(text, [source]):
            continue
        shared = len(wanted.intersection(read_stems(source))) / len(wanted)
        rank = (shared, position + 1 in named, -position)
        if shared >= _MIN_SHARED and (best is None or rank > best):
            best = rank
    return None if best is None else -best[2]


def _read_markers(sentence: str) -> set[int]:
    markers = (marker[1].split(",") for marker in _MARKER.finditer(sentence))
    return {int(number) for numbers in markers for number in numbers}


def _read_numbers(text: str) -> list[str]:
    """Return the numbers; 1,500 and 1.500 are 1500, 4.90 and 4,90 are 4.9."""
    numbers = []
    for found in _NUMBER.findall(text):
        whole = re.sub(r"[.,](?=\d{3}(?!\d))", "", found)
        decimal = whole.replace(",", ".")
        is_decimal = decimal.count(".") == 1 and ":" not in decimal
        numbers.append(decimal.rstrip("0").rstrip(".") if is_decimal else decimal)
    return numbers


def _read_links(text: str) -> list[str]:
    return [link.rstrip(".,;:!?").lower() for link in _LINK.findall(text)]
