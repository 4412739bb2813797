"""Models to measure with, made on the spot: the size of real ones, nothing downloaded.

What a model computes does not change how long it takes, so the weights are random,
but for one thing: the models write words in a fixed order, the chain of `words.py`.
Random ones would end at random, write half characters, and write texts that are read
back as other tokens, so that no two servers would have the same work to do.

How the chain comes out of a transformer: the embedding of a word is a name (random)
and the name of the next word. The last feed-forward block swaps the two, and the
tied output matrix finds the word that goes by the name. Everything else is noise
of which only the first word of an answer depends.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.bench.gguf_file import Tensor, Value, write_gguf
from inference.bench.words import build_chain, load_vocabulary

# Part of the files' names: another recipe makes other files.
RECIPE = 1

FOLDER = Path("var/bench")

_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n'"
    " + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5

# Coordinates of the residual stream: always one; one for words; then the two names.
_ONE, _IS_WORD, _NAME = 0, 1, 2

# How far one block moves the stream, where words are 2 away from nothing.
_ATTENTION_NOISE = 0.3
_FEED_NOISE = 0.003
# Equal biases of queries and keys make attention look at what came last, so that
# the first word of an answer depends on the question, not on the system prompt.
_RECENCY = 1.6
_SHARPNESS = 0.5
_SWAP = 4.0  # how much louder the next word is than the own one


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model of Qwen2's architecture with tied embeddings."""

    name: str
    num_layers: int
    width: int
    num_heads: int
    num_kv_heads: int
    feed_forward: int
    num_vocab: int
    quantization: str | None = "Q4_K_M"

    @property
    def kv_width(self) -> int:
        """Return the width of keys and of values."""
        return self.width // self.num_heads * self.num_kv_heads

    @property
    def name_width(self) -> int:
        """Return how many coordinates the name of a word has."""
        return min((self.width - _NAME) // 2, self.feed_forward // 2 - 1)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("0.5b", 24, 896, 14, 2, 4864, 151_936),
        Shape("1.5b", 28, 1536, 12, 2, 8960, 151_936),
        Shape("tiny", 2, 256, 4, 2, 768, 4_096, None),
    )
}


