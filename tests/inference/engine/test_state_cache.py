"""Memories that can be continued and copied as a whole, and never be cut."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.engine.operations import Claim, CopyRange
from inference.engine.state_cache import StateCache
from tests.inference.engine.fake_runner import StateMemory


def compute(cache, slot, tokens):
    assert cache.reserve(slot, len(tokens))
    cache.commit(slot, tokens)


def fill(cache, tokens):
    """Claim a slot for tokens and compute what is missing."""
    claim = cache.claim(tokens)
    compute(cache, claim.slot, tokens[claim.num_cached :])
    return claim


def test_the_next_turn_takes_over_the_slot_of_the_last():
    cache = StateCache(16, 4)
    first = fill(cache, [1, 2, 3])
    cache.release(first.slot, retain=True)
    assert cache.claim([1, 2, 3, 4, 5]) == Claim(first.slot, 3)
    assert cache.take_operations() == ()


def test_a_running_sequence_is_copied_whole():
    cache = StateCache(16, 4)
    first = fill(cache, [1, 2, 3])
    second = cache.claim([1, 2, 3, 9])
    assert second.num_cached == 3
    assert cache.take_operations() == (CopyRange(first.slot, second.slot, 0, 3),)


def test_evicts_the_least_recently_used_for_its_slot():
    cache = StateCache(16, 2)
    for tokens in ([1, 1], [2, 2]):
        cache.release(fill(cache, tokens).slot, retain=True)
    fill(cache, [3, 3])
    assert cache.claim([2, 2, 2]).num_cached == 2


def test_evicts_retained_slots_for_their_cells():
    cache = StateCache(4, 4)
    cache.release(fill(cache, [1, 2, 3]).slot, retain=True)
    claim = cache.claim([7, 8, 9])
    assert cache.reserve(claim.slot, 3)
    assert (cache.num_retained, cache.num_used) == (0, 3)


def test_refuses_cells_that_active_slots_hold():
    cache = StateCache(4, 4)
    fill(cache, [1, 2, 3])
    claim = cache.claim([9, 9])
    assert not cache.reserve(claim.slot, 2)
    assert cache.num_available == 1


def test_has_no_slot_when_all_are_active():
    cache = StateCache(16, 1)
    fill(cache, [1])
    assert cache.claim([2]) is None


def test_shares_nothing_when_told_so():
    cache = StateCache(16, 4, reuse_prefixes=False)
    cache.release(fill(cache, [1, 2, 3]).slot, retain=True)
    assert (cache.num_used, cache.claim([1, 2, 3, 4]).num_cached) == (0, 0)


def test_refuses_to_commit_without_cells():
    cache = StateCache(16, 4)
    with pytest.raises(ValueError, match="no cells reserved"):
        cache.commit(cache.claim([1, 2]).slot, [1])


def test_are_shared_whole_or_not_at_all():
    cache = StateCache(16, 4)
    fill(cache, [1, 2, 3])
    assert cache.claim([1, 2, 9]).num_cached == 0
    assert cache.claim([1, 2, 3, 4]).num_cached == 3


def test_are_not_truncated_for_cells_that_were_reserved():
    cache = StateCache(16, 4)
    claim = fill(cache, [1, 2, 3])
    cache.reserve(claim.slot, 5)
    cache.cancel_reservation(claim.slot)
    assert (cache.take_operations(), cache.num_used) == ((), 3)


def test_are_never_cut():
    cache = StateCache(16, 4)
    claim = fill(cache, [1, 2, 3])
    with pytest.raises(RuntimeError, match="cannot be cut back to 2"):
        cache._truncate(claim.slot, 2)


def test_a_snapshot_is_copied_and_stays():
    cache = StateCache(16, 4)
    first = fill(cache, [1, 2])
    assert cache.keep_snapshot(first.slot)
    compute(cache, first.slot, [3])
    second = cache.claim([1, 2, 9])
    assert (second.num_cached, cache.num_retained, cache.num_used) == (2, 1, 3)


def test_no_snapshot_is_kept_where_all_slots_work():
    cache = StateCache(16, 1)
    assert not cache.keep_snapshot(fill(cache, [1, 2]).slot)


def test_the_last_snapshot_gives_its_slot_when_it_must():
    cache = StateCache(16, 2)
    first = fill(cache, [1, 2])
    cache.keep_snapshot(first.slot)
    assert cache.claim([1, 2, 3]).num_cached == 2
    assert cache.num_retained == 0


class MirrorOfStates(RuleBasedStateMachine):
    """Whatever happens, the cache says what a memory that obeys it really holds."""

    tokens = st.lists(st.integers(0, 2), min_size=1, max_size=9)

    def __init__(self):
        super().__init__()
        self.cache = StateCache(num_cells=20, num_slots=5)
        self.memory = StateMemory(20)
        self.pending = {}

    def obey(self):
        for operation in self.cache.take_operations():
            self.memory.apply(operation)

    @rule(tokens=tokens)
    def claim(self, tokens):
        needed = self.cache.count_cells_needed(tokens)
        available = self.cache.num_available
        claim = self.cache.claim(tokens)
        self.obey()
        if claim is None:
            assert len(self.pending) == 5
            return
        uncached = tokens[claim.num_cached :]
        assert uncached
        assert self.cache.num_available - len(uncached) == available - needed
        self.pending[claim.slot] = uncached

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), works=st.booleans())
    def compute(self, data, works):
        slot = data.draw(st.sampled_from(sorted(self.pending)))
        tokens = self.pending[slot][: data.draw(st.integers(1, 5))] or [1]
        if not self.cache.reserve(slot, len(tokens)):
            return
        self.obey()
        if not works:
            self.cache.cancel_reservation(slot)
            return
        for token in tokens:
            self.memory.write(slot, len(self.memory.tokens_of(slot)), token)
        self.cache.commit(slot, tokens)
        self.pending[slot] = self.pending[slot][len(tokens) :]

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), retain=st.booleans())
    def release(self, data, retain):
        slot = data.draw(st.sampled_from(sorted(self.pending)))
        del self.pending[slot]
        self.cache.release(slot, retain)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def keep_snapshot(self, data):
        self.cache.keep_snapshot(data.draw(st.sampled_from(sorted(self.pending))))

    @invariant()
    def agrees(self):
        self.obey()
        held = [self.memory.tokens_of(slot) for slot in range(5)]
        assert held == [list(self.cache.tokens_of(slot)) for slot in range(5)]
        assert len(self.memory.cells) == self.cache.num_used
        pinned = [c for c in self.memory.cells if c[2] & self.pending.keys()]
        assert self.cache.num_available == 20 - len(pinned)


test_mirrors_a_memory_of_states = MirrorOfStates.TestCase
