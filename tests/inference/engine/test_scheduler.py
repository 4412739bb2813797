import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.kv_cache import KvCache
from inference.engine.operations import CopyRange
from inference.engine.scheduler import Scheduler
from inference.engine.sequence import Sequence, SequenceState

TOKEN = 99


def build(
    num_cells=100,
    num_keepers=8,
    max_batch_tokens=8,
    max_sequences=4,
    max_prefill_tokens=64,
    reuse=True,
):
    cache = KvCache(num_cells, max_sequences, num_keepers, reuse)
    return Scheduler(
        cache, max_batch_tokens, max_sequences, lambda num_writing: max_prefill_tokens
    )


def add(scheduler, key, num_tokens, first=0):
    sequence = Sequence(key, [first or hash(key), *range(1, num_tokens)])
    scheduler.add(sequence)
    return sequence


def run(scheduler):
    """Compute one step and let every finished prompt write a token."""
    step = scheduler.next_step()
    scheduler.complete(step)
    for chunk in step.chunks:
        if chunk.is_last:
            chunk.sequence.append(TOKEN)
    return [(chunk.sequence.key, len(chunk.tokens)) for chunk in step.chunks]


def test_cuts_a_long_prompt_into_steps():
    scheduler = build()
    add(scheduler, "a", 18)
    assert [run(scheduler) for _ in range(4)] == [
        [("a", 8)],
        [("a", 8)],
        [("a", 2)],
        [("a", 1)],
    ]


def test_only_the_last_chunk_is_sampled_behind():
    scheduler = build()
    add(scheduler, "a", 10)
    lasts = []
    for _ in range(2):
        step = scheduler.next_step()
        scheduler.complete(step)
        lasts.append(step.chunks[0].is_last)
    assert lasts == [False, True]


def test_generating_sequences_come_first_and_prompts_take_the_rest():
    scheduler = build()
    add(scheduler, "a", 2)
    run(scheduler)
    add(scheduler, "b", 20)
    assert run(scheduler) == [("a", 1), ("b", 7)]
    assert run(scheduler) == [("a", 1), ("b", 7)]


def test_prompts_are_read_in_small_pieces_while_somebody_generates():
    scheduler = build(max_batch_tokens=30, max_prefill_tokens=5)
    add(scheduler, "a", 20)
    add(scheduler, "b", 20)
    assert run(scheduler) == [("a", 20), ("b", 10)]
    assert run(scheduler) == [("a", 1), ("b", 5)]


def test_a_prompt_is_read_in_smaller_pieces_towards_its_end():
    cache = KvCache(1000, 4, 4)
    scheduler = Scheduler(cache, 50, 4, lambda num_writing: 20, depth_cost=0.01)
    add(scheduler, "a", 2)
    run(scheduler)
    add(scheduler, "b", 100)
    assert [run(scheduler)[1] for _ in range(3)] == [("b", 20), ("b", 16), ("b", 14)]


def test_prompts_share_a_step_in_arrival_order():
    scheduler = build()
    for key in "abc":
        add(scheduler, key, 5)
    assert run(scheduler) == [("a", 5), ("b", 3)]
    assert run(scheduler) == [("a", 1), ("b", 2), ("c", 5)]


def test_a_short_prompt_overtakes_a_long_one_that_is_being_read():
    scheduler = build()
    add(scheduler, "long", 60)
    run(scheduler)
    add(scheduler, "short", 8)
    assert run(scheduler) == [("short", 8)]
    assert run(scheduler) == [("short", 1), ("long", 7)]


def test_a_long_prompt_is_overtaken_by_no_more_than_its_own_length():
    scheduler = build(max_sequences=2, reuse=False)
    long = add(scheduler, "long", 40)
    num_others = 0
    while long.state is SequenceState.WAITING:
        short = add(scheduler, f"short {num_others}", 8)
        run(scheduler)
        num_others += short.num_generated
        if short.num_generated:
            scheduler.finish(short)
    assert 1 <= num_others <= 40 // 8


def test_who_shares_what_is_known_has_little_left_to_read():
    scheduler = build(num_cells=200, max_batch_tokens=50)
    known = Sequence("known", range(1000, 1040))
    scheduler.add(known)
    run(scheduler)
    scheduler.finish(known)
    add(scheduler, "new", 20)
    scheduler.add(Sequence("back", [*range(1000, 1040), 7, 7]))
    assert run(scheduler) == [("back", 2), ("new", 20)]


def test_no_more_sequences_run_than_allowed():
    scheduler = build(max_sequences=2)
    sequences = [add(scheduler, key, 2) for key in "abc"]
    run(scheduler)
    assert sequences[2].state is SequenceState.WAITING
    scheduler.finish(sequences[0])
    assert ("c", 2) in run(scheduler)


