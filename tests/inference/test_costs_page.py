"""The worked example of docs/costs.md is what a call costs."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from inference import registry
from inference.models import Price
from inference.types import AttemptOutcome, AttemptReport, Usage
from tests.factories import make_backend

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "costs.md").read_text()


def read_example() -> tuple[list[list[Decimal]], Decimal]:
    """Return tokens, price and cost of each part, and the sum."""
    table = PAGE.partition("### An example")[2].partition("**together**")
    rows = [
        [Decimal(cell) for cell in row]
        for row in re.findall(r"\| (\d+) \| ([\d.]+) \| ([\d.]+) \|", table[0])
    ]
    total = re.search(r"\*\*([\d.]+)\*\*", table[2])
    assert total is not None
    return rows, Decimal(total[1])


def test_each_part_costs_its_tokens_times_its_price():
    rows, total = read_example()
    assert len(rows) == 5
    assert [tokens * price / 1_000_000 for tokens, price, _ in rows] == [
        cost for _, _, cost in rows
    ]
    assert sum(cost for _, _, cost in rows) == total


@pytest.mark.django_db
def test_a_call_is_billed_as_the_example_says():
    (new, cached, written, answered, thought), total = read_example()
    assert (answered[1], thought[1]) == (Decimal(15), Decimal(15))
    row = make_backend(name="cloud")
    Price.objects.create(
        backend=row,
        input_usd_per_mtok=new[1],
        cached_input_usd_per_mtok=cached[1],
        cache_write_usd_per_mtok=written[1],
        output_usd_per_mtok=answered[1],
    )
    usage = Usage(
        prompt_tokens=int(new[0] + cached[0] + written[0]),
        completion_tokens=int(answered[0] + thought[0]),
        cached_tokens=int(cached[0]),
        reasoning_tokens=int(thought[0]),
        cache_write_tokens=int(written[0]),
    )
    assert f"{usage.prompt_tokens:,} prompt tokens" in PAGE
    done, now = AttemptOutcome.COMPLETED, timezone.now()
    report = AttemptReport("cloud", "m", 1, done, now, 900, usage=usage)
    assert registry.bill(report).cost_usd == total
