"""Grammars that a reply keeps to, by llama.cpp's own sampler; part of the binding.

A token is tested when it was chosen, and the vocabulary only masked when it does not
fit, as llama.cpp does it: most tokens of a model that was asked for JSON fit.
"""

import ctypes
import json
import re
import time
from collections.abc import Mapping

import llama_cpp
import numpy as np
from llama_cpp.llama_grammar import json_schema_to_gbnf
from numpy.typing import NDArray

from inference.engine.leash import LeashEnded, leash
from inference.engine.sampler import MAX_CANDIDATES, find_likeliest
from inference.engine.vocabulary import Vocabulary
from inference.errors import RequestRejected
from inference.types import CompletionRequest

ROOT = "root"

# What llama.cpp reads by recursion must not be deep, or its stack overflows.
MAX_CHARACTERS = 65_536
MAX_DEPTH = 100
MAX_REPETITIONS = 2000
MAX_MASK_S = 1.0
_MAX_SCHEMA_LINES = 200_000

# Literals, ranges of characters and comments are passed over as a whole.
_STRUCTURE = re.compile(
    r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*|\{[^}]*\}?|[()]', re.DOTALL
)

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])

# What the library's converter raises on schemas that it does not understand.
_SCHEMA_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    LeashEnded,
)


class LlamaGrammar:
    """One reply's way through a grammar; RequestRejected if that cannot be read."""

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        _check_text(text)
        self._is_silent = vocabulary.find_silent()
        self._sampler = llama_cpp.llama_sampler_init_grammar(
            vocabulary.pointer, text.encode(), ROOT.encode()
        )
        if not self._sampler:
            raise RequestRejected("the grammar cannot be read, or has no rule `root`")

    def allows(self, token: int) -> bool:
        """Return whether `token` may come next; some microseconds."""
        if self._is_silent[token]:
            return False
        logits = self._apply(np.array([token], np.int32), np.zeros(1, np.float32))
        return bool(logits[0] == 0.0)

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with -inf where a token may not come next.

        Keeps those of the likeliest that fit; looks at all others when none does.
        Raises RequestRejected when that took long: all other replies waited.
        """
        started_s = time.thread_time()
        likely = find_likeliest(logits, MAX_CANDIDATES)
        result = np.full_like(logits, -np.inf)
        result[likely] = self._apply(likely, logits[likely])
        if np.isneginf(result[likely]).all():
            result = self._apply(np.arange(len(logits)), logits)
        if time.thread_time() - started_s > MAX_MASK_S:
            raise RequestRejected("the grammar is too slow: it is too ambiguous")
        return result

    def accept(self, token: int) -> None:
        """Go on behind `token`; raises ValueError unless it is allowed.

        llama.cpp would end the process.
        """
        if not self.allows(token):
            raise ValueError(f"the grammar does not allow token {token} here")
        llama_cpp.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        """Free it; nothing else may be called after it."""
        llama_cpp.llama_sampler_free(self._sampler)

    def _apply(
        self, ids: NDArray[np.integer], logits: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the logits of tokens, -inf for those that may not come next."""
        candidates = np.empty(len(ids), _CANDIDATE)
        candidates["id"] = ids
        candidates["logit"] = logits
        array = llama_cpp.llama_token_data_array(
            data=candidates.ctypes.data_as(llama_cpp.llama_token_data_p),
            size=len(ids),
            selected=-1,
            sorted=False,
        )
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
        candidates["logit"][self._is_silent[ids]] = -np.inf
        return candidates["logit"]


def read_grammar(request: CompletionRequest) -> str:
    """Return the GBNF of a constrained request; raises RequestRejected."""
    if request.json_schema is not None:
        return _convert_schema(request.json_schema)
    return request.grammar


def _convert_schema(schema: Mapping[str, object]) -> str:
    """Return a schema as GBNF. The converter loops for ever on some patterns."""
    text = json.dumps(schema)
    if len(text) > MAX_CHARACTERS:
        raise RequestRejected(f"the schema is longer than {MAX_CHARACTERS} characters")
    try:
        with leash(_MAX_SCHEMA_LINES):
            return str(json_schema_to_gbnf(text))
    except _SCHEMA_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise RequestRejected(f"the schema cannot be used: {reason}") from error


def _check_text(text: str) -> None:
    """Raise RequestRejected for what would harm the process rather than be refused."""
    if len(text) > MAX_CHARACTERS:
        raise RequestRejected(f"the grammar is longer than {MAX_CHARACTERS} characters")
    try:
        is_empty = not text.encode().strip() or "\0" in text
    except UnicodeEncodeError as error:
        raise RequestRejected(f"the grammar is no text: {error.reason}") from error
    if is_empty:
        raise RequestRejected("the grammar is empty")
    depth = 0
    for found in _STRUCTURE.finditer(text):
        part = found[0]
        depth += (part == "(") - (part == ")")
        if depth > MAX_DEPTH:
            raise RequestRejected(f"the grammar nests deeper than {MAX_DEPTH}")
        if part[0] == "{":
            _check_repetition(part)


def _check_repetition(part: str) -> None:
    """Raise RequestRejected unless `part`, as `{2,5}`, is a small range.

    llama.cpp unrolls it, and for ever when the second number is the smaller one.
    """
    numbers = [number.strip() for number in part.strip("{}").split(",")]
    are_read = all(not n or (n.isdecimal() and len(n) < 9) for n in numbers)
    if len(numbers) > 2 or not are_read:
        raise RequestRejected(f"the grammar cannot be read: {part} is no repetition")
    low, high = int(numbers[0] or 0), int(numbers[-1] or MAX_REPETITIONS)
    if not low <= high <= MAX_REPETITIONS:
        raise RequestRejected(
            f"{part} in the grammar must be a range up to {MAX_REPETITIONS}"
        )
