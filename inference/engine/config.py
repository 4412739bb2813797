"""How an engine is set up: plain values that the host hands to its child process."""

from dataclasses import dataclass, field

from inference.types import SamplingParams

# What llama.cpp can tell apart, and how many threads ggml has room for.
MAX_SLOTS = 256
MAX_THREADS = 512

KV_TYPES = ("auto", "f16", "q8_0", "q4_0")
SWITCHES = ("auto", "on", "off")
ROPE_SCALINGS = ("model", "none", "linear", "yarn")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter on top of the model, and how much of it counts."""

    path: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Sizes and limits of one engine. Raises ValueError on values out of range.

    `num_cells` is the number of tokens that all sequences together may keep in the
    KV cache; what the model or llama.cpp makes of it is read back after loading.
    `max_sequences` run at once, `max_waiting` more may queue. What they began with and
    wrote is kept for prompts that begin alike: `max_retained` pieces that they share,
    and what nobody uses in `max_idle_cells` (None: few on a CPU, all on a GPU). The
    rest is parked in `max_parked_bytes` of memory. A step computes up to
    `max_batch_tokens`, but only `max_prefill_tokens` of prompts while somebody's reply
    is being written; None is as many as do not make it stutter. `num_threads` None
    chooses by the size of the model and the processors (`cpus.py`), `num_batch_threads`
    None takes as many for prompts. `template` names the chat template where the model
    file does not tell. `sampling` holds where a request says nothing, and `thinking`
    tells templates that know it whether the model reasons before it answers.

    Up to `max_drafted_tokens` of a step are guesses at what replies go on with
    (speculation.py); 0 switches that off.

    `kv_type_k` and `kv_type_v` are how keys and values are stored; "auto" is q8_0 on a
    CPU and f16 on a GPU. `main_gpu` puts the whole model on one of several GPUs.
    `mmap` None lets llama.cpp choose how the file is read; `mlock` keeps it in memory.
    `rope_factor` stretches the context that the model was trained for, by the method
    `rope_scaling`. Without `full_windows` the layers with a sliding window keep no more
    than the window: less memory, but prompts share a beginning only where somebody
    stopped (state_cache.py).

    A process that uses more than `memory_limit_bytes` of memory of its own is ended and
    starts again (memory.py says what counts); None is no limit.

    With `quotes` the model names quotable sentences by their marks (marks.py), which
    it must have been trained to; the other `quote_` values are those of the policy in
    quoter.py.
    """

    model_path: str
    num_cells: int = 8192
    max_sequences: int = 16
    max_retained: int = 4
    max_idle_cells: int | None = None
    max_parked_bytes: int = 256 * 2**20
    max_waiting: int = 64
    max_batch_tokens: int = 256
    max_prefill_tokens: int | None = None
    num_threads: int | None = None
    num_batch_threads: int | None = None
    num_gpu_layers: int = 0
    main_gpu: int | None = None
    mmap: bool | None = None
    mlock: bool = False
    kv_type_k: str = "auto"
    kv_type_v: str = "auto"
    flash_attention: str = "auto"
    full_windows: bool = True
    rope_scaling: str = "model"
    rope_factor: float = 1.0
    rope_base: float = 0.0
    adapters: tuple[Adapter, ...] = ()
    reuse_prefixes: bool = True
    max_drafted_tokens: int = 24
    template: str | None = None
    thinking: bool = False
    sampling: SamplingParams = field(default_factory=SamplingParams)
    memory_limit_bytes: int | None = None
    quotes: bool = False
    quote_lean: float = 0.0
    quote_doubt: float = 0.0
    quote_also_from: float = 2.0

    def __post_init__(self) -> None:
        if self.max_sequences < 1 or self.max_retained < 0 or self.max_waiting < 0:
            raise ValueError(f"an engine needs room for a sequence: {self}")
        if self.max_batch_tokens < self.max_sequences:
            raise ValueError("max_batch_tokens must be at least max_sequences")
        if min(self.max_idle_cells or 0, self.max_parked_bytes) < 0:
            raise ValueError("max_idle_cells, max_parked_bytes must not be negative")
        if self.max_drafted_tokens < 0:
            raise ValueError("max_drafted_tokens must not be negative")
        if self.max_prefill_tokens is not None and self.max_prefill_tokens < 1:
            raise ValueError("max_prefill_tokens must be positive")
        if self.num_slots > MAX_SLOTS:
            raise ValueError(
                f"max_sequences and max_retained are {self.num_slots} together; "
                f"llama.cpp tells {MAX_SLOTS} apart"
            )
        self._check_cache()
        if self.main_gpu is not None and not self.num_gpu_layers:
            raise ValueError("main_gpu needs num_gpu_layers, which is 0")
        if self.rope_factor != 1.0 and self.rope_scaling not in {"linear", "yarn"}:
            raise ValueError("rope_factor needs rope_scaling: linear or yarn")

    def _check_cache(self) -> None:
        for name in ("kv_type_k", "kv_type_v"):
            if getattr(self, name) not in KV_TYPES:
                raise ValueError(f"{name} must be one of {', '.join(KV_TYPES)}")
        is_plain = self.kv_type_v in {"auto", "f16"}
        if self.flash_attention == "off" and not is_plain:
            raise ValueError(
                f"kv_type_v {self.kv_type_v} needs flash attention, which is off; "
                "without it values are stored as f16"
            )

    @property
    def num_shared_slots(self) -> int:
        """Return the sequence ids of llama.cpp where memory is shared by pieces.

        A slot for each sequence, one for what it comes back with, and some for more.
        """
        return min(2 * self.max_sequences + self.max_retained, MAX_SLOTS)

    @property
    def num_slots(self) -> int:
        """Return how many sequences llama.cpp must be able to tell apart."""
        return self.max_sequences + self.max_retained


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """How the host treats its child; times are in seconds.

    A child that starts or loads is killed when it neither computed nor read anything
    for `start_s`: a large model on a slow disk takes minutes, and so do the imports on
    a machine that has no time for us. One that has loaded is killed when it is silent
    for `silence_s`, or computes one step for `step_s`. After a death the next child
    starts at once, then after pauses that double from `pause_s` to `max_pause_s`, and
    at once again when one lived for
    `healthy_s`. A model that cannot be loaded is tried again every `max_pause_s`.
    A child that was told to leave is killed after `close_s`. A request that may be
    what a child died of waits until it has the next one to itself, at most for
    `apart_s`.
    """

    start_s: float = 120.0
    silence_s: float = 10.0
    step_s: float = 60.0
    pause_s: float = 0.5
    max_pause_s: float = 30.0
    healthy_s: float = 30.0
    close_s: float = 0.5
    apart_s: float = 5.0
    module: str = "inference.engine.child"
