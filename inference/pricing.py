"""What a call cost: the operator's prices first, then those that providers publish.

A call without a known price is unpriced, which is not the same as free.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from importlib import import_module

from django.db.models import F, Q

from inference.models import Backend, BackendKind, Price
from inference.types import AttemptReport, Usage

# these run on the operator's own machines: no bill comes for a call
_UNBILLED_KINDS = {BackendKind.LLAMA_CPP, BackendKind.SCRIPTED}
_MTOK = 1_000_000
_SMALLEST = Decimal("0.00000001")  # what the ledger's column holds


def build_cost(report: AttemptReport, row: Backend | None) -> Decimal | None:
    """Return what a call to the backend of `row` cost in US dollars, None if unpriced.

    The operator's price that was valid when the call began goes before the published
    one. A local model costs nothing by the call unless such a price says otherwise;
    what its hardware costs is a matter of monitoring. A call whose usage is not known
    (it failed, or its end was never seen) is unpriced, as it may have been billed.
    One query. Raises ValueError if the usage makes no sense.
    """
    if row is None:
        return None
    names = list(dict.fromkeys(filter(None, [report.model, row.model])))
    price = find_price(row, names, report.started_at)
    if price is None and row.kind in _UNBILLED_KINDS:
        return Decimal(0)
    if report.usage is None:
        return None
    if price is None:
        return _published_cost(report.usage, names, row.endpoint, report.started_at)
    return _own_cost(report.usage, price)


def find_price(row: Backend, names: Iterable[str], at: datetime) -> Price | None:
    """Return the operator's price of a model under one of its names, if any. One query.

    A price of the backend goes before one for every backend, then one of the model,
    then the newest.
    """
    return (
        Price.objects.filter(
            Q(backend=row) | Q(backend=None),
            model__in=["", *names],
            valid_from__lte=at,
        )
        .order_by(F("backend_id").asc(nulls_last=True), "-model", "-valid_from")
        .first()
    )


def _own_cost(usage: Usage, price: Price) -> Decimal:
    num_read = usage.prompt_tokens - usage.cached_tokens
    if min(num_read, usage.cached_tokens, usage.completion_tokens) < 0:
        raise ValueError(f"this usage makes no sense: {usage}")
    cached_usd = price.cached_input_usd_per_mtok
    if cached_usd is None:
        cached_usd = price.input_usd_per_mtok
    cost_usd = (
        num_read * price.input_usd_per_mtok
        + usage.cached_tokens * cached_usd
        + usage.completion_tokens * price.output_usd_per_mtok
    ) / _MTOK
    return cost_usd.quantize(_SMALLEST)


def _published_cost(
    usage: Usage, names: Iterable[str], endpoint: str, at: datetime
) -> Decimal | None:
    """Return the cost by the list of the provider at `endpoint`, None if unlisted.

    Tried under each of the names; the first is the more exact. An entry without a
    price for what was used counts as unlisted: the list has some two hundred.
    """
    # loaded with the first billed call: 0.4 s and 20 MB that a local model never needs
    genai_prices = import_module("genai_prices")
    used = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
    )
    for name in names:
        try:
            listed = genai_prices.calc_price(
                used,
                model_ref=name,
                provider_api_url=endpoint,
                genai_request_timestamp=at,
            )
        except LookupError:
            continue
        rates = listed.model_price
        is_listed = (usage.prompt_tokens == 0 or rates.input_mtok is not None) and (
            usage.completion_tokens == 0 or rates.output_mtok is not None
        )
        return Decimal(listed.total_price).quantize(_SMALLEST) if is_listed else None
    return None
