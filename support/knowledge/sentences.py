"""Where one sentence ends and the next begins."""

import re

# A full stop after one of these does not end a sentence.
_ABBREVIATIONS = {
    *("approx", "ca", "cf", "dr", "e.g", "eg", "etc", "fig", "i.e", "ie", "incl"),
    *("inc", "jr", "ltd", "mr", "mrs", "ms", "nr", "prof", "sr"),
    *("st", "tel", "vs", "bzw", "usw", "z.b"),
}
CLOSING_MARKS = "\"'\u201d\u2019)]"
_WIDE_ENDS = "\u3002\uff01\uff1f"  # of Chinese and Japanese, without a space after
_BOUNDARY = re.compile(
    rf"(?<=[.!?…])[{re.escape(CLOSING_MARKS)}]*\s+(?=\S)|(?<=[{_WIDE_ENDS}])(?=\S)"
)
_LAST_WORD = re.compile(r"([\w.]+)\.$")


def split_lines(text: str) -> list[str]:
    """Return the sentences of a text in which the end of a line ends one."""
    return [
        sentence for line in text.splitlines() for sentence in split_sentences(line)
    ]


def split_sentences(text: str) -> list[str]:
    """Return the sentences of `text` in order, without surrounding space.

    Joined with spaces they give the text back, but for its white space. A sentence
    that starts with a small letter belongs to the one before it, as after "e.g.".
    """
    sentences: list[str] = []
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        before = text[start : boundary.end()].strip()
        if not before or _goes_on(before, text[boundary.end()]):
            continue
        sentences.append(" ".join(before.split()))
        start = boundary.end()
    rest = " ".join(text[start:].split())
    return [*sentences, rest] if rest else sentences


def _goes_on(before: str, next_letter: str) -> bool:
    """Return whether the full stop at the end of `before` ends no sentence."""
    last = _LAST_WORD.search(before)
    if last is None:
        return False
    word = last[1].lower()
    is_initial = len(word) == 1 and word.isalpha() and last[1].isupper()
    return word in _ABBREVIATIONS or is_initial or next_letter.islower()
