"""What a model is, by its header: name, size, shape, kind."""

import re
from collections import Counter
from dataclasses import dataclass

from inference.errors import ModelError
from inference.model_files.header import Counted, GgufHeader, Value

# Read and judge texts, but do not write them token by token.
_SILENT = {
    "bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3",
    "modern-bert", "eurobert", "gemma-embedding", "llama-embed", "t5", "t5encoder",
    "clip", "wavtokenizer-dec", "dream", "llada", "llada-moe", "rnd1",
}  # fmt: skip

# Every how many layers one sees everything and the others a window, where the file
# does not say. From `load_swa_pattern` in llama.cpp's src/models, November 2026.
_WINDOW_PATTERNS = {
    "gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4, "exaone4": 4,
    "olmo2": 4, "llama4": 4, "afmoe": 4, "exaone-moe": 4, "plamo3": 8,
}  # fmt: skip

_SPLIT_NAME = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")

# What the file type's number means, as llama.cpp writes it into general.file_type.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1",
    10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M",
    16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S",
    22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M",
    28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0",
    37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model's description; `kv_heads` has one number for each layer.

    `quantization` is the file's own word, or the type that most of it is in.
    """

    architecture: str
    name: str
    num_parameters: int
    num_bytes: int
    quantization: str
    context_tokens: int
    num_layers: int
    width: int
    feed_width: int
    num_heads: int
    kv_heads: tuple[int, ...]
    key_width: int
    value_width: int
    num_vocabulary: int
    num_experts: int
    window_tokens: int
    window_layers: frozenset[int]
    has_template: bool
    num_splits: int


def build_card(header: GgufHeader) -> ModelCard:
    """Return what a model's header tells; raises ModelError if it tells too little."""
    keys = _Keys(header)
    num_layers, width = keys.number("block_count"), keys.number("embedding_length")
    if not num_layers or not width or num_layers > 10_000:
        raise ModelError(f"{header.path} does not tell the shape of its model")
    num_heads = max(keys.numbers("attention.head_count", num_layers))
    head_width = width // num_heads if num_heads else 0
    return ModelCard(
        architecture=keys.architecture,
        name=keys.text("general.name") or header.path.stem,
        num_parameters=sum(tensor.num_elements for tensor in header.tensors),
        num_bytes=count_weight_bytes(header),
        quantization=_name_quantization(header),
        context_tokens=keys.number("context_length"),
        num_layers=num_layers,
        width=width,
        feed_width=max(keys.numbers("feed_forward_length", num_layers)),
        num_heads=num_heads,
        kv_heads=_read_kv_heads(keys, num_layers, num_heads),
        key_width=keys.number("attention.key_length") or head_width,
        value_width=keys.number("attention.value_length") or head_width,
        num_vocabulary=_count_vocabulary(keys),
        num_experts=keys.number("expert_count"),
        window_tokens=keys.number("attention.sliding_window"),
        window_layers=_find_window_layers(keys, num_layers),
        has_template=bool(keys.text("tokenizer.chat_template")),
        num_splits=keys.split_count,
    )


def check_model(header: GgufHeader) -> ModelCard:
    """Return the card of a model that can answer; raises ModelError if it cannot."""
    kind = header.metadata.get("general.type", "model")
    if kind != "model":
        raise ModelError(f"{header.path} is an {kind}, not a model")
    card = build_card(header)
    if card.architecture in _SILENT:
        raise ModelError(
            f"{header.path} writes no text token by token: {card.architecture} is "
            "made for something else"
        )
    return card


def check_adapter(header: GgufHeader) -> None:
    """Raise ModelError unless this is a LoRA adapter."""
    metadata = header.metadata
    if metadata.get("general.type") != "adapter":
        raise ModelError(f"{header.path} is no LoRA adapter")
    if metadata.get("adapter.type") != "lora":
        raise ModelError(f"{header.path} is an adapter of another kind than LoRA")


def count_weight_bytes(header: GgufHeader) -> int:
    """Return the bytes of the tensors in this file, gaps between them included."""
    return max(0, header.file_bytes - header.data_start)


class _Keys:
    """The metadata by names without the architecture, wrong types taken as absent."""

    def __init__(self, header: GgufHeader) -> None:
        self.metadata = header.metadata
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise ModelError(f"{header.path} does not name its architecture")
        self.architecture = architecture

    @property
    def split_count(self) -> int:
        """Return of how many files this is one."""
        count = self.metadata.get("split.count")
        return count if isinstance(count, int) and count > 0 else 1

    def value(self, name: str) -> Value | None:
        """Return what stands under the architecture's name."""
        return self.metadata.get(f"{self.architecture}.{name}")

    def number(self, name: str) -> int:
        """Return a whole number, 0 where there is none."""
        value = self.value(name)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return value if is_number and isinstance(value, int) and value > 0 else 0

    def numbers(self, name: str, count: int) -> list[int]:
        """Return a number for each layer, the same one where the file has one."""
        value = self.value(name)
        if not isinstance(value, list):
            return [self.number(name)] * count
        found = [item if isinstance(item, int) and item > 0 else 0 for item in value]
        return (found + [0] * count)[:count]

    def text(self, name: str) -> str:
        """Return a text of the whole file."""
        value = self.metadata.get(name)
        return value if isinstance(value, str) else ""


def _read_kv_heads(keys: _Keys, num_layers: int, num_heads: int) -> tuple[int, ...]:
    """Return the heads that keep keys and values; none in layers that recur."""
    if keys.value("attention.head_count_kv") is None:
        heads = keys.numbers("attention.head_count", num_layers)
    else:
        heads = keys.numbers("attention.head_count_kv", num_layers)
    if interval := keys.number("full_attention_interval"):
        heads = [
            count if number % interval == interval - 1 else 0
            for number, count in enumerate(heads)
        ]
    return tuple(heads) if num_heads else (0,) * num_layers


def _find_window_layers(keys: _Keys, num_layers: int) -> frozenset[int]:
    """Return the layers that see a window; none where that is not known."""
    pattern = keys.value("attention.sliding_window_pattern")
    if not keys.number("attention.sliding_window"):
        return frozenset()
    if isinstance(pattern, list):
        return frozenset(n for n, flag in enumerate(pattern[:num_layers]) if flag)
    period = keys.number("attention.sliding_window_pattern")
    period = period or _WINDOW_PATTERNS.get(keys.architecture, 1)
    return frozenset(n for n in range(num_layers) if n % period < period - 1)


def _count_vocabulary(keys: _Keys) -> int:
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Counted):
        return tokens.num_items
    return len(tokens) if isinstance(tokens, list) else keys.number("vocab_size")


def _name_quantization(header: GgufHeader) -> str:
    number = header.metadata.get("general.file_type")
    if isinstance(number, int) and number in _FILE_TYPES:
        return _FILE_TYPES[number]
    sizes: Counter[str] = Counter()
    for tensor in header.tensors:
        sizes[tensor.type_name] += tensor.num_elements
    return sizes.most_common(1)[0][0] if sizes else "empty"


def split_names(name: str) -> list[str]:
    """Return the names of all files that a model was split into; itself if it is one.

    Raises ValueError where the name's numbers make no sense.
    """
    match = _SPLIT_NAME.match(name)
    if match is None:
        return [name]
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count or count > 999:
        raise ValueError(f"{name} is part {number} of {count}")
    return [f"{match['stem']}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1)]
