"""What a call cost: the operator's prices first, then those that providers publish.

A call without a known price is unpriced, which is not the same as free. Costs are
worked out exactly and rounded once, to eight places, halves to the even digit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from importlib import import_module

from django.db.models import F, Q

from inference.models import Backend, BackendKind, Price
from inference.types import AttemptOutcome, AttemptReport, Usage

# these run on the operator's own machines: no bill comes for a call
_UNBILLED_KINDS = {BackendKind.LLAMA_CPP, BackendKind.SCRIPTED}
# whose list counts where no other address is entered
_PROVIDERS = {
    BackendKind.OPENAI: "openai",
    BackendKind.ANTHROPIC: "anthropic",
    BackendKind.GEMINI: "google",
}
_MTOK = 1_000_000
_SMALLEST = Decimal("0.00000001")  # what the ledger's column holds


def build_cost(report: AttemptReport, row: Backend | None) -> Decimal | None:
    """Return what a call to the backend of `row` cost in US dollars, None if unpriced.

    The operator's price that was valid when the call began goes before the published
    one. A model of our own costs nothing by the call unless such a price says
    otherwise: it costs by the hour. Nor does a call that was never accepted, whatever
    its price. One query. Raises ValueError if the usage makes no sense.
    """
    if row is None:
        return None
    if report.usage is None and report.outcome is AttemptOutcome.FAILED:
        return Decimal(0)
    names = list(dict.fromkeys(filter(None, [report.model, row.model])))
    price = find_price(row, names, report.started_at)
    if price is None and not is_billed(row):
        return Decimal(0)
    if report.usage is None:
        return None
    if price is None:
        return _published_cost(report.usage, names, row, report.started_at)
    return _own_cost(report.usage, price)


def build_highest_cost(usage: Usage, row: Backend, at: datetime) -> Decimal | None:
    """Return the most that a call may cost which uses no more than this, None unpriced.

    Whatever of the prompt is read, or written to a cache, and whatever of the reply
    is thought. One query.
    """
    price = find_price(row, [row.model], at)
    if price is None and not is_billed(row):
        return Decimal(0)
    num_read, num_written = usage.prompt_tokens, usage.completion_tokens
    kinds = [
        replace(
            usage,
            cached_tokens=num_cached,
            cache_write_tokens=num_kept,
            reasoning_tokens=num_thought,
        )
        for num_cached, num_kept in ((0, 0), (num_read, 0), (0, num_read))
        for num_thought in (0, num_written)
    ]
    costs = [
        _published_cost(kind, [row.model], row, at)
        if price is None
        else _own_cost(kind, price)
        for kind in kinds
    ]
    known = [cost for cost in costs if cost is not None]
    return max(known) if len(known) == len(costs) else None


def is_billed(row: Backend) -> bool:
    """Return whether somebody sends a bill for calls: not for machines of our own."""
    return row.kind not in _UNBILLED_KINDS and not row.is_in_house


def find_price(row: Backend, names: Iterable[str], at: datetime) -> Price | None:
    """Return the operator's price of a model under one of its names, if any. One query.

    Of those valid at the time, a price of the backend goes before one for every
    backend, then one of the model, then the newest.
    """
    return (
        Price.objects.filter(
            Q(backend=row) | Q(backend=None),
            Q(valid_to=None) | Q(valid_to__gt=at),
            model__in=["", *names],
            valid_from__lte=at,
        )
        .order_by(F("backend_id").asc(nulls_last=True), "-model", "-valid_from")
        .first()
    )


def round_usd(usd: Decimal) -> Decimal:
    """Return a sum with the eight places of the ledger, halves to the even digit."""
    return usd.quantize(_SMALLEST, ROUND_HALF_EVEN)


def _own_cost(usage: Usage, price: Price) -> Decimal:
    """Return the cost by a row; what has no price of its own has the plain one."""
    input_usd, output_usd = price.input_usd_per_mtok, price.output_usd_per_mtok
    num_read = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    num_answered = usage.completion_tokens - usage.reasoning_tokens
    kinds = (
        (num_read, input_usd),
        (usage.cached_tokens, _either(price.cached_input_usd_per_mtok, input_usd)),
        (usage.cache_write_tokens, _either(price.cache_write_usd_per_mtok, input_usd)),
        (num_answered, output_usd),
        (usage.reasoning_tokens, _either(price.reasoning_usd_per_mtok, output_usd)),
    )
    if min(tokens for tokens, _ in kinds) < 0:
        raise ValueError(f"this usage makes no sense: {usage}")
    millionths = sum((tokens * usd for tokens, usd in kinds), Decimal(0))
    return round_usd(millionths / _MTOK)


def _either(own_usd: Decimal | None, plain_usd: Decimal) -> Decimal:
    return plain_usd if own_usd is None else own_usd


def _published_cost(
    usage: Usage, names: Sequence[str], row: Backend, at: datetime
) -> Decimal | None:
    """Return the cost by the provider's list, None if unlisted.

    The provider is that of the backend's address, or of its kind. Tried under each of
    the names; the first is the more exact. An entry without a price for what was used
    counts as unlisted: the list has some two hundred.
    """
    # loaded with the first billed call: 0.4 s and 20 MB that a local model never needs
    genai_prices = import_module("genai_prices")
    used = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.completion_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    provider = None if row.endpoint else _PROVIDERS.get(BackendKind(row.kind))
    for name in names:
        try:
            listed = genai_prices.calc_price(
                used,
                model_ref=name,
                provider_id=provider,
                provider_api_url=None if provider else row.endpoint,
                genai_request_timestamp=at,
            )
        except LookupError:
            continue
        rates = listed.model_price
        is_listed = (usage.prompt_tokens == 0 or rates.input_mtok is not None) and (
            usage.completion_tokens == 0 or rates.output_mtok is not None
        )
        return round_usd(Decimal(listed.total_price)) if is_listed else None
    return None
