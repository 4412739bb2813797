"""How an engine is set up: plain values that the host hands to its child process."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Sizes and limits of one engine. Raises ValueError on values out of range.

    `num_cells` is the number of tokens that all sequences together may keep in the
    KV cache; what the model or llama.cpp makes of it is read back after loading.
    `max_sequences` run at once, `max_waiting` more may queue. `num_threads` None
    takes every core. `template` names the chat template where the model file does
    not tell.
    """

    model_path: str
    num_cells: int = 8192
    max_sequences: int = 16
    max_retained: int = 16
    max_waiting: int = 64
    max_batch_tokens: int = 256
    num_threads: int | None = None
    num_gpu_layers: int = 0
    reuse_prefixes: bool = True
    template: str | None = None

    def __post_init__(self) -> None:
        if self.max_sequences < 1 or self.max_retained < 0 or self.max_waiting < 0:
            raise ValueError(f"an engine needs room for a sequence: {self}")
        if self.max_batch_tokens < self.max_sequences:
            raise ValueError("max_batch_tokens must be at least max_sequences")

    @property
    def num_slots(self) -> int:
        """Return how many sequences llama.cpp must be able to tell apart."""
        return self.max_sequences + self.max_retained
