"""How customers type: greetings, thanks, lower case, missing punctuation, typos; and the lead-in that fits."""

from __future__ import annotations

import random
from dataclasses import dataclass

_NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "wa", "r": "et", "s": "ad", "t": "ry",
    "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
_GREETINGS = ("hi", "hello", "hey", "hi there", "hello there", "good morning", "good evening", "dear team", "hey there")
_PLEAS = ("please help", "can you help?", "need help", "help please", "can you help me with this?")
_THANKS = ("thanks", "thank you", "thx", "many thanks", "thanks in advance", "cheers")
GREETING_LEAD = "Hello!"
PLEA_LEAD = "I can help with that."
THANKS_LEAD = "Happy to help."


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was typed, and the lead-in its tone calls for (empty for most)."""

    text: str
    lead: str = ""


def dress(question: str, rng: random.Random, noise: float) -> Asked:
    """Return the question with the noise of real typing; `noise` from 0 (none) to 1 (as at full difficulty)."""
    text, lead = _polite(question, rng, noise)
    if rng.random() < 0.45 * noise:
        text = text.lower() if rng.random() < 0.8 else text[:1].upper() + text[1:]
    if rng.random() < 0.3 * noise:
        text = text.rstrip("?.! ")
    if rng.random() < 0.25 * noise:
        text = misspell(text, rng)
    if rng.random() < 0.02 * noise:
        text = text.upper()
    return Asked(text, lead)


def misspell(text: str, rng: random.Random) -> str:
    """Return the text with one typo for about every eight words, never in a word with digits."""
    words = text.split(" ")
    for _ in range(1 + len(words) // 9):
        at = rng.randrange(len(words))
        word = words[at]
        if len(word) > 3 and word.isalpha():
            words[at] = _misspelled(word, rng)
    return " ".join(words)


def _misspelled(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[: at + 1] + word[at:]
    return word[:at] + rng.choice(_NEIGHBOURS.get(word[at].lower(), word[at])) + word[at + 1 :]


def _polite(question: str, rng: random.Random, noise: float) -> tuple[str, str]:
    """Return the question with a greeting, a plea or thanks in a quarter of the cases, and the lead-in for it."""
    kind = rng.random()
    if kind < 0.12 * noise:
        greeting = rng.choice(_GREETINGS)
        mark = rng.choice((", ", ", ", ". ", "! ", " "))
        return greeting + mark + question, GREETING_LEAD
    if kind < 0.18 * noise:
        plea = rng.choice(_PLEAS)
        end = "" if question.endswith(("?", ".", "!")) else "."
        text = f"{plea}: {question}" if rng.random() < 0.3 else f"{question}{end} {plea}"
        return text, PLEA_LEAD
    if kind < 0.25 * noise:
        end = "" if question.endswith(("?", ".", "!")) else ","
        return f"{question}{end} {rng.choice(_THANKS)}", THANKS_LEAD
    return question, ""
