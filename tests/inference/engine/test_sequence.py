import pytest

from inference.engine.sequence import Sequence, SequenceState


def running(prompt=(1, 2, 3), num_cached=0):
    sequence = Sequence("a", prompt)
    sequence.start(slot=4, num_cached=num_cached)
    return sequence


def test_counts_what_is_pending():
    sequence = running(num_cached=1)
    assert (sequence.num_pending, sequence.num_generated) == (2, 0)
    sequence.advance(2)
    sequence.append(9)
    assert (sequence.num_pending, sequence.num_generated) == (1, 1)
    assert sequence.is_decoding


def test_starts_over_after_a_preemption_and_keeps_its_text():
    sequence = running(num_cached=2)
    sequence.advance(1)
    sequence.append(9)
    sequence.preempt()
    assert (sequence.slot, sequence.num_pending) == (None, 4)
    sequence.start(slot=1, num_cached=3)
    assert sequence.num_cached == 2


@pytest.mark.parametrize(
    "act",
    [
        lambda sequence: sequence.start(0, 0),
        lambda sequence: sequence.append(5),
        lambda sequence: (sequence.finish(), sequence.finish()),
        lambda sequence: (sequence.preempt(), sequence.advance(1)),
    ],
)
def test_refuses_what_its_state_forbids(act):
    with pytest.raises(RuntimeError, match="Sequence a"):
        act(running())


@pytest.mark.parametrize("num_tokens", [0, 4])
def test_cannot_advance_beyond_its_tokens(num_tokens):
    with pytest.raises(ValueError, match="cannot advance"):
        running().advance(num_tokens)


def test_leaves_one_token_to_compute():
    sequence = Sequence("a", [1, 2])
    with pytest.raises(ValueError, match="2 cached"):
        sequence.start(0, num_cached=2)
    assert sequence.state is SequenceState.WAITING