def provide_model(
    shape: Shape, folder: Path, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Return the model's file, making it first if it is not there: all or nothing."""
    kind = shape.quantization or "F16"
    path = folder / f"{shape.name}-{kind}-{RECIPE}.gguf"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{shape.name}-{RECIPE}.making"
    try:
        say(f"writing a random model in the shape {shape.name} to {source}")
        write_gguf(source, _build_metadata(shape), list(_build_tensors(shape)))
        if shape.quantization is None:
            source.replace(path)
        else:
            say(f"quantizing it to {shape.quantization}: {path}")
            _quantize(source, path, shape.quantization)
    finally:
        source.unlink(missing_ok=True)
    return path


def _quantize(source: Path, target: Path, kind: str) -> None:
    """Quantize in a process of its own: llama.cpp says a line for every tensor."""
    command = [sys.executable, "-m", "inference.lab.quantize"]
    arguments = [str(source), str(target), "--type", kind]
    done = subprocess.run(  # noqa: S603 - our own module
        command + arguments, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"quantizing failed: {done.stderr[-2000:]}")


def _build_metadata(shape: Shape) -> dict[str, Value]:
    vocabulary = load_vocabulary()
    num_padding = shape.num_vocab - len(vocabulary.tokens)
    padding = [f"[padding {number}]" for number in range(num_padding)]
    types = [
        _CONTROL if number in vocabulary.special else _NORMAL
        for number in range(len(vocabulary.tokens))
    ]
    end = vocabulary.id_of("<|im_end|>")
    return {
        "general.architecture": "qwen2",
        "general.name": f"bench {shape.name}",
        "general.file_type": 1,
        "qwen2.block_count": shape.num_layers,
        "qwen2.context_length": 32_768,
        "qwen2.embedding_length": shape.width,
        "qwen2.feed_forward_length": shape.feed_forward,
        "qwen2.attention.head_count": shape.num_heads,
        "qwen2.attention.head_count_kv": shape.num_kv_heads,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen2.rope.freq_base": 1e6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": [*vocabulary.tokens, *padding],
        "tokenizer.ggml.token_type": types + [_UNUSED] * num_padding,
        "tokenizer.ggml.merges": list(vocabulary.merges),
        "tokenizer.ggml.bos_token_id": vocabulary.id_of("<|endoftext|>"),
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.eot_token_id": end,
        "tokenizer.ggml.padding_token_id": vocabulary.id_of("<|endoftext|>"),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": _TEMPLATE,
    }


def _build_tensors(shape: Shape) -> Iterator[Tensor]:
    """Yield what is to be written; the values come when each is written."""
    rng = np.random.default_rng(RECIPE)
    yield _matrix(
        "token_embd.weight", lambda: _embed(shape, rng), shape, shape.num_vocab
    )
    yield _vector("output_norm.weight", shape.width, 1.0)
    for number in range(shape.num_layers):
        is_last = number == shape.num_layers - 1
        yield from _build_block(shape, f"blk.{number}.", rng, is_last)


def _build_block(
    shape: Shape, name: str, rng: np.random.Generator, is_last: bool
) -> Iterator[Tensor]:
    width, kv_width, feed = shape.width, shape.kv_width, shape.feed_forward
    attention_noise = _ATTENTION_NOISE / math.sqrt(width)
    feed_noise = _FEED_NOISE / math.sqrt(width)
    yield _vector(f"{name}attn_norm.weight", width, 1.0)
    yield _vector(f"{name}ffn_norm.weight", width, 1.0)
    for part, rows, scale in (
        ("q", width, _SHARPNESS),
        ("k", kv_width, _SHARPNESS),
        ("v", kv_width, 1.0),
        ("output", width, attention_noise),
    ):
        # Values are made of words' names alone: what all tokens have says nothing.
        num_blind = _NAME if part == "v" else 0
        size = (rows, width)
        yield _noise(f"{name}attn_{part}.weight", size, scale, rng, num_blind)
        if part != "output":
            bias = 0.0 if part == "v" else _RECENCY
            yield _vector(f"{name}attn_{part}.bias", rows, bias)
    if is_last:
        yield from _build_swap(shape, name)
        return
    yield _noise(f"{name}ffn_gate.weight", (feed, width), 1.0, rng)
    yield _noise(f"{name}ffn_up.weight", (feed, width), 1.0, rng)
    yield _noise(f"{name}ffn_down.weight", (width, feed), feed_noise, rng)


def _build_swap(shape: Shape, name: str) -> Iterator[Tensor]:
    """Yield a feed-forward block that puts the next word's name before the own one.

    A gate that reads the coordinate that is always one makes the block linear.
    """
    size, feed, width = shape.name_width, shape.feed_forward, shape.width
    places = np.arange(size)
    own, following = places, size + places  # hidden units
    # After the norm a word's coordinates are sqrt(width) / 2 times what they were.
    gate_weight = 10.0 / math.sqrt(width)
    swap = _SWAP * 4.0 / (gate_weight * width)

    def make_gate() -> NDArray[np.float16]:
        gate = np.zeros((feed, width), np.float16)
        gate[: 2 * size + 1, _ONE] = gate_weight
        return gate

    def make_up() -> NDArray[np.float16]:
        up = np.zeros((feed, width), np.float16)
        up[own, _NAME + own] = up[following, _NAME + following] = 1.0
        up[2 * size, _ONE] = 1.0
        return up

    def make_down() -> NDArray[np.float16]:
        down = np.zeros((width, feed), np.float16)
        down[_NAME + own, own] = down[_NAME + following, following] = -swap
        down[_NAME + own, following] = down[_IS_WORD, 2 * size] = swap
        return down

    yield _matrix(f"{name}ffn_gate.weight", make_gate, shape, feed)
    yield _matrix(f"{name}ffn_up.weight", make_up, shape, feed)
    half = np.dtype(np.float16)
    yield Tensor(f"{name}ffn_down.weight", (width, feed), half, make_down)


def _embed(shape: Shape, rng: np.random.Generator) -> NDArray[np.float16]:
    chain = np.array(build_chain())
    size = shape.name_width
    names = rng.standard_normal((len(chain), size), np.float32)
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    embedding = np.zeros((shape.num_vocab, shape.width), np.float16)
    embedding[:, _ONE] = 1.0
    embedding[chain, _IS_WORD] = 1.0
    embedding[chain, _NAME : _NAME + size] = names
    embedding[chain, _NAME + size : _NAME + 2 * size] = np.roll(names, -1, axis=0)
    return embedding


def _matrix(
    name: str, make: Callable[[], NDArray[np.float16]], shape: Shape, rows: int
) -> Tensor:
    return Tensor(name, (rows, shape.width), np.dtype(np.float16), make)


def _noise(
    name: str,
    size: tuple[int, int],
    scale: float,
    rng: np.random.Generator,
    num_blind: int = 0,
) -> Tensor:
    """Return random weights; the first `num_blind` coordinates are not looked at."""

    def make() -> NDArray[np.float16]:
        values = rng.standard_normal(size, np.float32)
        values *= scale / math.sqrt(size[1])
        values[:, :num_blind] = 0.0
        return values.astype(np.float16)

    return Tensor(name, size, np.dtype(np.float16), make)


def _vector(name: str, size: int, value: float) -> Tensor:
    single = np.dtype(np.float32)
    return Tensor(name, (size,), single, lambda: np.full(size, value, np.float32))
