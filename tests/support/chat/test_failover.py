"""A provider behind an API fails in the middle of things, and the turn is answered."""

from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from inference.models import Backend, BackendKind, Price
from support.models import Attempt, AttemptOutcome, Turn
from tests.factories import contents, make_backend
from tests.inference.backends.openai_stand_in import (
    COUNTS,
    KEY,
    WHOLE,
    head,
    refusal,
    say,
)

pytestmark = pytest.mark.django_db(transaction=True)

CUT = [head(), say("Half an"), 0.2]


@pytest.fixture
def cloud(provider):
    """The provider as the first backend, a dollar for a thousand tokens."""
    row = Backend.objects.create(
        name="cloud",
        kind=BackendKind.OPENAI_COMPATIBLE,
        model="fine",
        endpoint=provider.url,
        key=KEY,
    )
    Price.objects.create(backend=row, input_usd_per_mtok=1000, output_usd_per_mtok=2000)
    return row


@pytest.fixture
def ask(conversation, connect, answer):
    """Return a coroutine function: ask in a widget, return the frames that follow."""

    async def _ask():
        async with connect(conversation) as client:
            ack = await client.ask("Is there a reply?")
            await answer(ack["turn"])
            return await client.receive_until("done")

    return _ask


def read_ledger() -> list[Attempt]:
    return list(Attempt.objects.order_by("number"))


def shown(frames: list[dict]) -> list[tuple]:
    """Return what happens on the screen: text, resets, the end."""
    values = {"delta": "text", "reset": "attempt", "done": "state"}
    return [
        (frame["type"], frame[values[frame["type"]]])
        for frame in frames
        if frame["type"] in values
    ]


async def test_a_provider_that_refuses_is_not_noticed(ask, provider, cloud):
    provider.answer = refusal(503, "overloaded")
    await sync_to_async(make_backend)("say Yes.", name="second", position=20)
    frames = await ask()
    assert shown(frames) == [("delta", "Yes."), ("done", "answered")]
    assert frames[-1]["message"]["content"] == "Yes."
    assert [asked.path for asked in provider.asked] == ["/v1/chat/completions"]


async def test_a_refusal_and_its_successor_are_in_the_ledger(ask, provider, cloud):
    provider.answer = refusal(503, "overloaded")
    await sync_to_async(make_backend)("say Yes.", name="second", position=20)
    await ask()
    first, second = await sync_to_async(read_ledger)()
    assert (first.number, first.backend, first.outcome) == (1, "cloud", "failed")
    assert (first.error, first.turn_attempt) == ("Overloaded", 1)
    assert "503" in first.error_detail
    assert (first.prompt_tokens, first.ttft_ms) == (None, None)
    assert first.cost_usd == 0  # refused, so not billed
    assert (second.number, second.backend, second.outcome) == (2, "second", "completed")
    assert (second.error, second.turn_attempt) == ("", 1)
    assert second.prompt_tokens > 0
    assert (second.completion_tokens, second.cost_usd) == (1, Decimal(0))


async def test_a_cut_answer_begins_again_in_the_open(
    ask, conversation, provider, cloud
):
    provider.answer = CUT
    await sync_to_async(make_backend)("say Whole.", name="second", position=20)
    frames = await ask()
    assert shown(frames) == [
        ("delta", "Half an"), ("reset", 2), ("delta", "Whole."), ("done", "answered"),
    ]  # fmt: skip
    stored = await sync_to_async(contents)(conversation)
    assert stored == [(1, "user", "Is there a reply?"), (2, "assistant", "Whole.")]


async def test_a_cut_answer_and_its_successor_are_in_the_ledger(ask, provider, cloud):
    provider.answer = CUT
    await sync_to_async(make_backend)("say Whole.", name="second", position=20)
    await ask()
    first, second = await sync_to_async(read_ledger)()
    assert (first.backend, first.outcome, first.error) == (
        "cloud", AttemptOutcome.FAILED, "Interrupted",
    )  # fmt: skip
    assert 0 <= first.ttft_ms <= first.duration_ms
    assert (first.completion_tokens, first.is_usage_estimated) == (2, True)
    assert first.cost_usd > 0
    assert (second.backend, second.outcome) == ("second", AttemptOutcome.COMPLETED)
    assert (second.completion_tokens, second.cost_usd) == (1, Decimal(0))


async def test_a_provider_that_steps_in_is_paid(ask, provider, cloud):
    provider.answer = WHOLE
    await sync_to_async(make_backend)("fail Unavailable", name="local", position=5)
    frames = await ask()
    assert frames[-1]["message"]["content"] == "Hello there"
    first, second = await sync_to_async(read_ledger)()
    assert (first.backend, first.error) == ("local", "Unavailable")
    assert (second.backend, second.model) == ("cloud", "fine-1b")
    assert second.prompt_tokens == COUNTS["prompt_tokens"]
    assert second.completion_tokens == COUNTS["completion_tokens"]
    assert second.cost_usd == Decimal("0.013")


async def test_staff_can_read_what_happened(ask, provider, cloud):
    provider.answer = CUT
    await sync_to_async(make_backend)("say Whole.", name="second", position=20)
    await ask()
    turn = await sync_to_async(Turn.objects.get)()
    assert turn.trace == [
        "Asked cloud first: it comes first in the order.",
        "cloud failed in the middle of its reply: the connection broke.",
        "Asked second.",
        "second answered.",
    ]
