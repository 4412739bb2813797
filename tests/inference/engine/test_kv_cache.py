import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.engine.kv_cache import Claim, CopyPrefix, KvCache, Truncate, count_shared
from tests.inference.engine.fake_runner import FakeMemory, StateMemory


def compute(cache, slot, tokens):
    assert cache.reserve(slot, len(tokens))
    cache.commit(slot, tokens)


def fill(cache, tokens):
    """Claim a slot for tokens and compute what is missing."""
    claim = cache.claim(tokens)
    compute(cache, claim.slot, tokens[claim.num_cached :])
    return claim


def test_a_new_prompt_starts_from_nothing():
    cache = KvCache(16, 4)
    assert cache.claim([1, 2, 3]).num_cached == 0
    assert cache.take_operations() == ()


def test_shares_the_prefix_of_a_running_sequence():
    cache = KvCache(16, 4)
    first = fill(cache, [1, 2, 3, 4])
    second = cache.claim([1, 2, 9])
    assert second.num_cached == 2
    assert cache.take_operations() == (CopyPrefix(first.slot, second.slot, 2),)
    assert cache.num_used == 4


def test_does_not_share_what_is_only_reserved():
    cache = KvCache(16, 4)
    claim = cache.claim([1, 2, 3])
    cache.reserve(claim.slot, 3)
    assert cache.claim([1, 2, 9]).num_cached == 0


def test_leaves_the_last_token_to_compute():
    cache = KvCache(16, 4)
    fill(cache, [1, 2, 3])
    assert cache.claim([1, 2, 3]).num_cached == 2


def test_the_next_turn_takes_over_the_slot_of_the_last():
    cache = KvCache(16, 4)
    first = fill(cache, [1, 2, 3])
    cache.release(first.slot, retain=True)
    assert cache.claim([1, 2, 3, 4, 5]) == Claim(first.slot, 3)
    assert cache.take_operations() == ()


def test_a_common_beginning_stays_for_others():
    cache = KvCache(16, 4)
    first = fill(cache, [1, 2, 3])
    cache.release(first.slot, retain=True)
    second = cache.claim([1, 2, 7, 8])
    assert (second.slot != first.slot, second.num_cached) == (True, 2)
    assert cache.num_retained == 1


def test_evicts_the_least_recently_used_for_its_slot():
    cache = KvCache(16, 2)
    for tokens in ([1, 1], [2, 2]):
        cache.release(fill(cache, tokens).slot, retain=True)
    fill(cache, [3, 3])
    assert cache.claim([2, 2, 2]).num_cached == 2


def test_evicts_retained_slots_for_their_cells():
    cache = KvCache(4, 4)
    cache.release(fill(cache, [1, 2, 3]).slot, retain=True)
    claim = cache.claim([7, 8, 9])
    assert cache.reserve(claim.slot, 3)
    assert (cache.num_retained, cache.num_used) == (0, 3)


def test_cuts_the_last_retained_slot_back_when_it_must_be_reused():
    cache = KvCache(16, 1)
    first = fill(cache, [1, 2, 3])
    cache.release(first.slot, retain=True)
    assert cache.claim([1, 2, 9]) == Claim(first.slot, 2)
    assert cache.take_operations() == (Truncate(first.slot, 2),)


def test_refuses_cells_that_active_slots_hold():
    cache = KvCache(4, 4)
    fill(cache, [1, 2, 3])
    claim = cache.claim([9, 9])
    assert not cache.reserve(claim.slot, 2)
    assert cache.num_available == 1


def test_has_no_slot_when_all_are_active():
    cache = KvCache(16, 1)
    fill(cache, [1])
    assert cache.claim([2]) is None


def test_counts_shared_cells_of_a_running_sequence_as_free_of_charge():
    cache = KvCache(16, 4)
    fill(cache, [1, 2, 3])
    assert cache.count_cells_needed([1, 2, 3, 4]) == 1
    assert cache.count_cells_needed([5, 2, 3, 4]) == 4


def test_counts_shared_cells_of_a_retained_sequence_in_full():
    cache = KvCache(16, 4)
    cache.release(fill(cache, [1, 2, 3]).slot, retain=True)
    assert cache.count_cells_needed([1, 2, 3, 4]) == 4


