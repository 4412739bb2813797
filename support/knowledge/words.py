"""Texts become words, and words become the stems that are compared."""

import re
import unicodedata
from functools import lru_cache

from support.knowledge.stemmer import stem

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_NEGATION = re.compile(
    r"n't$|^(?:ai|ca|could|did|does|do|has|have|is|should|was|wo|would)nt$"
)

# What says how something is asked, and not what about. "not", "why" and the like are
# missing on purpose: they tell a fault from a question.
_STOP_WORDS = """
    a about actually after again ago all already also am an and any anything are as at
    be because been before being but by came can come could did do does doing done each
    either else ever exactly for from get gets getting give given go goes going gone
    got had happen happened happening has have having he hello help her here hey hi him
    his how i if in into is it its itself just keep know let like look looks made make
    makes making many me mine much my need needs now of off ok okay on one only or our
    out over own please put quite really said same say says see seem seems she should
    since so some something still sure tell than thank thanks that the their them then
    there these they thing things think this those to today told too tried try trying
    under until up us very want wants was way we went were what when where whether which
    while who will with would yes yesterday yet you your
"""
STOP_STEMS = frozenset(stem(word) for word in _STOP_WORDS.split())


def read_words(text: str) -> list[str]:
    """Return the words of `text` in lower case, without accents.

    "it's" is "it"; "can't" and "dont" are "not". Digits count as words.
    """
    letters = unicodedata.normalize("NFKD", text.replace("\u2019", "'").casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return [_without_apostrophe(word) for word in _WORD.findall(plain)]


@lru_cache(maxsize=20_000)
def read_stems(text: str) -> tuple[str, ...]:
    """Return the stems of all words of `text`, in order. Remembers recent texts."""
    return tuple(stem(word) for word in read_words(text))


def content_stems(text: str) -> list[str]:
    """Return the stems of the words that carry meaning, in order."""
    return [word for word in read_stems(text) if word not in STOP_STEMS]


def _without_apostrophe(word: str) -> str:
    return "not" if _NEGATION.search(word) else word.split("'")[0]
