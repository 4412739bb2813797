"""The engines' figures as Prometheus reads them, each with the engine that it is of."""

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)

from support.monitoring import engines

_LABELS = ("backend", "worker")

# what the figure is called, in inference.engine_stats and here, and what it says
_GAUGES = (
    ("num_running", "running", "Requests that are computed"),
    ("num_waiting", "waiting", "Requests that wait for a place"),
    ("num_cells", "kv_cells", "Tokens that the cache can hold"),
    ("num_used_cells", "kv_cells_used", "Tokens that the cache holds"),
    ("num_parked_tokens", "kv_parked_tokens", "Tokens kept outside the cache"),
    ("cache_bytes", "kv_bytes", "Memory for keys and values"),
    ("own_bytes", "own_memory_bytes", "Memory that only the engine's process has"),
    ("mean_step_s", "step_seconds", "Mean duration of the last decode calls"),
    ("tokens_per_s", "tokens_per_second", "Tokens written in the last second"),
    ("num_poisonous", "poisonous_requests", "Requests that are refused as deadly"),
)  # fmt: skip
_COUNTERS = (
    ("num_steps", "steps", "Decode calls"),
    ("num_prompt_tokens", "prompt_tokens", "Tokens of prompts"),
    ("num_cached_tokens", "cached_tokens", "Those that were not computed again"),
    ("num_written_tokens", "written_tokens", "Tokens of replies"),
    ("num_drafted_tokens", "drafted_tokens", "Tokens that were guessed"),
    ("num_accepted_tokens", "accepted_tokens", "Those that were right"),
    ("num_preemptions", "preemptions", "Replies that gave their place back"),
    ("busy_s", "busy_seconds", "Time in which it computed"),
    ("num_restarts", "restarts", "Starts of the process after the first"),
)


def build_metrics() -> Iterator[Metric]:
    """Yield the metrics of all engines that run. One query."""
    running = engines.read_engines()
    for kind, names in (
        (GaugeMetricFamily, _GAUGES),
        (CounterMetricFamily, _COUNTERS),
    ):
        for figure, name, meaning in names:
            family = kind(f"chat_engine_{name}", meaning, labels=_LABELS)
            for engine in running:
                labels = [engine.backend, engine.worker]
                family.add_metric(labels, getattr(engine.stats, figure))
            yield family
