"""The metrics of this process for Prometheus; the one module that names them.

Names, units and buckets of the calls follow OpenTelemetry's GenAI conventions (state:
development, November 2026), in Prometheus' spelling; ours begin with `chat_`. Labels
hold what operators configure and our own enums, never anything of a visitor.
"""

import os
import socket
from functools import cache

from django.conf import settings
from prometheus_client import Counter, Histogram, values

from inference.models import Backend, BackendKind
from support.chat.ledger import call_closed, turn_spilled
from support.models import Attempt, AttemptOutcome

_DURATION_BUCKETS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96,
    81.92,
)  # fmt: skip
_TOKEN_BUCKETS = tuple(4**power for power in range(14))
_PER_TOKEN_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip
_CALL_LABELS = (
    "backend", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model",
)  # fmt: skip


@cache
def _host() -> str:
    return socket.gethostname().replace("_", "-")


def _process_name() -> str:
    """Return what tells this process from those that share the folder.

    A process id alone is not enough: each container has a process 1.
    """
    return f"{_host()}-{os.getpid()}"


if settings.PROMETHEUS_MULTIPROC_DIR:
    values.ValueClass = values.MultiProcessValue(_process_name)

OPERATION_DURATION = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "Duration of a call to a model",
    (*_CALL_LABELS, "error_type"),
    buckets=_DURATION_BUCKETS,
)
TIME_TO_FIRST_CHUNK = Histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "From the call to the first piece of text",
    _CALL_LABELS,
    buckets=_DURATION_BUCKETS,
)
TOKEN_USAGE = Histogram(
    "gen_ai_client_token_usage",
    "Tokens of a call, as they are billed",
    (*_CALL_LABELS, "gen_ai_token_type"),
    buckets=_TOKEN_BUCKETS,
)
TIME_PER_OUTPUT_TOKEN = Histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Mean time between two tokens of a reply, of models in this installation",
    _CALL_LABELS,
    buckets=_PER_TOKEN_BUCKETS,
)
QUEUE_TIME = Histogram(
    "chat_queue_time_seconds",
    "From the stored question to its first call",
    ("backend",),
    buckets=_DURATION_BUCKETS,
)
CALLS = Counter("chat_calls", "Calls to models that have ended", ("backend", "outcome"))
COST = Counter("chat_cost_usd", "Cost of the calls with a known price", ("backend",))
ESTIMATED_COST = Counter(
    "chat_estimated_cost_usd",
    "The part of the cost whose tokens the provider did not say",
    ("backend",),
)
HARDWARE_COST = Counter(
    "chat_hardware_cost_usd",
    "Cost of our own hardware by the time that calls kept it computing",
    ("backend",),
)
UNPRICED = Counter("chat_unpriced_calls", "Calls without a known price", ("backend",))
FALLBACKS = Counter(
    "chat_fallback_replies",
    "Replies by another backend than the first one asked",
    ("backend",),
)
SPILLED = Counter(
    "chat_spilled_replies",
    "Replies by another backend because this one would have been late",
    ("backend",),
)


def watch_calls() -> None:
    """Count every call that is closed in this process from now on."""
    call_closed.connect(observe, dispatch_uid="monitoring")
    turn_spilled.connect(observe_spill, dispatch_uid="monitoring")


def observe_spill(backend: str, **_: object) -> None:
    """Count a reply that went to another backend."""
    SPILLED.labels(backend).inc()


def observe(attempt: Attempt, **_: object) -> None:
    """Count a call that has ended. One query, two for a call after another one."""
    row = Backend.objects.filter(name=attempt.backend).defer("key").first()
    labels = describe(attempt, row)
    CALLS.labels(attempt.backend, attempt.outcome).inc()
    if attempt.number == 1:
        QUEUE_TIME.labels(attempt.backend).observe(attempt.queue_ms / 1000)
    if attempt.cost_usd is None:
        UNPRICED.labels(attempt.backend).inc()
    else:
        COST.labels(attempt.backend).inc(float(attempt.cost_usd))
        if attempt.is_usage_estimated:
            ESTIMATED_COST.labels(attempt.backend).inc(float(attempt.cost_usd))
    if attempt.hardware_usd is not None:
        HARDWARE_COST.labels(attempt.backend).inc(float(attempt.hardware_usd))
    if _is_fallback(attempt):
        FALLBACKS.labels(attempt.backend).inc()
    _observe_times(attempt, labels)
    for kind, tokens in (
        ("input", attempt.prompt_tokens),
        ("output", attempt.completion_tokens),
    ):
        if tokens is not None:
            TOKEN_USAGE.labels(**labels, gen_ai_token_type=kind).observe(tokens)


def describe(attempt: Attempt, row: Backend | None) -> dict[str, str]:
    """Return the labels of a call; `row` is None for a backend that was deleted."""
    provider, model = "unknown", "unknown"
    if row is not None:
        is_openai = "//api.openai.com/" in f"{row.endpoint}/"
        provider = "openai" if is_openai else row.kind
        # a path of this machine is nobody's business; its last part is the name
        model = row.model.rsplit("/", 1)[-1] or "bundled"
    names = (attempt.backend, "chat", provider, model)
    return dict(zip(_CALL_LABELS, names, strict=True))


def _observe_times(attempt: Attempt, labels: dict[str, str]) -> None:
    if attempt.duration_ms is None:
        return
    error = attempt.error or ""
    OPERATION_DURATION.labels(**labels, error_type=error).observe(
        attempt.duration_ms / 1000
    )
    if attempt.ttft_ms is None:
        return
    TIME_TO_FIRST_CHUNK.labels(**labels).observe(attempt.ttft_ms / 1000)
    num_gaps = (attempt.completion_tokens or 0) - 1
    is_ours = labels["gen_ai_provider_name"] == BackendKind.LLAMA_CPP
    if is_ours and num_gaps > 0 and attempt.outcome == AttemptOutcome.COMPLETED:
        writing_ms = attempt.duration_ms - attempt.ttft_ms
        TIME_PER_OUTPUT_TOKEN.labels(**labels).observe(writing_ms / num_gaps / 1000)


def _is_fallback(attempt: Attempt) -> bool:
    if attempt.number == 1 or attempt.outcome != AttemptOutcome.COMPLETED:
        return False
    earlier = Attempt.objects.filter(turn=attempt.turn_id, number__lt=attempt.number)
    return earlier.exclude(backend=attempt.backend).exists()
