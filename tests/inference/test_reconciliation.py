"""Costs worked out by hand, from what providers send to the last digit of the ledger.

The real SDKs ask a stand-in on a socket. All three backends have one price, in US
dollars a million tokens:

    input 2.123457   cached 0.212346   written 2.654321   output 9.87654
    thoughts 11.111111

and the request, where nobody counts it, is 13 + 2 bytes in two messages: 4 + 1 + 2 * 4
= 13 tokens. "Hello there" is 11 bytes, 3 tokens.
"""

import time
from decimal import Decimal

import pytest
from django.utils import timezone

from inference import registry
from inference.models import Backend, BackendKind, Price
from inference.routing.attempt import Attempt
from inference.routing.call import CallThreads
from inference.types import AttemptReport, CancelToken, Deadlines, Usage
from tests.inference.backends import anthropic_events as claude
from tests.inference.backends import gemini_events as gemini
from tests.inference.backends import openai_stand_in as gpt
from tests.inference.backends.openai_stand_in import HANG, REQUEST, RESET

pytestmark = pytest.mark.django_db

GPT_USAGE = gpt.usage(
    prompt_tokens=1234,
    completion_tokens=567,
    prompt_tokens_details={"cached_tokens": 1000},
    completion_tokens_details={"reasoning_tokens": 400},
)
CLAUDE_START = claude.start(
    input_tokens=21, cache_read_input_tokens=300, cache_creation_input_tokens=500
)
CLAUDE_END = claude.end(output_tokens=77, output_tokens_details={"thinking_tokens": 33})
GEMINI_FIRST = gemini.part(
    "Hello there", promptTokenCount=800, cachedContentTokenCount=512,
    candidatesTokenCount=4, thoughtsTokenCount=20,
)  # fmt: skip
GEMINI_LAST = gemini.part(
    "!", finish="STOP", promptTokenCount=800, cachedContentTokenCount=512,
    candidatesTokenCount=50, thoughtsTokenCount=120,
)  # fmt: skip
SAID = [gpt.say("Hello"), gpt.say(" there")]
CLAUDE_SAID = [claude.BLOCK, claude.say("Hello"), claude.say(" there")]

# 234 * 2.123457 + 1000 * 0.212346 + 167 * 9.87654 + 400 * 11.111111 = 6803.061518
GPT = (BackendKind.OPENAI_COMPATIBLE, "fine", "/v1")
GPT_WHOLE = (
    *GPT,
    [gpt.head(), *SAID, gpt.end(), GPT_USAGE, gpt.DONE],
    Usage(1234, 567, cached_tokens=1000, reasoning_tokens=400),
    "0.00680306",
)
# nobody counted: 13 * 2.123457 + 3 * 9.87654 = 57.234561
GPT_ESTIMATE = (Usage(13, 3, is_estimated=True), "0.00005723")
# 21 * 2.123457 + 300 * 0.212346 + 500 * 2.654321 + 44 * 9.87654 + 33 * 11.111111
# = 2236.691323
CLAUDE = (BackendKind.ANTHROPIC, claude.MODEL, "")
CLAUDE_WHOLE = (
    *CLAUDE,
    [
        gpt.head(), CLAUDE_START, *CLAUDE_SAID, claude.BLOCK_END, CLAUDE_END,
        claude.STOP,
    ],
    Usage(821, 77, 300, reasoning_tokens=33, cache_write_tokens=500),
    "0.00223669",
)  # fmt: skip
# counted before the text, with one token of it: 1435.456897 + 4 * 9.87654 = 1474.963057
CLAUDE_ESTIMATE = (
    Usage(821, 4, 300, cache_write_tokens=500, is_estimated=True),
    "0.00147496",
)
# 288 * 2.123457 + 512 * 0.212346 + 50 * 9.87654 + 120 * 11.111111 = 2547.437088
GEMINI = (BackendKind.GEMINI, gemini.MODEL, "")
GEMINI_WHOLE = (
    *GEMINI,
    [gpt.head(), GEMINI_FIRST, GEMINI_LAST],
    Usage(800, 170, cached_tokens=512, reasoning_tokens=120),
    "0.00254744",
)
# counted until the cut: 720.276768 + 4 * 9.87654 + 20 * 11.111111 = 982.005148
GEMINI_ESTIMATE = (
    Usage(800, 24, cached_tokens=512, reasoning_tokens=20, is_estimated=True),
    "0.00098201",
)
CUTS = [
    (*GPT, [gpt.head(), *SAID], *GPT_ESTIMATE),
    (*GPT, [gpt.head(), *SAID, RESET], *GPT_ESTIMATE),
    (*GPT, [gpt.head(), *SAID, HANG], *GPT_ESTIMATE),
    # the text is whole, only what it cost was lost
    (*GPT, [gpt.head(), *SAID, gpt.end(), RESET], *GPT_ESTIMATE),
    (*CLAUDE, [gpt.head(), CLAUDE_START, *CLAUDE_SAID], *CLAUDE_ESTIMATE),
    (*CLAUDE, [gpt.head(), CLAUDE_START, *CLAUDE_SAID, HANG], *CLAUDE_ESTIMATE),
    (
        *CLAUDE,
        [
            gpt.head(), CLAUDE_START, *CLAUDE_SAID, claude.fault("overloaded_error"),
        ],
        *CLAUDE_ESTIMATE,
    ),
    (*GEMINI, [gpt.head(), GEMINI_FIRST], *GEMINI_ESTIMATE),
    (*GEMINI, [gpt.head(), GEMINI_FIRST, HANG], *GEMINI_ESTIMATE),
]  # fmt: skip
REFUSALS = [
    (*GPT, gpt.refusal(429)),
    (*GPT, gpt.refusal(500)),
    (*GPT, gpt.refusal(401)),
    (*CLAUDE, claude.refusal(529, "overloaded_error")),
    (*CLAUDE, claude.refusal(400, "invalid_request_error")),
    (*GEMINI, gemini.refusal(503, "UNAVAILABLE")),
    (*GEMINI, gemini.refusal(403, "PERMISSION_DENIED")),
]


