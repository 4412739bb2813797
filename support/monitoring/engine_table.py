"""The engines' table of the monitoring page: how they are doing now."""

from collections.abc import Sequence

from support.monitoring import formats
from support.monitoring.engines import Engine
from support.monitoring.panels import Table

_COLUMNS = (
    "Engine", "running", "waiting", "used", "of", "cached", "last", "mean",
    "per second", "guesses right", "preempted", "restarts", "refused", "cache",
    "in all",
)  # fmt: skip
_GROUPS = (
    ("", 1), ("Requests", 2), ("Cells", 2), ("Prompts", 1), ("Step, ms", 2),
    ("Tokens", 2), ("Incidents", 3), ("Memory", 2),
)  # fmt: skip


def build_engine_table(engines: Sequence[Engine]) -> Table:
    """Return a row for each engine."""
    return Table(_COLUMNS, [_build_row(engine) for engine in engines], _GROUPS)


def _build_row(engine: Engine) -> list[str]:
    stats = engine.stats
    counts = (stats.num_running, stats.num_waiting, stats.num_used_cells)
    incidents = (stats.num_preemptions, stats.num_restarts, stats.num_poisonous)
    return [
        f"{engine.backend} in {engine.worker}",
        *map(formats.count, counts),
        formats.count(stats.num_cells),
        formats.share(stats.num_cached_tokens, stats.num_prompt_tokens),
        *(formats.decimal(s * 1000) for s in (stats.last_step_s, stats.mean_step_s)),
        formats.rate(stats.tokens_per_s),
        formats.share(stats.num_accepted_tokens, stats.num_drafted_tokens),
        *map(formats.count, incidents),
        _describe_cache(engine),
        formats.size(stats.own_bytes or None),
    ]


def _describe_cache(engine: Engine) -> str:
    """Return the bytes of keys and values, and of one token's."""
    stats = engine.stats
    if stats.cell_bytes is None or not stats.cache_bytes:
        return formats.NONE
    return (
        f"{formats.size(stats.cache_bytes)}, {formats.size(stats.cell_bytes)} a token"
    )
