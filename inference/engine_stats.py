"""How an engine is doing: plain figures that also those may read who load no model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The figures of an engine, about a second old; also its process' sign of life.

    `num_..._tokens`, `num_steps` and `num_preemptions` are totals since the process
    started; prompts and completions count when they end, written tokens at once.
    `num_restarts` and `num_poisonous` (requests that are refused because the
    engine died of them) since its host did.

    `step_s` is for how long the decode call in progress has run, 0 between calls;
    `last_step_s` and `mean_step_s` are of those that ended, the mean over the last
    fifty or so. A prompt's token takes `prompt_token_s` while no reply is written and
    `beside_token_s` while some are; 0 is not known yet. `tokens_per_s` are those
    written in the last second. `busy_s` is the time of all its steps.

    `own_bytes` is the process' own memory (engine/memory.py), 0 where that is not
    known. `cache_bytes` of it are keys and values; those of `num_parked_tokens`, which
    were moved out of the cells, come on top.
    """

    num_running: int = 0
    num_waiting: int = 0
    num_cells: int = 0
    num_used_cells: int = 0
    num_parked_tokens: int = 0
    num_steps: int = 0
    num_preemptions: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    num_written_tokens: int = 0
    num_drafted_tokens: int = 0
    num_accepted_tokens: int = 0
    num_restarts: int = 0
    num_poisonous: int = 0
    step_s: float = 0.0
    last_step_s: float = 0.0
    mean_step_s: float = 0.0
    prompt_token_s: float = 0.0
    beside_token_s: float = 0.0
    tokens_per_s: float = 0.0
    own_bytes: int = 0
    cache_bytes: int = 0
    busy_s: float = 0.0

    @property
    def cache_hit_rate(self) -> float | None:
        """Return which part of the prompts' tokens was not computed again."""
        return _share(self.num_cached_tokens, self.num_prompt_tokens)

    @property
    def acceptance(self) -> float | None:
        """Return which part of the guessed tokens was right."""
        return _share(self.num_accepted_tokens, self.num_drafted_tokens)

    @property
    def cell_bytes(self) -> float | None:
        """Return what a token takes in the cache."""
        return _share(self.cache_bytes, self.num_cells)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