def ask(provider, kind, model, path, answer) -> AttemptReport:
    """Make one call and bill it."""
    provider.answer = answer
    url = provider.url.removesuffix("/v1") + path
    row = Backend.objects.create(
        name="cloud", kind=kind, model=model, endpoint=url, key="sk-test"
    )
    Price.objects.create(
        backend=row,
        input_usd_per_mtok=Decimal("2.123457"),
        cached_input_usd_per_mtok=Decimal("0.212346"),
        cache_write_usd_per_mtok=Decimal("2.654321"),
        output_usd_per_mtok=Decimal("9.87654"),
        reasoning_usd_per_mtok=Decimal("11.111111"),
        valid_from=timezone.now(),
    )
    backend = registry.build_backend(row)
    deadlines = Deadlines(connect_s=5, first_token_s=5, gap_s=0.3)
    clock = time.monotonic
    attempt = Attempt(1, backend, deadlines, clock(), clock)
    calls = CallThreads(clock)
    try:
        list(attempt.run(REQUEST, CancelToken(), calls.open))
    finally:
        backend.close()
    return registry.bill(attempt.build_report())


@pytest.mark.parametrize(
    ("kind", "model", "path", "answer", "usage", "usd"),
    [GPT_WHOLE, CLAUDE_WHOLE, GEMINI_WHOLE],
    ids=["openai", "anthropic", "gemini"],
)
def test_a_whole_answer_costs_what_its_provider_counted(
    provider, kind, model, path, answer, usage, usd
):
    report = ask(provider, kind, model, path, answer)
    assert report.usage == usage
    assert report.cost_usd == Decimal(usd)


@pytest.mark.parametrize(("kind", "model", "path", "answer", "usage", "usd"), CUTS)
def test_a_broken_answer_costs_what_was_counted_and_the_rest_by_estimate(
    provider, kind, model, path, answer, usage, usd
):
    report = ask(provider, kind, model, path, answer)
    assert report.usage == usage
    assert report.cost_usd == Decimal(usd)


@pytest.mark.parametrize(("kind", "model", "path", "answer"), REFUSALS)
def test_a_refusal_costs_nothing(provider, kind, model, path, answer):
    report = ask(provider, kind, model, path, answer)
    assert report.outcome == "failed"
    assert (report.usage, report.cost_usd) == (None, Decimal(0))


@pytest.mark.parametrize(
    "kind", [BackendKind.OPENAI, BackendKind.ANTHROPIC, BackendKind.GEMINI]
)
def test_what_may_be_thought_is_part_of_what_may_be_written(kind):
    options = {"thinking_tokens": 2000}
    if kind == BackendKind.OPENAI:
        options["reasons"] = True
    row = Backend(name="cloud", kind=kind, model="m", key="sk-test", options=options)
    backend = registry.build_backend(row)
    assert backend.bound_reply(REQUEST) == REQUEST.max_tokens + 2000
    backend.close()
