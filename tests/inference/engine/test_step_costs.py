import pytest

from inference.engine.step_costs import StepCosts

# As measured with half a billion weights on two cores.
SLOW = StepCosts({1: 0.022, 8: 0.096, 16: 0.131, 32: 0.23}, 0.006)
# As with a graphics card: what is in a step hardly matters.
FAST = StepCosts({1: 0.010, 32: 0.011}, 0.00005)


def test_reads_between_and_beyond_the_points():
    costs = StepCosts({1: 1.0, 3: 2.0, 10: 9.0}, 1.0)
    assert [costs.read(n) for n in (1, 2, 3, 10, 20)] == [1, 1.5, 2, 9, 18]


def test_a_step_with_more_tokens_never_costs_less():
    costs = StepCosts({1: 5.0, 2: 1.0, 4: 3.0}, 1.0)
    assert [costs.read(n) for n in (1, 2, 4)] == [1, 1, 3]


@pytest.mark.parametrize("points", [{}, {0: 1.0}, {1: 0.0}])
def test_nonsense_is_refused(points):
    with pytest.raises(ValueError, match="no measured steps"):
        StepCosts(points, 1.0)


def test_a_prompt_without_cost_is_refused():
    with pytest.raises(ValueError, match="cannot take 0"):
        StepCosts({1: 1.0}, 0.0)


@pytest.mark.parametrize("num_writing", [8, 16, 32])
def test_a_prompt_stretches_steps_three_times_at_most(num_writing):
    number = SLOW.fit_prompt(num_writing)
    alone_s = SLOW.read(num_writing)
    assert 2.8 < (alone_s + number * SLOW.prompt_token_s) / alone_s < 3.01


def test_nobody_minds_a_fifth_of_a_second():
    assert SLOW.fit_prompt(1) == int((0.2 - 0.022) / 0.006)
    assert FAST.fit_prompt(1) > 1000


def test_a_prompt_is_always_read_on():
    assert StepCosts({1: 10.0}, 10.0).fit_prompt(1) == 8
