"""How customers type: greetings, lower case, typos; and the lead-in that fits."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

# A letter and the letters beside it on the keyboard.
_KEYS = """
    asq bvn cxv dsf ewr fdg gfh hgj iuo jhk kjl lk mn nbm oip po qwa ret sad try uyi
    vcb wqe xzc ytu zx
"""
_NEIGHBOURS = {keys[0]: keys[1:] for keys in _KEYS.split()}
_GREETINGS = (
    "hi",
    "hello",
    "hey",
    "hi there",
    "hello there",
    "good morning",
    "good evening",
    "dear team",
    "hey there",
)
_PLEAS = (
    "please help",
    "can you help?",
    "need help",
    "help please",
    "can you help me with this?",
)
_THANKS = ("thanks", "thank you", "thx", "many thanks", "thanks in advance", "cheers")
_IDLE = """
    about after again also another because before been being both does each else even
    every from have here into just like make many more most much must never only other
    over same should some soon such take than that their them then there these they
    this those under until upon very want what when where which while will with within
    without would your yours
"""
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")
_IDLE_WORDS = frozenset(_IDLE.split())
_KEYWORD_FORMS = ("{}", "{}?", "{}", "what about {}?", "tell me about {}", "info on {}")
GREETING_LEAD = "Hello!"
PLEA_LEAD = "I can help with that."
THANKS_LEAD = "Happy to help."


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was typed, and the lead-in its tone calls for, if any."""

    text: str
    lead: str = ""


def dress(question: str, rng: random.Random, noise: float) -> Asked:
    """Return the question as somebody types it; `noise` is from 0 to 1."""
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


def keyword_share(difficulty: float) -> float:
    """Return how many questions are made of the statement's own words.

    Matching words is learned first, and meaning grows on it: with the questions people
    ask alone, choosing between two sentences was not learned in 1,900 steps.
    """
    return max(0.3, min(1.0, 1.0 - (difficulty - 0.2) * 1.5))


def keywords(statement: str, others: str, rng: random.Random) -> str:
    """Return a question of two to four words that only this statement holds, or ""."""
    taken = set(_WORD.findall(others.lower()))
    words = [
        word
        for word in dict.fromkeys(_WORD.findall(statement))
        if len(word) > 3 and word.lower() not in taken | _IDLE_WORDS
    ]
    if len(words) < 2:
        return ""
    chosen = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(2, 4))))
    return rng.choice(_KEYWORD_FORMS).format(" ".join(words[i] for i in chosen))


def misspell(text: str, rng: random.Random) -> str:
    """Return the text with a typo for every eight words, none in words with digits."""
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
    return (
        word[:at]
        + rng.choice(_NEIGHBOURS.get(word[at].lower(), word[at]))
        + word[at + 1 :]
    )


def _polite(question: str, rng: random.Random, noise: float) -> tuple[str, str]:
    """Return the question, a quarter of the time with courtesies, and the lead-in."""
    kind = rng.random()
    if kind < 0.12 * noise:
        greeting = rng.choice(_GREETINGS)
        mark = rng.choice((", ", ", ", ". ", "! ", " "))
        return greeting + mark + question, GREETING_LEAD
    if kind < 0.18 * noise:
        plea = rng.choice(_PLEAS)
        end = "" if question.endswith(("?", ".", "!")) else "."
        text = (
            f"{plea}: {question}" if rng.random() < 0.3 else f"{question}{end} {plea}"
        )
        return text, PLEA_LEAD
    if kind < 0.25 * noise:
        end = "" if question.endswith(("?", ".", "!")) else ","
        return f"{question}{end} {rng.choice(_THANKS)}", THANKS_LEAD
    return question, ""
