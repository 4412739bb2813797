"""Marks the sentences of a prompt with letters, by which a model names what it quotes.

    a) You can return unused items within 30 days. b) We want you to enjoy them.

A model trained to this form begins its answer with the letter of the sentence it
repeats. So the choice is one token, whose alternatives can be weighed against each
other, and the words come after it. Letters stand at the beginning of a line.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from string import ascii_lowercase

from inference.types import ChatMessage, Quotable

MARKS = ascii_lowercase
AFTER_MARK = ")"


def mark_messages(
    messages: Sequence[ChatMessage], quotable: Iterable[Quotable]
) -> tuple[tuple[ChatMessage, ...], dict[str, Quotable]]:
    """Return the messages with the last one marked, and what each mark stands for."""
    text, marked = mark_sentences(messages[-1].content, quotable)
    return (*messages[:-1], replace(messages[-1], content=text)), marked


def mark_sentences(
    text: str, quotable: Iterable[Quotable]
) -> tuple[str, dict[str, Quotable]]:
    """Return the text with sentences marked, each on a line of its own.

    Sentences are looked for in their order; one that is not in the rest of the text,
    or comes when the letters are used up, gets no mark.
    """
    done, rest = "", text
    marked: dict[str, Quotable] = {}
    for item in quotable:
        if len(marked) == len(MARKS):
            break
        if not item.text or item.text not in rest:
            continue
        before, _, after = rest.partition(item.text)
        mark = MARKS[len(marked)]
        marked[mark] = item
        done += f"{before.rstrip()}\n{mark}{AFTER_MARK} {item.text}"
        rest = after
    return done + rest, marked
