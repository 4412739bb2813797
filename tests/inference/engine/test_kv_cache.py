import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.engine.kv_cache import KvCache
from inference.engine.operations import (
    Claim,
    CopyRange,
    Forget,
    Park,
    Restore,
    Truncate,
)
from tests.inference.engine.fake_runner import FakeMemory


def compute(cache, slot, tokens):
    assert cache.reserve(slot, len(tokens))
    cache.commit(slot, tokens)


def fill(cache, tokens):
    """Claim a slot for tokens and compute what is missing."""
    claim = cache.claim(tokens)
    compute(cache, claim.slot, tokens[claim.num_cached :])
    return claim


def write(cache, tokens):
    """Let a sequence come, be computed and end."""
    claim = fill(cache, tokens)
    cache.release(claim.slot, retain=True)
    return claim


def test_a_new_prompt_starts_from_nothing():
    cache = KvCache(16, 2, 2)
    assert cache.claim([1, 2, 3]).num_cached == 0
    assert cache.take_operations() == ()


def test_shares_the_prefix_of_a_running_sequence():
    cache = KvCache(16, 2, 2)
    first = fill(cache, [1, 2, 3, 4])
    second = cache.claim([1, 2, 9])
    assert second.num_cached == 2
    assert cache.take_operations() == (
        CopyRange(first.slot, 2, 0, 2),
        CopyRange(2, second.slot, 0, 2),
    )
    assert cache.num_used == 4


def test_does_not_share_what_is_only_reserved():
    cache = KvCache(16, 2, 2)
    claim = cache.claim([1, 2, 3])
    cache.reserve(claim.slot, 3)
    assert cache.claim([1, 2, 9]).num_cached == 0


def test_leaves_the_last_token_to_compute():
    cache = KvCache(16, 2, 2)
    fill(cache, [1, 2, 3])
    assert cache.claim([1, 2, 3]).num_cached == 2


def test_a_returning_conversation_goes_on_where_it_ended():
    cache = KvCache(16, 2, 2)
    write(cache, [1, 2, 3])
    assert cache.claim([1, 2, 3, 4, 5]) == Claim(0, 3)


def test_a_common_beginning_is_split_off_for_others():
    cache = KvCache(16, 2, 2)
    write(cache, [1, 2, 3, 4])
    cache.take_operations()
    assert cache.claim([1, 2, 7, 8]).num_cached == 2
    assert cache.take_operations() == (
        CopyRange(2, 3, 2, 4),
        Truncate(2, 2),
        CopyRange(2, 0, 0, 2),
    )


def test_what_two_said_alike_is_kept_once():
    cache = KvCache(32, 2, 4)
    first, second = cache.claim([1, 2, 3]), cache.claim([1, 2, 3])
    for claim in (first, second):
        compute(cache, claim.slot, [1, 2, 3])
    for claim in (first, second):
        cache.release(claim.slot, retain=True)
    assert (cache.num_used, cache.num_pieces) == (3, 1)


def test_evicts_the_leaf_that_was_used_least_recently_and_not_its_parent():
    cache = KvCache(7, 2, 4)
    for tokens in ([1, 1, 2, 2], [1, 1, 3, 3]):
        write(cache, tokens)
    assert cache.reserve(cache.claim([9]).slot, 3)
    assert cache.count_known([1, 1, 2, 2, 0]) == 2
    assert cache.count_known([1, 1, 3, 3, 0]) == 4


def test_a_beginning_outlives_all_that_followed_on_it():
    cache = KvCache(6, 2, 4)
    for tokens in ([1, 1, 2, 2], [1, 1, 3, 3]):
        write(cache, tokens)
    assert cache.reserve(cache.claim([9]).slot, 4)
    assert cache.count_known([1, 1, 3, 3, 0]) == 2


def test_never_evicts_what_a_running_sequence_reads():
    cache = KvCache(6, 3, 3)
    fill(cache, [1, 1, 2])
    fill(cache, [1, 1, 3])
    claim = cache.claim([9, 9, 9])
    assert not cache.reserve(claim.slot, 3)
    assert cache.num_available == 2


def test_has_no_slot_when_all_are_in_use():
    cache = KvCache(16, 1, 4)
    fill(cache, [1])
    assert cache.claim([2]) is None


def test_counts_shared_cells_of_a_running_sequence_as_free_of_charge():
    cache = KvCache(16, 2, 2)
    fill(cache, [1, 2, 3])
    assert cache.count_cells_needed([1, 2, 3, 4]) == 1
    assert cache.count_cells_needed([5, 2, 3, 4]) == 4


