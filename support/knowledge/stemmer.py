"""The Porter stemmer: "returned", "returning" and "returns" are one word.

M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the two
later changes of the author's own version ("bli" and "logi"), so that stems equal
those of SQLite's porter tokenizer.
"""

import re
from functools import lru_cache

_STEP_2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "logi": "log",
}
_STEP_3 = {
    "icate": "ic",
    "ative": "",
    "alize": "al",
    "iciti": "ic",
    "ical": "ic",
    "ful": "",
    "ness": "",
}
_STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment"),
    *("ent", "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize"),
)
_LONGEST_FIRST = {
    2: sorted(_STEP_2, key=len, reverse=True),
    3: sorted(_STEP_3, key=len, reverse=True),
    4: sorted(_STEP_4, key=len, reverse=True),
}
_VOWEL_THEN_CONSONANT = re.compile("v+c+")


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return the stem of a lower-case word; other alphabets come back as they are."""
    if len(word) <= 2 or not word.isascii() or not word.isalpha():
        return word
    for step in (_plural, _past, _final_y, _suffix_2, _suffix_3, _suffix_4, _tidy):
        word = step(word)
    return word


def _shape(word: str) -> str:
    """Return the word in "c" and "v"; y is a vowel after a consonant."""
    shape = ""
    for index, letter in enumerate(word):
        is_vowel = letter in "aeiou" or (
            letter == "y" and index > 0 and shape[-1] == "c"
        )
        shape += "v" if is_vowel else "c"
    return shape


def _measure(word: str) -> int:
    """Return how often vowels are followed by consonants: Porter's m."""
    return len(_VOWEL_THEN_CONSONANT.findall(_shape(word)))


def _ends_short(word: str) -> bool:
    """Return whether the word ends consonant-vowel-consonant, the last not w, x, y."""
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"


def _ends_double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        base = word.removesuffix(suffix)
        if base != word:
            return _mend(base) if "v" in _shape(base) else word
    return word


def _mend(base: str) -> str:
    """Return what stands before -ed and -ing as a word: hop(p), fil(e), conflat(e)."""
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if _ends_double(base) and base[-1] not in "lsz":
        return base[:-1]
    if _measure(base) == 1 and _ends_short(base):
        return base + "e"
    return base


def _final_y(word: str) -> str:
    is_changed = word.endswith("y") and "v" in _shape(word[:-1])
    return word[:-1] + "i" if is_changed else word


def _suffix_2(word: str) -> str:
    return _replace(word, _LONGEST_FIRST[2], _STEP_2)


def _suffix_3(word: str) -> str:
    return _replace(word, _LONGEST_FIRST[3], _STEP_3)


def _replace(word: str, suffixes: list[str], replacements: dict[str, str]) -> str:
    for suffix in suffixes:
        if word.endswith(suffix):
            base = word.removesuffix(suffix)
            return base + replacements[suffix] if _measure(base) > 0 else word
    return word


def _suffix_4(word: str) -> str:
    for suffix in _LONGEST_FIRST[4]:
        if word.endswith(suffix):
            base = word.removesuffix(suffix)
            is_ion = suffix == "ion" and not base.endswith(("s", "t"))
            return base if _measure(base) > 1 and not is_ion else word
    return word


def _tidy(word: str) -> str:
    """Drop a final e and the second of two final l."""
    if word.endswith("e"):
        base = word[:-1]
        count = _measure(base)
        if count > 1 or (count == 1 and not _ends_short(base)):
            word = base
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word
