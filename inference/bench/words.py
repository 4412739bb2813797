"""Words that are one token each, so that texts have exactly as many tokens as they say.

They are the bundled tokenizer's words with a space before them: whatever stands
around such a word, it is one token, and what a model writes in them is read back as
the tokens that were written. So a conversation that comes back can be continued
from the cache, as it can with a trained model.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TOKENIZER = Path(__file__).parents[1] / "bundled" / "tokenizer.json"

# The byte-level alphabet's letter for a space.
_SPACE = "\u0120"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens by id, the merges that make them, and which are special."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    special: frozenset[int]

    def id_of(self, token: str) -> int:
        """Return the number of a token; raises ValueError if there is none."""
        return self.tokens.index(token)


@cache
def load_vocabulary() -> Vocabulary:
    """Return the bundled tokenizer's."""
    tokenizer = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    special = frozenset(entry["id"] for entry in tokenizer["added_tokens"])
    merges = (" ".join(pair) for pair in tokenizer["model"]["merges"])
    return Vocabulary(tuple(sorted(ids, key=ids.__getitem__)), tuple(merges), special)


@cache
def build_chain() -> tuple[int, ...]:
    """Return the ids of all words, in the order in which the models write them.

    After the last comes the first: an answer never ends by itself.
    """
    pattern = re.compile(f"{_SPACE}[a-z]+")
    tokens = load_vocabulary().tokens
    ids = [number for number, token in enumerate(tokens) if pattern.fullmatch(token)]
    random.Random(2026).shuffle(ids)
    return tuple(ids)


def join_words(ids: Sequence[int]) -> str:
    """Return the text of words, each with its space."""
    tokens = load_vocabulary().tokens
    return "".join(tokens[number].replace(_SPACE, " ") for number in ids)


def count_words(text: str) -> int:
    """Return the number of words, which for texts of this module is that of tokens."""
    return len(text.split())


def draw_text(rng: random.Random, num_tokens: int) -> str:
    """Return words at random, no two of which stand side by side in the chain."""
    chain = build_chain()
    places: list[int] = []
    while len(places) < num_tokens:
        place = rng.randrange(len(chain))
        if not places or (places[-1] + 1) % len(chain) != place:
            places.append(place)
    return join_words([chain[place] for place in places])


def draw_passages(rng: random.Random, run: int) -> str:
    """Return every second `run` words of the chain, the pieces in random order.

    Wherever in the chain an answer begins, half of it stands here, in pieces.
    """
    chain = build_chain()
    pieces = [chain[start : start + run] for start in range(0, len(chain), 2 * run)]
    rng.shuffle(pieces)
    return join_words([number for piece in pieces for number in piece])
