"""What the next decode call computes: continuous batching without a model.

Sequences that generate come first, one token each; the rest of the step goes to
prompts, in chunks, and in small ones while somebody generates, so that nobody's text
stutters. Prompts with little left to read go first, because then the most customers
see an answer soon; who waits moves up with every token that others are given, so a
long prompt is overtaken by at most its own length of shorter ones. A sequence is
admitted when a slot is free and its prompt fits. When the cells run out, the
youngest sequence gives its cells back and starts again later; the oldest is never
touched, so something always finishes.
"""

from bisect import insort_left, insort_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from inference.engine.kv_cache import KvCache
from inference.engine.operations import Operation
from inference.engine.prefix_tree import count_shared
from inference.engine.sequence import Sequence, SequenceState
from inference.engine.state_cache import StateCache

# Cells kept free per running sequence on admission, so that a newcomer does not
# drive somebody out after a word.
HEADROOM_CELLS = 8

NO_DRAFTS: Mapping[str, tuple[int, ...]] = MappingProxyType({})

# A prefix shorter than this is not worth waiting for.
MIN_AWAITED_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one sequence to compute from position `start` on.

    `is_last` when nothing stays pending, so that the next token can be sampled. The
    last `num_drafted` tokens are guesses at what follows: logits are wanted behind
    each of them and behind the token before.
    """

    sequence: Sequence
    slot: int
    start: int
    tokens: tuple[int, ...]
    is_last: bool
    num_drafted: int = 0

    @property
    def drafted(self) -> tuple[int, ...]:
        """Return the guesses."""
        return self.tokens[len(self.tokens) - self.num_drafted :]

    @property
    def num_logits(self) -> int:
        """Return behind how many tokens, the last ones, logits are wanted."""
        return self.num_drafted + 1 if self.is_last else 0


@dataclass(frozen=True, slots=True)
class Step:
    """One decode call: operations on the cache first, then all chunks together."""

    operations: tuple[Operation, ...] = ()
    chunks: tuple[Chunk, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Return how many tokens are computed."""
        return count_tokens(self.chunks)


