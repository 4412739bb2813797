"""What a model will need in memory, by its header alone, before it is loaded.

The formulas are those of llama.cpp's allocations in the engine's set-up: one unified
cache, a micro-batch as large as a batch, logits for one token of each sequence.
docs/measurements.md compares them with what was really used.
"""

from dataclasses import dataclass, replace

from inference.model_files.card import ModelCard, check_model
from inference.model_files.header import GgufHeader

# Bytes of one number in the cache.
KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}

# Python, numpy and the libraries of llama.cpp.
PROCESS_BYTES = 64 * 2**20

# What must stay free besides, as a share of the need.
HEADROOM = 0.05

_CELLS_STEP = 256


@dataclass(frozen=True, slots=True)
class Load:
    """How a model will be used: `num_cells` 0 is the context it was trained for."""

    num_cells: int = 8192
    num_sequences: int = 20
    num_outputs: int = 60
    batch_tokens: int = 256
    kv_type_k: str = "q8_0"
    kv_type_v: str = "q8_0"
    has_flash_attention: bool = True
    has_full_windows: bool = True
    num_gpu_layers: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes by what they are for; `num_cells` as llama.cpp rounds them."""

    num_cells: int
    weight_bytes: int
    cache_bytes: int
    state_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        """Return all of it, with the process around it."""
        parts = self.weight_bytes + self.cache_bytes + self.state_bytes
        return parts + self.compute_bytes + PROCESS_BYTES

    @property
    def wanted_bytes(self) -> int:
        """Return what should be free before the model is loaded."""
        return int(self.total_bytes * (1 + HEADROOM))


def estimate(
    header: GgufHeader, card: ModelCard, load: Load, more_bytes: int = 0
) -> Need:
    """Return what a model needs; `more_bytes` are other parts of it, and adapters."""
    num_cells = _round_up(load.num_cells or card.context_tokens or 512)
    return Need(
        num_cells=num_cells,
        weight_bytes=card.num_bytes + more_bytes,
        cache_bytes=_count_cache(card, load, num_cells),
        state_bytes=_count_states(header, card) * load.num_sequences,
        compute_bytes=_count_compute(header, card, load, num_cells),
    )


def _count_cache(card: ModelCard, load: Load, num_cells: int) -> int:
    """Return the bytes of keys and values; a window's layers may keep fewer cells."""
    window_cells = num_cells
    if card.window_layers and not load.has_full_windows:
        kept = card.window_tokens * load.num_sequences + load.batch_tokens
        window_cells = _round_up(min(num_cells, kept))
    total = 0.0
    for number, heads in enumerate(card.kv_heads):
        cells = window_cells if number in card.window_layers else num_cells
        keys = card.key_width * KV_BYTES[load.kv_type_k]
        values = card.value_width * KV_BYTES[load.kv_type_v]
        total += cells * heads * (keys + values)
    return int(total)


def _count_states(header: GgufHeader, card: ModelCard) -> int:
    """Return the bytes of one sequence's recurrent states, in 32-bit floats."""

    def number(name: str) -> int:
        return _read_number(header, card, name)

    inner, state = number("ssm.inner_size"), number("ssm.state_size")
    convolved = inner + 2 * number("ssm.group_count") * state
    size = max(0, number("ssm.conv_kernel") - 1) * convolved + inner * state
    size += max(0, number("shortconv.l_cache") - 1) * card.width
    if head := number("wkv.head_size"):
        size = card.width * (2 + head)
    has_both = card.architecture == "falcon-h1"
    layers = [heads for heads in card.kv_heads if has_both or not heads]
    return 4 * size * len(layers)


def _count_compute(
    header: GgufHeader, card: ModelCard, load: Load, num_cells: int
) -> int:
    """Return the bytes of intermediate results and logits, rather too many.

    With flash attention a mask of 16 bits for each cell and token; without it the
    mask has 32 bits and there is a score for each head besides.
    """
    tokens = load.batch_tokens
    has_attention = any(card.kv_heads)
    per_cell = 2 if load.has_flash_attention else 4 + 4 * card.num_heads
    attention = num_cells * tokens * per_cell if has_attention else 0
    if load.has_flash_attention and card.window_layers:
        attention *= 2
    inner = _read_number(header, card, "ssm.inner_size")
    layer = tokens * 4 * (2 * card.feed_width + 6 * card.width + 4 * inner)
    logits = 2 * 4 * load.num_outputs * card.num_vocabulary
    return attention + layer + logits


def _read_number(header: GgufHeader, card: ModelCard, name: str) -> int:
    value = header.metadata.get(f"{card.architecture}.{name}")
    return value if isinstance(value, int) and value > 0 else 0


def _round_up(num_cells: int) -> int:
    return -(-num_cells // _CELLS_STEP) * _CELLS_STEP


def find_fitting_cells(
    header: GgufHeader, card: ModelCard, load: Load, free_bytes: int
) -> int | None:
    """Return the largest cache that fits, at most the wanted one; None if none does."""
    wanted = estimate(header, card, load).num_cells
    low, high = 0, wanted // _CELLS_STEP
    while low < high:
        middle = (low + high + 1) // 2
        tried = replace(load, num_cells=middle * _CELLS_STEP)
        if estimate(header, card, tried).wanted_bytes <= free_bytes:
            low = middle
        else:
            high = middle - 1
    return low * _CELLS_STEP or None


def describe(
    header: GgufHeader, load: Load, free_bytes: int | None, more_bytes: int = 0
) -> tuple[bool, str]:
    """Return whether a model fits this machine, and a sentence that says why."""
    card = check_model(header)
    need = estimate(header, card, load, more_bytes)
    text = _describe_need(header.path.name, card, load, need)
    if load.num_gpu_layers:
        text += " Layers on a GPU need less here; the GPU's own memory is not seen."
    if free_bytes is None:
        return True, f"{text} How much is free on this machine is not known."
    if need.wanted_bytes <= free_bytes:
        return True, f"{text} It fits: {format_bytes(free_bytes)} are free."
    missing = format_bytes(need.wanted_bytes - free_bytes)
    text += (
        f" It does not fit: {format_bytes(free_bytes)} are free, {missing} too few "
        f"with {HEADROOM:.0%} to spare."
    )
    cells = find_fitting_cells(header, card, load, free_bytes - more_bytes)
    if cells:
        return False, f"{text} {cells:,} cells would fit."
    return False, f"{text} A smaller model or quantization would."


def _describe_need(name: str, card: ModelCard, load: Load, need: Need) -> str:
    types = load.kv_type_k
    if load.kv_type_v != load.kv_type_k:
        types = f"{load.kv_type_k} and {load.kv_type_v}"
    parts = [f"weights {format_bytes(need.weight_bytes)}"]
    if need.cache_bytes:
        parts.append(
            f"cache {format_bytes(need.cache_bytes)} ({need.num_cells:,} cells in "
            f"{types})"
        )
    if need.state_bytes:
        parts.append(
            f"states {format_bytes(need.state_bytes)} ({load.num_sequences} sequences)"
        )
    parts.append(f"computing {format_bytes(need.compute_bytes)}")
    parts.append(f"process {format_bytes(PROCESS_BYTES)}")
    total = format_bytes(need.total_bytes)
    return f"The model {name} needs about {total} of memory: {', '.join(parts)}."


def format_bytes(count: int) -> str:
    """Return a size for people, in decimal units as disks and networks have."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if abs(size) < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
