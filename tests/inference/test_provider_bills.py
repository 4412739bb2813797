"""A run of faults: what the provider's own ledger says that it bills is in ours.

The stand-in counts what it reads, keeps in caches, thinks and writes, also in calls
that break. Where it told all that it bills, ours is equal to the last digit; where it
did not, ours is marked as estimated.
"""

import time
from contextlib import closing
from decimal import Decimal

import pytest

from inference import registry
from inference.models import Backend, BackendKind, Price
from inference.routing.attempt import Attempt
from inference.routing.call import CallThreads
from inference.types import (
    AttemptReport,
    CancelToken,
    ChatMessage,
    CompletionRequest,
    Deadlines,
)
from tests.inference.providers.ledger import Call
from tests.inference.providers.provider import KEY, Provider

pytestmark = pytest.mark.django_db

KINDS = {
    "openai": BackendKind.OPENAI,
    "anthropic": BackendKind.ANTHROPIC,
    "gemini": BackendKind.GEMINI,
}
MODELS = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-sonnet-5-5",
    "gemini": "gemini-3.8-flash",
}
# twice whole, for the caches; what takes seconds or 50 MB is in the contract suite
FAULTS = [
    "none", "none", "400", "401", "403", "404", "429:0", "500", "529:0", "quota",
    "too-long", "hang-before-first-token", "reset", "cut",
    "half-line", "error-event", "overload-event", "refusal", "empty", "wrong-type",
    "redirect", "hang-mid-stream", "reset-mid-stream", "cut-mid-stream",
    "half-line-mid-stream", "error-event-mid-stream", "overload-event-mid-stream",
    "refusal-mid-stream", "none",
]  # fmt: skip
LONG = "The rules of the house, which are read each time. " * 150
REQUEST = CompletionRequest(
    (ChatMessage("system", LONG), ChatMessage("user", "May I return my boots?")),
    max_tokens=60,
)
INPUT, CACHED, WRITTEN = Decimal("2.123457"), Decimal("0.212346"), Decimal("2.654321")
OUTPUT, THOUGHT = Decimal("9.87654"), Decimal("11.111111")


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.close()


def make_row(provider: Provider, dialect: str) -> Backend:
    options = {} if dialect == "openai" else {"thinking_tokens": 1024}
    row = Backend.objects.create(
        name=dialect,
        kind=KINDS[dialect],
        model=MODELS[dialect],
        endpoint=provider.url(dialect),
        key=KEY,
        options=options,
    )
    Price.objects.create(
        backend=row,
        input_usd_per_mtok=INPUT,
        cached_input_usd_per_mtok=CACHED,
        cache_write_usd_per_mtok=WRITTEN,
        output_usd_per_mtok=OUTPUT,
        reasoning_usd_per_mtok=THOUGHT,
        valid_from="2026-01-01T00:00Z",
    )
    return row


def ask(backend, fault: str) -> AttemptReport:
    """Make one call and bill it; waits shortly for what will not come, else long."""
    deadlines = Deadlines(
        connect_s=20,
        first_token_s=1.0 if fault.startswith("hang-before") else 20,
        gap_s=0.2 if fault.startswith("hang") else 20,
    )
    clock = time.monotonic
    attempt = Attempt(1, backend, deadlines, clock(), clock)
    list(attempt.run(REQUEST, CancelToken(), CallThreads(clock).open))
    return registry.bill(attempt.build_report())


def work_out(call: Call) -> Decimal:
    """Return what the provider bills, by its own counts."""
    read = call.prompt_tokens - call.cached_tokens - call.cache_write_tokens
    written = call.completion_tokens - call.reasoning_tokens
    millionths = (
        read * INPUT
        + call.cached_tokens * CACHED
        + call.cache_write_tokens * WRITTEN
        + written * OUTPUT
        + call.reasoning_tokens * THOUGHT
    )
    return (millionths / 1_000_000).quantize(Decimal("0.00000001"))


def find_difference(call: Call, report: AttemptReport) -> str:
    """Return what is wrong about our cost of a call, empty if nothing is."""
    is_estimate = report.usage is not None and report.usage.is_estimated
    if call.is_billed and call.is_told_exactly:
        is_right = report.cost_usd == work_out(call)
    elif call.is_billed:
        is_right = is_estimate
    else:
        is_right = is_estimate or report.cost_usd == 0
    said = f"{call.fault or 'none'}: {call} is {work_out(call)}, ours {report}"
    return "" if is_right else said


@pytest.mark.parametrize("dialect", KINDS)
def test_our_ledger_is_the_providers(provider, dialect):
    provider.reasoning_tokens = 17
    provider.queue(FAULTS, dialect)
    with closing(registry.build_backend(make_row(provider, dialect))) as backend:
        reports = [ask(backend, fault) for fault in FAULTS]
    calls = provider.ledger.wait_until_over(len(FAULTS))
    differences = map(find_difference, calls, reports)
    assert list(filter(None, differences)) == []
    # the run had all that is worth counting, and the whole answers were exact
    exact = [call for call in calls if call.is_billed and call.is_told_exactly]
    assert sum(call.cached_tokens for call in exact) > 0
    assert sum(call.reasoning_tokens for call in exact) > 0
    wholes = [reports[number] for number in (0, 1, -1)]
    assert [report.usage.is_estimated for report in wholes] == [False] * 3
    assert [report.cost_usd for report in wholes] == [
        work_out(calls[number]) for number in (0, 1, -1)
    ]
