"""Every fault of a provider, from the question to the ledger: who answers in the end.

The table of the backends (tests/inference/backends/test_contract_faults.py) says which
error each fault is. This one says what becomes of the turn: the next backend answers,
nobody reads half a reply from each of two models, both calls are in the ledger, and
what the provider billed is what the ledger says.
"""

from decimal import Decimal

import pytest

from inference.models import Backend, BackendKind, Price
from support.chat import answering
from support.models import Attempt, AttemptOutcome, Turn, TurnState
from tests.factories import make_backend, make_turn
from tests.inference.backends.test_contract_faults import ENDS, EXPECTED, HANGS
from tests.inference.providers import KEY, LINE_FAULTS, Fault
from tests.inference.providers.kinds import KINDS

pytestmark = pytest.mark.django_db(transaction=True)

# 50 MB each; what they are is in the table of the backends
FLOODS = {Fault.FLOOD, Fault.FLOOD_MID_STREAM, Fault.GZIP_BOMB}
FAULTS = [fault for fault in EXPECTED if fault not in FLOODS]


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    return request.param


def ask(kind, stand_in, fault):
    """Ask a question with a provider that fails so, and another backend behind it."""
    if fault not in LINE_FAULTS:
        stand_in.stand("slow:0.01" if fault is Fault.SLOW else fault.value)
    row = Backend.objects.create(
        name="cloud",
        kind=BackendKind(kind.name),
        model=kind.model,
        endpoint=stand_in.url(kind.dialect, fault),
        key=KEY,
        position=1,
        first_token_s=0.3 if fault in HANGS else 20,
        gap_s=0.3 if fault in HANGS else 20,
    )
    Price.objects.create(
        backend=row,
        input_usd_per_mtok=Decimal("2.123457"),
        cached_input_usd_per_mtok=Decimal("0.212346"),
        cache_write_usd_per_mtok=Decimal("2.654321"),
        output_usd_per_mtok=Decimal("9.87654"),
        reasoning_usd_per_mtok=Decimal("11.111111"),
    )
    make_backend("say Hello there", name="spare", position=2)
    turn = make_turn()
    answering.produce(turn.id)
    return Turn.objects.get(pk=turn.pk), list(Attempt.objects.order_by("number"))


def cost_of(call):
    """Return what the provider bills for a call, by its own count."""
    fresh = call.prompt_tokens - call.cached_tokens - call.cache_write_tokens
    written = call.completion_tokens - call.reasoning_tokens
    sums = (
        fresh * Decimal("2.123457"),
        call.cached_tokens * Decimal("0.212346"),
        call.cache_write_tokens * Decimal("2.654321"),
        written * Decimal("9.87654"),
        call.reasoning_tokens * Decimal("11.111111"),
    )
    return (sum(sums) / 1_000_000).quantize(Decimal("0.00000001"))


def check_bill(attempt, fault, stand_in):
    """Compare what a call cost with what the provider wrote down of it."""
    if fault in LINE_FAULTS:
        assert stand_in.ledger.calls == []
        assert attempt.cost_usd == 0
        return
    [call] = stand_in.ledger.wait_until_over(1)
    if not call.is_billed:  # we cannot know that of a call which may have been read
        assert attempt.cost_usd == 0 or attempt.is_usage_estimated
    elif call.is_told_exactly:
        assert attempt.cost_usd == cost_of(call)
    else:
        assert attempt.is_usage_estimated
        assert attempt.cost_usd > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_backend_answers_and_the_ledger_has_both_calls(kind, stand_in, fault):
    turn, calls = ask(kind, stand_in, fault)
    assert (turn.state, turn.reply.content) == (TurnState.ANSWERED, "Hello there")
    assert [(call.backend, call.outcome) for call in calls] == [
        ("cloud", AttemptOutcome.FAILED),
        ("spare", AttemptOutcome.COMPLETED),
    ]
    first = calls[0]
    assert (first.error, first.left_house) == (EXPECTED[fault].error.__name__, True)
    was_shown = bool(EXPECTED[fault].text)
    assert (turn.attempt, first.ttft_ms is not None) == (1 + was_shown, was_shown)
    assert KEY not in first.error_detail + "".join(turn.trace)
    check_bill(first, fault, stand_in)


@pytest.mark.parametrize("fault", ENDS)
def test_an_answer_is_not_asked_for_again(kind, stand_in, fault):
    turn, calls = ask(kind, stand_in, fault)
    assert turn.state == TurnState.ANSWERED
    assert [(call.backend, call.finish_reason) for call in calls] == [
        ("cloud", ENDS[fault].value)
    ]
    check_bill(calls[0], fault, stand_in)
