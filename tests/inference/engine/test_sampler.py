import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.sampler import MAX_CANDIDATES, NotANumber, Sampler
from inference.types import SamplingParams

LOGITS = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))


def draw(logits, times=2000, **params):
    sampler = Sampler(SamplingParams(**params))
    return [sampler.sample(logits) for _ in range(times)]


def test_temperature_zero_takes_the_first_maximum():
    assert draw(np.array([0, 7, 7, 1], np.float32), times=3) == [1, 1, 1]


def test_draws_by_probability():
    counts = np.bincount(draw(LOGITS, temperature=1.0, seed=1), minlength=4) / 2000
    assert counts == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.04)


def test_a_low_temperature_prefers_the_likely():
    assert draw(LOGITS, temperature=0.05, seed=1).count(3) > 1950


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.3, {3}), (0.5, {2, 3}), (0.8, {1, 2, 3}), (1.0, {0, 1, 2, 3})],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p, kept):
    assert set(draw(LOGITS, temperature=1.0, top_p=top_p, seed=1)) == kept


def test_the_same_seed_chooses_the_same():
    assert draw(LOGITS, temperature=1.0, seed=7) == draw(
        LOGITS, temperature=1.0, seed=7
    )


def test_without_a_seed_it_differs():
    assert draw(LOGITS, temperature=1.0) != draw(LOGITS, temperature=1.0)


def test_looks_at_the_likeliest_of_a_large_vocabulary():
    logits = np.arange(50_000, dtype=np.float32)
    assert min(draw(logits, 200, temperature=2.0, seed=1)) >= 50_000 - MAX_CANDIDATES


@pytest.mark.parametrize(("top_k", "kept"), [(1, {3}), (2, {2, 3}), (9, {0, 1, 2, 3})])
def test_top_k_keeps_the_likeliest(top_k, kept):
    assert set(draw(LOGITS, temperature=1.0, top_k=top_k, seed=1)) == kept


@pytest.mark.parametrize(
    ("min_p", "kept"), [(0.3, {1, 2, 3}), (0.6, {2, 3}), (0.9, {3}), (1.0, {3})]
)
def test_min_p_keeps_what_is_near_the_likeliest(min_p, kept):
    assert set(draw(LOGITS, temperature=1.0, min_p=min_p, seed=1)) == kept


def test_min_p_looks_at_chances_after_the_temperature():
    assert set(draw(LOGITS, temperature=2.0, min_p=0.6, seed=1)) == {1, 2, 3}


@pytest.mark.parametrize(
    ("tokens", "best"), [([], 0), ([0], 1), ([0, 1], 2), ([0, 1, 2], 0)]
)
def test_a_penalty_passes_over_what_was_said(tokens, best):
    logits = np.array([3.0, 2.9, 2.8, -9.0], np.float32)
    sampler = Sampler(SamplingParams(repetition_penalty=1.5))
    assert sampler.sample(logits, tokens) == best


def test_a_penalty_lowers_what_is_negative_already():
    logits = np.array([-1.0, -1.2], np.float32)
    assert Sampler(SamplingParams(repetition_penalty=1.5)).sample(logits, [0]) == 1


def test_a_penalty_counts_a_token_once():
    logits = np.array([3.0, 2.0], np.float32)
    assert Sampler(SamplingParams(repetition_penalty=1.4)).sample(logits, [0] * 9) == 0


def test_a_penalty_looks_no_further_back_than_its_window():
    logits = np.array([3.0, 2.9], np.float32)
    params = SamplingParams(repetition_penalty=1.5, repetition_window=2)
    assert Sampler(params).sample(logits, [1, 0, 0]) == 1
    assert Sampler(params).sample(logits, [0, 1, 1]) == 0


def test_logits_are_left_as_they_were():
    logits = np.array([3.0, 2.9], np.float32)
    Sampler(SamplingParams(0.5, repetition_penalty=1.5)).sample(logits, [0, 1])
    assert logits.tolist() == pytest.approx([3.0, 2.9])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_says_when_there_is_nothing_to_choose(temperature, bad):
    sampler = Sampler(SamplingParams(temperature, seed=1))
    with pytest.raises(NotANumber):
        sampler.sample(np.full(8, bad, np.float32))


def test_nearly_equal_tokens_may_swap_places_without_a_change():
    rng = np.random.default_rng(3)
    logits = np.repeat(rng.normal(size=50).astype(np.float32), 2)
    rounding = rng.normal(scale=1e-6, size=100).astype(np.float32)
    first = draw(logits, temperature=1.0, top_p=0.95, seed=5)
    second = draw(logits + rounding, temperature=1.0, top_p=0.95, seed=5)
    assert sum(a != b for a, b in zip(first, second, strict=True)) <= 2


params = st.builds(
    SamplingParams,
    temperature=st.floats(0.01, 2.0),
    top_p=st.floats(0.01, 1.0),
    top_k=st.integers(0, 12),
    min_p=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**63 - 1),
)
finite = st.floats(-60, 60, width=32)


def keep_by_the_book(logits, params):
    """Return the tokens that may be drawn, after the definitions, one by one."""
    chances = np.exp((logits.astype(np.float64) - logits.max()) / params.temperature)
    order = [int(i) for i in np.argsort(-chances, kind="stable")]
    order = order[: params.top_k or None]
    total, reached, nucleus = sum(chances[order]), 0.0, []
    for token in order:
        if reached >= params.top_p * total:
            break
        nucleus.append(token)
        reached += chances[token]
    return {token for token in nucleus if chances[token] >= params.min_p}


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=20, unique=True), params)
def test_draws_only_what_the_definitions_keep(values, params):
    logits = np.array(values, np.float32)
    allowed = keep_by_the_book(logits, params)
    sampler = Sampler(params)
    assert {sampler.sample(logits) for _ in range(20)} <= allowed


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=20), params, st.integers(1, 5))
def test_the_same_seed_draws_the_same_always(values, params, times):
    logits = np.array(values, np.float32)
    one, other = Sampler(params), Sampler(params)
    assert [one.sample(logits) for _ in range(times)] == [
        other.sample(logits) for _ in range(times)
    ]
