"""Compares what a real model computes in company with what it computes alone.

Two comparisons, so that no mistake can hide behind another. `Witness` keeps the logits
behind every token of every reply, and `find_deviations` computes them again with nobody
else in an empty cache: a token too many, too few or in the wrong place shows in all
that follow, whether or not it changes a word. `find_partings` compares the texts, and
tells how undecided the model was where they differ.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from inference.engine.binding import LlamaRunner
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.reply import ReplyBuilder
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

    def measure_steps(self, sizes, **_):
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
    runner.measure_steps(())


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


@dataclass
class Replay:
    """Chooses the tokens of one reply again, from the logits that it had alone."""

    runner: LlamaRunner
    config: EngineConfig

    def find_margin(self, request, alone, other):
        """Return how far the token chosen alone was ahead of the one in company.

        After quotation and penalty. Infinite if no token differs at all.
        """
        _, reply = ReplyBuilder(self.runner, self.config).build(request)
        start, tokens = alone.sequence.num_prompt_tokens, alone.sequence.tokens
        try:
            for place, logits in enumerate(alone.logits, start):
                chosen = reply.choose(logits, tokens[:place])
                if chosen != (said := _token_at(other, place)):
                    weighed = reply.quoter.restrict(logits) if reply.quoter else logits
                    weighed = reply.sampler.penalise(weighed, tokens[:place])
                    return float(weighed[chosen] - weighed[said])
                reply.take(chosen, self.runner.piece_of(chosen))
        finally:
            reply.close()
        return float("inf")


def _token_at(seen, place):
    """Return the token that was chosen there, which may have ended the reply."""
    if place < len(seen.sequence.tokens):
        return seen.sequence.tokens[place]
    return int(seen.logits[place - seen.sequence.num_prompt_tokens].argmax())


def find_partings(replay, requests, in_company, alone):
    """Return the margins of the greedy replies that are not the same as alone.

    None for those that were drawn. What was cancelled has to be a beginning.
    `in_company` and `alone` are what was told, and the witness of it.
    """
    partings = {}
    for key, request in requests.items():
        one, other = alone[0][key], in_company[0][key]
        is_cut = other.completion.finish_reason is FinishReason.CANCELLED
        if one.text == other.text or (is_cut and one.text.startswith(other.text)):
            continue
        seen = alone[1].seen[key], in_company[1].seen[key]
        is_drawn = bool(request.temperature)
        partings[key] = None if is_drawn else replay.find_margin(request, *seen)
    return partings