def test_a_prompt_waits_until_its_cells_are_free():
    scheduler = build(num_cells=40, max_batch_tokens=30)
    first = add(scheduler, "a", 20)
    add(scheduler, "b", 20)
    assert run(scheduler) == [("a", 20)]
    assert run(scheduler) == [("a", 1)]
    scheduler.finish(first)
    assert run(scheduler) == [("b", 20)]


def test_the_youngest_gives_way_when_the_cells_run_out():
    scheduler = build(num_cells=44, max_batch_tokens=40)
    add(scheduler, "a", 13)
    young = add(scheduler, "b", 14)
    newcomer = add(scheduler, "c", 40)
    while not scheduler.num_preemptions:
        work = run(scheduler)
    assert work == [("a", 1)]
    assert young.state is SequenceState.WAITING
    assert [*scheduler.waiting] == [young, newcomer]


def test_a_preempted_sequence_reads_its_own_text_again():
    scheduler = build(num_cells=44, max_batch_tokens=40)
    old = add(scheduler, "a", 13)
    young = add(scheduler, "b", 14)
    while not scheduler.num_preemptions:
        run(scheduler)
    scheduler.finish(old)
    assert run(scheduler) == [("b", len(young.tokens) - 1)]


def test_half_read_prompts_do_not_block_each_other():
    scheduler = build(num_cells=50, max_batch_tokens=30, reuse=False)
    sequences = [add(scheduler, key, 12) for key in "abc"]
    for _ in range(200):
        run(scheduler)
        done = [s for s in sequences if s in scheduler.running and s.num_generated > 30]
        for sequence in done:
            scheduler.finish(sequence)
    assert not scheduler.has_work


def test_those_who_share_a_beginning_wait_until_it_is_computed_once():
    scheduler = build(max_batch_tokens=30, max_sequences=4)
    for key in "abc":
        scheduler.add(Sequence(key, [*range(25), ord(key)]))
    assert run(scheduler) == [("a", 26)]
    assert run(scheduler) == [("a", 1), ("b", 1), ("c", 1)]


def test_sharing_is_told_to_the_cache_before_the_step():
    scheduler = build(max_batch_tokens=30)
    scheduler.add(Sequence("a", [*range(25), 77]))
    run(scheduler)
    scheduler.add(Sequence("b", [*range(25), 88]))
    step = scheduler.next_step()
    assert step.operations == (CopyRange(0, 4, 0, 25), CopyRange(4, 1, 0, 25))


def test_an_abandoned_step_is_offered_again():
    scheduler = build()
    add(scheduler, "a", 5)
    first = scheduler.next_step()
    scheduler.abandon(first)
    second = scheduler.next_step()
    assert second.chunks == first.chunks
    scheduler.complete(second)


def test_an_unfinished_sequence_can_end_at_any_time():
    scheduler = build(max_sequences=1)
    reading = add(scheduler, "a", 20)
    waiting = add(scheduler, "b", 20)
    run(scheduler)
    scheduler.finish(reading)
    scheduler.finish(waiting)
    assert not scheduler.has_work
    assert scheduler.next_step().chunks == ()


@pytest.mark.parametrize("num_tokens", [1, 100])
def test_the_smallest_and_the_largest_prompt_run(num_tokens):
    scheduler = build()
    sequence = add(scheduler, "a", num_tokens)
    for _ in range(20):
        if sequence.num_generated:
            break
        run(scheduler)
    assert sequence.num_generated == 1


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(1, 3)),
        min_size=1,
        max_size=12,
    ),
    st.integers(2, 30),
    st.integers(1, 4),
    st.integers(1, 9),
    st.booleans(),
)
def test_everybody_finishes_within_the_limits(
    loads, max_batch, max_sequences, max_prefill, reuse
):
    max_batch = max(max_batch, max_sequences)
    scheduler = build(61, 6, max_batch, max_sequences, max_prefill, reuse)
    wanted = {}
    for number, (num_prompt, num_new, kind) in enumerate(loads):
        sequence = Sequence(str(number), [kind, *range(num_prompt - 1)])
        wanted[sequence.key] = num_new
        scheduler.add(sequence)
    finished, num_steps = [], 0
    while scheduler.has_work:
        num_steps += 1
        assert num_steps < 2000, "nobody makes progress"
        step = scheduler.next_step()
        assert 0 < step.num_tokens <= max_batch
        assert len(scheduler.running) <= max_sequences
        slots = [sequence.slot for sequence in scheduler.running]
        assert len(set(slots)) == len(slots)
        scheduler.complete(step)
        for chunk in step.chunks:
            if chunk.is_last:
                chunk.sequence.append(TOKEN)
                if chunk.sequence.num_generated == wanted[chunk.sequence.key]:
                    scheduler.finish(chunk.sequence)
                    finished.append(chunk.sequence.key)
    assert sorted(finished) == sorted(wanted)
