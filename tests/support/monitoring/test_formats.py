"""Numbers are written with their unit and with no digit that is not known."""

from decimal import Decimal

import pytest

from support.monitoring import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0, "0 ms"), (999.4, "999 ms"), (999.6, "1 s"), (1250, "1.25 s"),
        (15003, "15 s"), (99_400, "99.4 s"), (120_000, "2 min"),
    ],
)  # fmt: skip
def test_a_duration_has_the_unit_it_is_best_read_in(value, text):
    assert formats.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), ("0", "$0"), ("0.00000001", "$0.00000001"),
        ("0.00042", "$0.000420"), ("0.12345", "$0.123"), ("0.9999", "$1.000"),
        ("1.005", "$1.01"), ("12345.6", "$12,345.60"),
    ],
)  # fmt: skip
def test_a_cost_has_cents_or_three_digits(value, text):
    assert formats.usd(None if value is None else Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "$0"), (0.1, "$0.10"), (0.025, "$0.025"), (20, "$20.00")]
)
def test_a_round_cost_is_short(value, text):
    assert formats.short_usd(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0.0"), (0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_a_rate_has_three_digits(value, text):
    assert formats.rate(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "-"), (0, 7, "0 %"), (7, 7, "100 %"), (1, 3, "33.3 %")],
)
def test_a_share_of_nothing_is_not_zero(part, whole, text):
    assert formats.share(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 calls"), (1, "1 call"), (1200, "1,200 calls")]
)
def test_one_thing_is_not_several(value, text):
    assert formats.number_of(value, "call") == text
