import numpy as np
import pytest

from inference.engine.sampler import MAX_CANDIDATES, Sampler, SamplingParams

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
