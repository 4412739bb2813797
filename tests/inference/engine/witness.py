"""Compares what a real model computes in company with what it computes alone.

Two comparisons, so that no mistake can hide behind another. `Witness` keeps the logits
behind every token of every reply, and `find_deviation` computes them again with nobody
else in an empty cache: a token too many, too few or in the wrong place shows in all
that follow, whether or not it changes a word. `explain_partings` compares the texts,
and accepts a difference only where the model was undecided.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from inference.engine.engine import Engine
from inference.engine.kv_cache import Truncate
from inference.engine.runner import Outcome
from inference.engine.scheduler import Chunk, Step
from inference.engine.sequence import Sequence
from inference.engine.wire import Finished, Text
from inference.types import Completion, FinishReason


@dataclass
class Seen:
    """The logits that a reply's tokens were chosen from, and the sequence."""

    sequence: Sequence
    logits: list[np.ndarray] = field(default_factory=list)

    @property
    def tokens(self):
        """Return the tokens that the last logits were behind, prompt first."""
        length = self.sequence.num_prompt_tokens + len(self.logits) - 1
        return self.sequence.tokens[:length]


class Witness:
    """A runner that notes what it computed; its cache may look smaller than it is.

    Every `refuse_every` steps it says that there is no room, as llama.cpp may.
    """

    def __init__(self, runner, num_cells=None, refuse_every=0):
        self._runner = runner
        self._refuse_every = refuse_every
        self.num_cells = num_cells or runner.num_cells
        self.num_steps = 0
        self.seen = {}
        self._step = Step()

    def __getattr__(self, name):
        return getattr(self._runner, name)

    def measure_steps(self, sizes):
        """Say that more tokens cost nothing, so that all guesses are tried."""
        return dict.fromkeys(sizes, 1.0)

    def compute(self, step):
        self._step = step
        self.num_steps += 1
        if self._refuse_every and self.num_steps % self._refuse_every == 0:
            is_alone = len({chunk.sequence.key for chunk in step.chunks}) < 2
            if not is_alone:  # then it would be fatal
                self._runner.compute(Step(step.operations))
                return Outcome.NO_ROOM
        return self._runner.compute(step)

    def logits_of(self, chunk_number, place=0):
        logits = self._runner.logits_of(chunk_number, place)
        sequence = self._step.chunks[chunk_number].sequence
        seen = self.seen.setdefault(sequence.key, Seen(sequence))
        seen.logits.append(logits.copy())
        return logits


def clear(runner):
    """Empty the cache."""
    runner.compute(Step(tuple(Truncate(s, 0) for s in range(runner.num_slots))))


def compute_alone(runner, tokens, num_last):
    """Return the logits behind the last tokens, computed at once in an empty cache."""
    clear(runner)
    own = Sequence("alone", tokens)
    chunk = Chunk(own, 0, 0, tuple(tokens), is_last=True, num_drafted=num_last - 1)
    runner.compute(Step((), (chunk,)))
    return [runner.logits_of(0, place).copy() for place in range(num_last)]


def find_deviations(runner, witness):
    """Return by how much each logit was another than alone, at most, for each token."""
    deviations = []
    for seen in witness.seen.values():
        alone = compute_alone(runner, seen.tokens, len(seen.logits))
        pairs = zip(alone, seen.logits, strict=True)
        deviations += [float(np.abs(one - other).max()) for one, other in pairs]
    return deviations


@dataclass
class Told:
    """A reply as it was told: its text, and how it ended."""

    text: str = ""
    completion: Completion | None = None


def play(runner, config, requests, dice=None, cancels=()):
    """Return what an engine tells of each request, and its figures.

    With `dice`, requests arrive one by one while others are written; those in
    `cancels` are cancelled somewhere on their way.
    """
    engine = Engine(runner, config)
    told = {key: Told() for key in requests}
    todo = [*requests]
    while todo or engine.has_work:
        while todo and (not engine.has_work or dice is None or dice.random() < 0.6):
            assert engine.submit(todo[0], requests[todo.pop(0)]) == []
        for key in cancels:
            is_on_its_way = key not in todo and told[key].completion is None
            if is_on_its_way and dice.random() < 0.1:
                engine.cancel_soon(key)
        _note(told, engine.step())
    return told, engine.read_stats()


def _note(told, events):
    for event in events:
        assert told[event.key].completion is None, "something came after the end"
        if isinstance(event, Text):
            told[event.key].text += event.text
        else:
            assert isinstance(event, Finished), event
            told[event.key].completion = event.completion


def play_alone(runner, config, requests):
    """Return what each request gets with nobody beside it, and how near it was.

    Token by token, in an empty cache that nobody shares and without guesses.
    """
    plain = replace(config, max_drafted_tokens=0, reuse_prefixes=False)
    alone, witness = {}, Witness(runner)
    for key, request in requests.items():
        clear(runner)
        alone |= play(witness, plain, {key: request})[0]
    return alone, witness


def find_partings(witness, alone_witness, told, alone):
    """Return the keys of whole replies that differ from those alone.

    With how far the token that was chosen alone was ahead of the one in company.
    """
    partings = {}
    for key, one in alone.items():
        other = told[key]
        if other.completion.finish_reason is FinishReason.CANCELLED:
            is_same = one.text.startswith(other.text)
        else:
            is_same = one.text == other.text
        if not is_same:
            partings[key] = _find_margin(alone_witness.seen[key], witness.seen[key])
    return partings


def _find_margin(one, other):
    """Return the difference of two tokens' logits where two sequences part."""
    pairs = zip(one.sequence.tokens, other.sequence.tokens, strict=False)
    place = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
    if place is None:
        return float("inf")  # the same tokens, and another text: no rounding does that
    logits = one.logits[place - one.sequence.num_prompt_tokens]
    chosen = logits[one.sequence.tokens[place]]
    return float(chosen - logits[other.sequence.tokens[place]])
