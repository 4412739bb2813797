"""A model without weights whose next token depends on everything in its cache.

The logits behind a position are a hash of the tokens that the cache really holds for
that slot. A prefix shared wrongly, a position skipped or a cell not cleared changes
the text, so equal text means that the bookkeeping is right.
"""

import hashlib
import re

import numpy as np

from inference.engine.chat_template import CHATML
from inference.engine.operations import CopyRange, Forget, Park, Restore, Truncate
from inference.engine.runner import Outcome
from inference.errors import RequestRejected

END = 256
SPECIALS = {"<|im_start|>": 257, "<|im_end|>": END}
NUM_VOCAB = 260
LETTERS = b"abcdefghijklmnopqrstuvwxyz   "


class FakeMemory:
    """The cells of a unified KV cache: position, token, and the slots that see it."""

    def __init__(self, num_cells):
        self.num_cells = num_cells
        self.cells = []
        self.parked = {}

    def apply(self, operation):
        match operation:
            case CopyRange(source, target, start, stop):
                first, held = self.range_of(target)
                assert not held or first + len(held) == start, "a gap, or twice"
                copied = [c for c in self.cells if source in c[2] and c[0] < stop]
                copied = [cell for cell in copied if cell[0] >= start]
                assert len(copied) == stop - start, "the source lacks a part"
                for _, _, slots in copied:
                    slots.add(target)
            case Truncate(slot, length):
                self.truncate(slot, length)
            case Park(slot, key):
                self.parked[key] = [c[:2] for c in self.cells if slot in c[2]]
                assert self.parked[key], "nothing to park"
                self.truncate(slot, 0)
            case Restore(key, slot):
                assert not any(slot in cell[2] for cell in self.cells)
                self.cells += [(*cell, {slot}) for cell in self.parked.pop(key)]
                assert len(self.cells) <= self.num_cells, "no room to restore"
            case Forget(key):
                del self.parked[key]

    def truncate(self, slot, length):
        for position, _, slots in self.cells:
            if position >= length:
                slots.discard(slot)
        self.cells = [cell for cell in self.cells if cell[2]]

    def range_of(self, slot):
        """Return the first position that a slot sees, and the tokens from there on."""
        seen = sorted((cell[0], cell[1]) for cell in self.cells if slot in cell[2])
        start = seen[0][0] if seen else 0
        positions = [position for position, _ in seen]
        assert positions == list(range(start, start + len(seen)))
        return start, [token for _, token in seen]

    def tokens_of(self, slot):
        start, tokens = self.range_of(slot)
        assert start == 0, "the beginning is missing"
        return tokens

    def write(self, slot, position, token):
        assert position == len(self.tokens_of(slot)), "a position was skipped"
        self.cells.append((position, token, {slot}))


class FakeGrammar:
    """Allows one text, which is the grammar itself, and then the end."""

    num_open = 0

    def __init__(self, text):
        self.rest = [*text.encode(), END]
        self.num_masks = 0
        FakeGrammar.num_open += 1

    def allows(self, token):
        return token == self.rest[0]

    def mask(self, logits):
        self.num_masks += 1
        result = np.full_like(logits, -np.inf)
        result[self.rest[0]] = logits[self.rest[0]]
        return result

    def accept(self, token):
        assert self.rest.pop(0) == token, "the grammar does not allow this"

    def close(self):
        FakeGrammar.num_open -= 1


class StateMemory(FakeMemory):
    """The same where a slot holds one state, which cannot be cut: as in Mamba."""

    def apply(self, operation):
        match operation:
            case CopyRange(source, target, start, stop):
                assert not self.tokens_of(target), "the target must be empty"
                held = len(self.tokens_of(source))
                assert (start, stop) == (0, held), "a state is copied whole"
            case Truncate(_, length):
                assert length == 0, "a state cannot be cut back"
            case _:
                raise AssertionError(f"{operation} is not for states")
        super().apply(operation)


class FakeRunner:
    """Keeps a `FakeMemory` and answers with a hash of it."""

    model = "fake"
    cell_bytes = 1024
    depth_cost = 0.001
    template = CHATML

    def __init__(self, num_cells=512, end_every=40, outcomes=(), can_cut=True):
        self.num_cells = self.limit_tokens = num_cells
        self.can_cut = self.can_park = can_cut
        self.end_every = end_every
        self.memory = (FakeMemory if can_cut else StateMemory)(num_cells)
        self.outcomes = list(outcomes)
        self.steps = []
        self.num_aborts = 0
        self.on_compute = lambda step: None
        self._logits = []

    def tokenize(self, segments):
        tokens = []
        for segment in segments:
            tokens += tokenize(segment.text, segment.is_markup)
        return tokens

    def build_grammar(self, request):
        if request.grammar == "bad":
            raise RequestRejected("the grammar cannot be read")
        return FakeGrammar(request.grammar)

    def piece_of(self, token):
        return bytes([token]) if token < 256 else b""

    def is_end(self, token):
        return token == END

    def compute(self, step):
        self.steps.append(step)
        for operation in step.operations:
            self.memory.apply(operation)
        self.on_compute(step)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.COMPUTED
        if outcome is Outcome.ABORTED and not self.can_cut:
            self._compute_chunk(step.chunks[0])  # in parts, of which one was done
        if outcome is not Outcome.COMPUTED:
            return outcome
        self._logits = [self._compute_chunk(chunk) for chunk in step.chunks]
        assert len(self.memory.cells) <= self.num_cells, "more cells than there are"
        return outcome

    def logits_of(self, chunk_number, place=0):
        return self._logits[chunk_number][place]

    def measure_steps(self, sizes, has_logits=True):
        return {size: 1 + size / 64 for size in sizes}

    def abort(self):
        self.num_aborts += 1

    def _compute_chunk(self, chunk):
        logits = []
        for position, token in enumerate(chunk.tokens, start=chunk.start):
            self.memory.write(chunk.slot, position, token)
            logits.append(
                build_logits(self.memory.tokens_of(chunk.slot), self.end_every)
            )
        return logits[len(logits) - max(chunk.num_logits, 1) :]


def tokenize(text, is_markup):
    if not is_markup:
        return list(text.encode())
    tokens = []
    for part in re.split(r"(<\|im_start\|>|<\|im_end\|>)", text):
        tokens += [SPECIALS[part]] if part in SPECIALS else list(part.encode())
    return tokens


def build_logits(tokens, end_every):
    digest = hashlib.blake2b(repr(tokens).encode(), digest_size=8).digest()
    number = int.from_bytes(digest)
    token = LETTERS[number // 64 % len(LETTERS)]
    if number // 4096 % 4:  # mostly it goes on as it did before
        token = find_next(tokens, token)
    if end_every and number % end_every == 0:
        token = END
    logits = np.zeros(NUM_VOCAB, np.float32)
    logits[token] = 1.0
    return logits


def find_next(tokens, otherwise):
    """Return what followed the last two tokens before, if it is a letter."""
    for place in range(len(tokens) - 1, 1, -1):
        if tokens[place - 2 : place] == tokens[-2:]:
            return tokens[place] if tokens[place] in list(LETTERS) else otherwise
    return otherwise


def write_alone(tokens, max_tokens, end_every):
    """Return the text that follows `tokens` when nobody else is there."""
    tokens, start = list(tokens), len(tokens)
    while len(tokens) - start < max_tokens:
        token = int(build_logits(tokens, end_every).argmax())
        if token == END:
            break
        tokens.append(token)
    return bytes(tokens[start:]).decode()