def test_counts_cells_that_nobody_uses_in_full():
    cache = KvCache(16, 2, 2)
    write(cache, [1, 2, 3])
    assert cache.count_cells_needed([1, 2, 3, 4]) == 4


def test_shares_nothing_when_told_so():
    cache = KvCache(16, 2, 2, reuse_prefixes=False)
    write(cache, [1, 2, 3])
    assert (cache.num_used, cache.claim([1, 2, 3, 4]).num_cached) == (0, 0)


def test_shares_nothing_without_slots_that_keep_it():
    cache = KvCache(16, 2, 0)
    write(cache, [1, 2, 3])
    assert (cache.num_used, cache.claim([1, 2, 3, 4]).num_cached) == (0, 0)


def test_gives_back_what_was_reserved_and_not_computed():
    cache = KvCache(16, 2, 2)
    claim = fill(cache, [1, 2, 3])
    cache.reserve(claim.slot, 5)
    cache.cancel_reservation(claim.slot)
    assert cache.take_operations() == (Truncate(claim.slot, 3),)
    assert cache.num_used == 3


@pytest.mark.parametrize("retain", [True, False])
def test_a_released_slot_keeps_no_reserved_cells(retain):
    cache = KvCache(16, 2, 2)
    claim = fill(cache, [1, 2, 3])
    cache.reserve(claim.slot, 5)
    cache.release(claim.slot, retain)
    assert cache.num_used == (3 if retain else 0)
    assert cache.num_available == 16


def test_refuses_to_commit_without_cells():
    cache = KvCache(16, 2, 2)
    with pytest.raises(ValueError, match="no cells reserved"):
        cache.commit(cache.claim([1, 2]).slot, [1])


def test_refuses_to_cut_what_is_shared():
    cache = KvCache(16, 2, 2)
    first = fill(cache, [1, 2, 3])
    fill(cache, [1, 2, 9])
    with pytest.raises(ValueError, match="shares its first 2"):
        cache.cut(first.slot, 1)


def test_a_conversation_of_many_turns_is_one_piece():
    cache = KvCache(32, 2, 4)
    tokens = [1, 2, 3]
    for turn in range(5):
        write(cache, tokens)
        tokens = [*tokens, 10 + turn]
    assert (cache.num_pieces, cache.num_used) == (1, 7)


class TestParking:
    """What nobody uses leaves the cells, and comes back."""

    def test_what_nobody_uses_is_parked(self):
        cache = KvCache(16, 2, 2, max_idle_cells=0, max_parked=10)
        write(cache, [1, 2, 3])
        assert cache.take_operations()[-1] == Park(2, 1)
        assert (cache.num_used, cache.num_parked) == (0, 3)

    def test_what_is_parked_comes_back_for_who_begins_alike(self):
        cache = KvCache(16, 2, 2, max_idle_cells=0, max_parked=10)
        write(cache, [1, 2, 3])
        cache.take_operations()
        assert cache.claim([1, 2, 3, 4]).num_cached == 3
        assert cache.take_operations() == (Restore(1, 2), CopyRange(2, 0, 0, 3))
        assert (cache.num_used, cache.num_parked) == (3, 0)

    def test_few_cells_may_keep_what_nobody_uses(self):
        cache = KvCache(16, 2, 3, max_idle_cells=4, max_parked=10)
        for tokens in ([1, 2, 3], [5, 6, 7, 8]):
            write(cache, tokens)
        assert (cache.num_used, cache.num_parked) == (4, 3)

    def test_the_oldest_is_forgotten_when_too_much_is_parked(self):
        cache = KvCache(16, 2, 3, max_idle_cells=0, max_parked=5)
        for tokens in ([1, 2, 3], [5, 6, 7, 8]):
            write(cache, tokens)
        assert cache.take_operations()[-1] == Forget(1)
        assert (cache.count_known([1, 2, 3, 4]), cache.num_parked) == (0, 4)

    def test_what_follows_is_parked_before_what_it_follows_on(self):
        cache = KvCache(16, 2, 4, max_idle_cells=0, max_parked=6)
        for tokens in ([1, 1, 2, 2], [1, 1, 3, 3]):
            write(cache, tokens)
        assert cache.num_parked == 6
        write(cache, [7])
        assert cache.count_known([1, 1, 2, 2, 0]) == 2
        assert cache.count_known([1, 1, 3, 3, 0]) == 4

    def test_a_claim_shares_less_where_there_is_no_room_to_restore(self):
        cache = KvCache(6, 2, 3, max_idle_cells=0, max_parked=10)
        write(cache, [1, 2, 3, 4])
        fill(cache, [7, 8, 9])
        assert cache.claim([1, 2, 3, 4, 5]).num_cached == 0