def test_shares_nothing_when_told_so():
    cache = KvCache(16, 4, reuse_prefixes=False)
    cache.release(fill(cache, [1, 2, 3]).slot, retain=True)
    assert (cache.num_used, cache.claim([1, 2, 3, 4]).num_cached) == (0, 0)


def test_gives_back_what_was_reserved_and_not_computed():
    cache = KvCache(16, 4)
    claim = fill(cache, [1, 2, 3])
    cache.reserve(claim.slot, 5)
    cache.cancel_reservation(claim.slot)
    assert cache.take_operations() == (Truncate(claim.slot, 3),)
    assert cache.num_used == 3


@pytest.mark.parametrize("retain", [True, False])
def test_a_released_slot_keeps_no_reserved_cells(retain):
    cache = KvCache(16, 4)
    claim = fill(cache, [1, 2, 3])
    cache.reserve(claim.slot, 5)
    cache.release(claim.slot, retain)
    assert cache.num_used == (3 if retain else 0)
    assert cache.num_available == 16


def test_refuses_to_commit_without_cells():
    cache = KvCache(16, 4)
    with pytest.raises(ValueError, match="no cells reserved"):
        cache.commit(cache.claim([1, 2]).slot, [1])


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_counts_the_common_beginning(left, right):
    shared = count_shared(left, right)
    assert left[:shared] == right[:shared]
    assert left[shared : shared + 1] != right[shared : shared + 1] or shared == min(
        len(left), len(right)
    )


class TestStates:
    """What can only be continued, copied as a whole, or dropped."""

    def test_are_shared_whole_or_not_at_all(self):
        cache = KvCache(16, 4, can_cut=False)
        fill(cache, [1, 2, 3])
        assert cache.claim([1, 2, 9]).num_cached == 0
        assert cache.claim([1, 2, 3, 4]).num_cached == 3

    def test_are_not_truncated_for_cells_that_were_reserved(self):
        cache = KvCache(16, 4, can_cut=False)
        claim = fill(cache, [1, 2, 3])
        cache.reserve(claim.slot, 5)
        cache.cancel_reservation(claim.slot)
        assert (cache.take_operations(), cache.num_used) == ((), 3)

    def test_are_never_cut(self):
        cache = KvCache(16, 4, can_cut=False)
        claim = fill(cache, [1, 2, 3])
        with pytest.raises(RuntimeError, match="cannot be cut back to 2"):
            cache._truncate(claim.slot, 2)

    def test_a_snapshot_is_copied_and_stays(self):
        cache = KvCache(16, 4, can_cut=False)
        first = fill(cache, [1, 2])
        assert cache.keep_snapshot(first.slot)
        compute(cache, first.slot, [3])
        second = cache.claim([1, 2, 9])
        assert (second.num_cached, cache.num_retained, cache.num_used) == (2, 1, 3)

    def test_no_snapshot_is_kept_where_all_slots_work(self):
        cache = KvCache(16, 1, can_cut=False)
        assert not cache.keep_snapshot(fill(cache, [1, 2]).slot)

    def test_the_last_snapshot_gives_its_slot_when_it_must(self):
        cache = KvCache(16, 2, can_cut=False)
        first = fill(cache, [1, 2])
        cache.keep_snapshot(first.slot)
        assert cache.claim([1, 2, 3]).num_cached == 2
        assert cache.num_retained == 0


class MirrorOfLlama(RuleBasedStateMachine):
    """Whatever happens, the cache says what a memory that obeys it really holds."""

    can_cut = True
    tokens = st.lists(st.integers(0, 2), min_size=1, max_size=9)

    def __init__(self):
        super().__init__()
        self.cache = KvCache(num_cells=20, num_slots=5, can_cut=self.can_cut)
        self.memory = (FakeMemory if self.can_cut else StateMemory)(20)
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


class MirrorOfStates(MirrorOfLlama):
    """The same for memories that cannot be cut."""

    can_cut = False


test_mirrors_a_memory_that_obeys = MirrorOfLlama.TestCase
test_mirrors_a_memory_of_states = MirrorOfStates.TestCase