class Scheduler:
    """The waiting and the running sequences, and the slots they hold.

    `running` is in the order of admission, `waiting` in that of their turn. Every
    running sequence has a slot of its own.
    A step has at most `max_batch_tokens` tokens. `fit_prompt` says how many of prompts
    fit beside so many of replies, where they begin; further on each token costs
    `depth_cost` times more for each one before it, and fewer are read.
    """

    def __init__(
        self,
        cache: KvCache | StateCache,
        max_batch_tokens: int,
        max_sequences: int,
        fit_prompt: Callable[[int], int],
        depth_cost: float = 0.0,
    ) -> None:
        self._cache = cache
        self._max_batch_tokens = max_batch_tokens
        self._fit_prompt = fit_prompt
        self._depth_cost = depth_cost
        self._max_sequences = max_sequences
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self._num_read = 0

    @property
    def has_work(self) -> bool:
        """Return whether any sequence is unfinished."""
        return bool(self.waiting or self.running)

    def read_decoding(self) -> tuple[list[Sequence], int]:
        """Return who writes a reply, and how many tokens of prompts come beside it."""
        decoding = [sequence for sequence in self.running if sequence.is_decoding]
        is_reading = len(decoding) < len(self.running) or self._can_admit(0)
        return decoding, self._fit_prompt(len(decoding)) if is_reading else 0

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; it must fit the cache alone, which the caller checks."""
        num_unread = len(sequence.tokens) - self._cache.count_known(sequence.tokens)
        sequence.arrived_at = self._num_read
        sequence.turn = self._num_read + num_unread
        insort_right(self.waiting, sequence, key=_read_turn)

    def finish(self, sequence: Sequence) -> None:
        """End a sequence, waiting or running, and retain what it computed."""
        if sequence.state is SequenceState.WAITING:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self.drop_refused(sequence)
            self._cache.release(_slot_of(sequence), retain=True)
        sequence.finish()

    def next_step(self, drafts: Mapping[str, tuple[int, ...]] = NO_DRAFTS) -> Step:
        """Return the work for one decode call; empty when there is none.

        At most `max_batch_tokens` tokens: one per decoding sequence first, the rest
        is given to prompts. Claims slots for admitted sequences. Never empty while
        there is work: prompts that hold each other's cells give way, youngest first.
        `drafts` are guesses by the key of a decoding sequence, left out where cells
        or tokens of the step are short.
        """
        chunks = self._build_chunks(drafts)
        while not chunks and len(self.running) > 1:
            self.preempt_youngest()
            chunks = self._build_chunks(drafts)
        return Step(self._cache.take_operations(), tuple(chunks))

    def complete(self, step: Step) -> None:
        """Note that the step was computed."""
        for chunk in step.chunks:
            self._cache.commit(chunk.slot, chunk.tokens)
            if not chunk.sequence.is_decoding:
                self._num_read += len(chunk.tokens)
            chunk.sequence.advance(len(chunk.tokens) - chunk.num_drafted)
            if chunk.sequence.snapshot_at == chunk.sequence.num_computed:
                assert isinstance(self._cache, StateCache)
                self._cache.keep_snapshot(chunk.slot)
                chunk.sequence.snapshot_at = None

    def drop_refused(self, sequence: Sequence) -> None:
        """Drop the cells of guesses that the sequence did not go on with."""
        self._cache.cut(_slot_of(sequence), sequence.num_computed)

    def abandon(self, step: Step, is_intact: bool = True) -> None:
        """Note that the step was not computed; its tokens stay pending.

        Unless `is_intact`, parts of it may have been: sequences whose memory cannot
        be cut back start again.
        """
        for chunk in reversed(step.chunks):
            if is_intact or self._cache.can_cut:
                self._cache.cancel_reservation(chunk.slot)
            else:
                self._preempt(chunk.sequence)

    def drop_retained(self) -> bool:
        """Forget what is kept for prompts to come; return whether there was any."""
        return self._cache.drop_retained()

    def preempt_youngest(self) -> None:
        """Take the slot from the youngest running sequence and let it wait first."""
        self._preempt(self.running[-1])

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._cache.release(_slot_of(sequence), retain=False)
        sequence.preempt()
        sequence.turn = -1  # before all others: it was its turn already
        insort_left(self.waiting, sequence, key=_read_turn)
        self.num_preemptions += 1

    def _build_chunks(self, drafts: Mapping[str, tuple[int, ...]]) -> list[Chunk]:
        chunks = self._decode_chunks(drafts)
        room = self._max_batch_tokens - count_tokens(chunks)
        if not chunks:
            return self._prompt_chunks(room, 0.0)
        room = min(room, self._fit_prompt(count_tokens(chunks)))
        return [*chunks, *self._prompt_chunks(room, self._depth_cost)]

    def _decode_chunks(self, drafts: Mapping[str, tuple[int, ...]]) -> list[Chunk]:
        chunks = []
        for sequence in [*self.running]:
            if sequence.is_decoding and self._reserve_by_force(sequence):
                chunks.append(_build_chunk(sequence, 1))
        room = self._max_batch_tokens - len(chunks)
        for number, chunk in enumerate(chunks):
            draft = drafts.get(chunk.sequence.key, ())[:room]
            if draft and self._cache.reserve(chunk.slot, len(draft)):
                room -= len(draft)
                tokens = (*chunk.tokens, *draft)
                chunks[number] = replace(chunk, tokens=tokens, num_drafted=len(draft))
        return chunks

    def _reserve_by_force(self, sequence: Sequence) -> bool:
        """Reserve a cell, preempting younger sequences; False if it was the youngest.

        Younger ones have no chunk in this step yet, so none has to be taken back.
        """
        while not self._cache.reserve(_slot_of(sequence), 1):
            is_youngest = self.running[-1] is sequence
            self.preempt_youngest()
            if is_youngest:
                return False
        return True

    def _prompt_chunks(self, room: float, depth_cost: float) -> list[Chunk]:
        """Return chunks of prompts, admitting whoever's turn comes first.

        They cost no more than `room` tokens at the beginning of a prompt.
        """
        chunks: list[Chunk] = []
        reading = [s for s in self.running if not s.is_decoding]
        reading.sort(key=_rank, reverse=True)
        while room >= 1:
            owed = sum(sequence.num_pending for sequence in reading)
            if self._is_next(reading) and self._can_admit(owed):
                sequence = self._admit()
            elif reading:
                sequence = reading.pop()
            else:
                break
            cost = 1 + depth_cost * sequence.num_computed
            chunk = self._build_prefill(sequence, max(int(room / cost), 1))
            chunks += chunk
            room -= count_tokens(chunk) * cost
        return chunks

    def _is_next(self, reading: list[Sequence]) -> bool:
        """Return whether somebody waits whose turn comes before all that are read."""
        if not self.waiting:
            return False
        return not reading or self.waiting[0].turn < _rank(reading[-1])

    def _admit(self) -> Sequence:
        """Let the first that waits run."""
        sequence = self.waiting.pop(0)
        claim = self._cache.claim(sequence.tokens)
        assert claim is not None, "there are slots for all that may run"
        sequence.start(claim.slot, claim.num_cached)
        sequence.snapshot_at = self._choose_snapshot(sequence)
        self.running.append(sequence)
        return sequence

    def _build_prefill(self, sequence: Sequence, room: int) -> list[Chunk]:
        """Return a chunk of as many pending tokens as fit; none if no cell is left."""
        num_tokens = min(sequence.num_pending, room, self._cache.num_available)
        if sequence.snapshot_at is not None:
            num_tokens = min(num_tokens, sequence.snapshot_at - sequence.num_computed)
        if num_tokens < 1 or not self._cache.reserve(_slot_of(sequence), num_tokens):
            return []
        return [_build_chunk(sequence, num_tokens)]

    def _can_admit(self, owed: int) -> bool:
        """Return whether the first that waits has room beside `owed` cells for others.

        Always, if nobody runs.
        """
        if not self.waiting or len(self.running) >= self._max_sequences:
            return False
        if not self.running:
            return True
        sequence = self.waiting[0]
        if self._awaits_prefix(sequence):
            return False
        headroom = HEADROOM_CELLS * (len(self.running) + 1)
        needed = self._cache.count_cells_needed(sequence.tokens) + headroom
        return needed + owed <= self._cache.num_available

    def _awaits_prefix(self, sequence: Sequence) -> bool:
        """Return whether a running prompt is about to compute what this one shares.

        Sixteen customers who arrive together then compute their system prompt once.
        """
        if not self._cache.reuses_prefixes:
            return False
        if isinstance(self._cache, StateCache):
            return self._awaits_snapshot(sequence)
        wanted = sequence.tokens[:-1]
        known = promised = 0
        for other in self.running:
            shared = count_shared(other.tokens, wanted)
            known = max(known, min(shared, other.num_computed))
            promised = max(promised, shared)
        return promised - known >= MIN_AWAITED_TOKENS

    def _awaits_snapshot(self, sequence: Sequence) -> bool:
        wanted = sequence.tokens[:-1]
        return any(
            other.snapshot_at is not None
            and count_shared(other.tokens[: other.snapshot_at], wanted)
            == other.snapshot_at
            for other in self.running
        )

    def _choose_snapshot(self, sequence: Sequence) -> int | None:
        """Return where a prompt parts from all others that are known, None if nowhere.

        Only needed where a memory cannot be cut: the next that begins alike finds a
        copy that ends there.
        """
        if not isinstance(self._cache, StateCache) or not self._cache.reuses_prefixes:
            return None
        wanted = sequence.tokens[:-1]
        others = [s.tokens for s in [*self.running, *self.waiting] if s is not sequence]
        shared = max([count_shared(tokens, wanted) for tokens in others], default=0)
        shared = max(shared, self._cache.count_known(wanted))
        is_worth_it = shared - sequence.num_computed >= MIN_AWAITED_TOKENS
        return shared if is_worth_it else None


def count_tokens(chunks: Iterable[Chunk]) -> int:
    """Return how many tokens the chunks hold together."""
    return sum(len(chunk.tokens) for chunk in chunks)


def _read_turn(sequence: Sequence) -> int:
    return sequence.turn


def _rank(sequence: Sequence) -> int:
    """Return a number that is lower for prompts to be read before others.

    Tokens left to read, and those that had been read for others when it came.
    """
    return sequence.arrived_at + sequence.num_pending


def _build_chunk(sequence: Sequence, num_tokens: int) -> Chunk:
    start = sequence.num_computed
    tokens = tuple(sequence.tokens[start : start + num_tokens])
    is_last = num_tokens == sequence.num_pending
    return Chunk(sequence, _slot_of(sequence), start, tokens, is_last)


def _slot_of(sequence: Sequence) -> int:
    assert sequence.slot is not None, f"{sequence!r} has no slot"
    return sequence.slot