def test_what_ends_without_a_keeper_leaves_the_pieces_of_others_alone():
    cache = KvCache(30, 3, 2)
    write(cache, [1, 2, 3, 4])
    first = fill(cache, [1, 2, 3, 4, 5, 6, 7])
    second = fill(cache, [1, 2, 3, 4, 5, 6, 8])
    cache.release(first.slot, retain=True)  # both keepers have pieces of the second
    cache.release(second.slot, retain=True)
    assert cache.num_available == 30


class MirrorOfLlama(RuleBasedStateMachine):
    """Whatever happens, the cache says what a memory that obeys it really holds."""

    sizes: tuple[int, int, int, int | None, int] = (20, 3, 12, None, 0)
    is_exact = True
    tokens = st.lists(st.integers(0, 2), min_size=1, max_size=9)

    def __init__(self):
        super().__init__()
        num_cells, self.num_sequences, num_keepers, max_idle, max_parked = self.sizes
        self.num_slots = self.num_sequences + num_keepers
        self.cache = KvCache(
            num_cells, self.num_sequences, num_keepers, True, max_idle, max_parked
        )
        self.memory = FakeMemory(num_cells)
        self.pending = {}

    def obey(self):
        for operation in self.cache.take_operations():
            self.memory.apply(operation)

    @rule(tokens=tokens)
    def claim(self, tokens):
        needed = self.cache.count_cells_needed(tokens)
        known = self.cache.count_known(tokens)
        available = self.cache.num_available
        claim = self.cache.claim(tokens)
        self.obey()
        if claim is None:
            assert len(self.pending) == self.num_sequences
            return
        assert self.memory.tokens_of(claim.slot) == tokens[: claim.num_cached]
        uncached = tokens[claim.num_cached :]
        assert uncached
        if self.is_exact:
            assert claim.num_cached >= known
            assert self.cache.num_available - len(uncached) == available - needed
        self.pending[claim.slot] = uncached

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), works=st.booleans())
    def compute(self, data, works):
        slot = data.draw(st.sampled_from(sorted(self.pending)))
        tokens = self.pending[slot][: data.draw(st.integers(1, 5))] or [1]
        can_reserve = len(tokens) <= self.cache.num_available
        assert self.cache.reserve(slot, len(tokens)) == can_reserve
        if not can_reserve:
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
    @rule(data=st.data())
    def guess_wrongly(self, data):
        slot = data.draw(st.sampled_from(sorted(self.pending)))
        length = len(self.cache.tokens_of(slot))
        if self.cache.reserve(slot, 1):
            self.obey()
            self.memory.write(slot, length, 9)
            self.cache.commit(slot, [9])
            self.cache.cut(slot, length)

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), retain=st.booleans())
    def release(self, data, retain):
        slot = data.draw(st.sampled_from(sorted(self.pending)))
        del self.pending[slot]
        self.cache.release(slot, retain)

    @rule()
    def drop_retained(self):
        self.cache.drop_retained()
        assert self.cache.num_used == self.cache.num_cells - self.cache.num_available

    @invariant()
    def agrees(self):
        self.obey()
        for slot in range(self.num_sequences):
            held = list(self.cache.tokens_of(slot)) if slot in self.pending else []
            assert self.memory.tokens_of(slot) == held
        assert len(self.memory.cells) == self.cache.num_used
        pinned = [c for c in self.memory.cells if c[2] & self.pending.keys()]
        assert self.cache.num_available == self.cache.num_cells - len(pinned)
        assert sum(map(len, self.memory.parked.values())) == self.cache.num_parked


class MirrorOfFewKeepers(MirrorOfLlama):
    """The same where slots that keep pieces are short."""

    sizes = (20, 3, 2, None, 0)
    is_exact = False


class MirrorOfParking(MirrorOfLlama):
    """The same where what nobody uses is parked, and some of it forgotten."""

    sizes = (16, 3, 4, 3, 15)
    is_exact = False

    @invariant()
    def parks_what_nobody_uses(self):
        assert self.cache.num_parked <= 15


test_mirrors_a_memory_that_obeys = MirrorOfLlama.TestCase
test_mirrors_it_with_few_keepers = MirrorOfFewKeepers.TestCase
test_mirrors_it_with_parking = MirrorOfParking.TestCase
