"""Small models of many architectures with random weights, written by the tests.

They speak the vocabulary of the tests' checkpoint. The weights are large enough for
a decided next token, so that rounding does not change the text.
"""

import struct
from pathlib import Path

import numpy as np

from inference.model_files.header import read_header
from tests.inference.conftest import CHECKPOINT

WIDTH, HEADS, HEAD_WIDTH, FEED, LAYERS = 64, 2, 32, 96, 2
CONTEXT = 4096


class GgufFile:
    """A GGUF file in the making."""

    def __init__(self, architecture):
        self.architecture = architecture
        self.metadata = {"general.architecture": architecture}
        self.tensors = {}

    def set(self, **values):
        for name, value in values.items():
            self.metadata[f"{self.architecture}.{name.replace('__', '.')}"] = value

    def write(self, path):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.metadata))
        head += b"".join(_string(k) + _value(v) for k, v in self.metadata.items())
        offset, body = 0, []
        for name, array in self.tensors.items():
            kind = {"float32": 0, "float16": 1}[array.dtype.name]
            shape = array.shape[::-1]
            head += _string(name) + struct.pack("<I", len(shape))
            head += struct.pack(f"<{len(shape)}Q", *shape)
            head += struct.pack("<IQ", kind, offset)
            content = array.tobytes()
            body.append(content + b"\0" * (-len(content) % 32))
            offset += len(body[-1])
        path.write_bytes(head + b"\0" * (-len(head) % 32) + b"".join(body))
        return path


def _string(text):
    encoded = text.encode(errors="surrogateescape")
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value):
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if isinstance(value[0], int):  # of which llama.cpp wants signed ones
        return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
    items = b"".join(map(_string, value))
    return struct.pack("<IIQ", 9, 8, len(value)) + items


def read_vocabulary():
    header = read_header(CHECKPOINT, kept_items=10**6)
    return {k: v for k, v in header.metadata.items() if k.startswith("tokenizer.")}


class Weights:
    """Seeded random tensors."""

    def __init__(self, file, seed=1):
        self.file = file
        self.dice = np.random.default_rng(seed)

    def add(self, name, *shape, scale=1.0):
        deviation = scale / np.sqrt(shape[-1])
        array = self.dice.normal(0, deviation, shape)
        is_matrix = len(shape) > 1 and "conv" not in name and not name.endswith("_a")
        self.file.tensors[name] = array.astype(np.float16 if is_matrix else np.float32)

    def add_ones(self, *names, width=WIDTH):
        for name in names:
            self.file.tensors[name] = np.ones(width, np.float32)

    def add_attention(self, block, kv_heads=HEADS, q=WIDTH, scale=2.0):
        self.add(f"{block}.attn_q.weight", q, WIDTH, scale=scale)
        self.add(f"{block}.attn_k.weight", kv_heads * HEAD_WIDTH, WIDTH, scale=scale)
        self.add(f"{block}.attn_v.weight", kv_heads * HEAD_WIDTH, WIDTH, scale=scale)
        self.add(f"{block}.attn_output.weight", WIDTH, q, scale=scale)

    def add_feed_forward(self, block):
        self.add(f"{block}.ffn_gate.weight", FEED, WIDTH)
        self.add(f"{block}.ffn_up.weight", FEED, WIDTH)
        self.add(f"{block}.ffn_down.weight", WIDTH, FEED)

    def add_state_space(self, block, norms=False):
        inner, state, rank = 2 * WIDTH, 16, 4
        self.add(f"{block}.ssm_in.weight", 2 * inner, WIDTH)
        self.add(f"{block}.ssm_conv1d.weight", inner, 4, scale=2)
        self.add(f"{block}.ssm_conv1d.bias", inner, scale=0.1)
        self.add(f"{block}.ssm_x.weight", rank + 2 * state, inner)
        self.add(f"{block}.ssm_dt.weight", inner, rank)
        self.add(f"{block}.ssm_dt.bias", inner, scale=0.1)
        self.file.tensors[f"{block}.ssm_a"] = -np.tile(
            np.arange(1, state + 1, dtype=np.float32) / 4, (inner, 1)
        )
        self.add_ones(f"{block}.ssm_d", width=inner)
        self.add(f"{block}.ssm_out.weight", WIDTH, inner)
        if norms:
            self.add_ones(f"{block}.ssm_dt_norm.weight", width=rank)
            self.add_ones(f"{block}.ssm_b_norm.weight", width=state)
            self.add_ones(f"{block}.ssm_c_norm.weight", width=state)


def _begin(architecture, layers=LAYERS):
    file = GgufFile(architecture)
    file.metadata |= read_vocabulary()
    file.set(
        context_length=CONTEXT, embedding_length=WIDTH, block_count=layers,
        feed_forward_length=FEED, attention__head_count=HEADS,
        attention__layer_norm_rms_epsilon=1e-5,
    )  # fmt: skip
    weights = Weights(file)
    num_vocab = len(file.metadata["tokenizer.ggml.tokens"])
    weights.add("token_embd.weight", num_vocab, WIDTH, scale=8)
    weights.add_ones("output_norm.weight")
    return file, weights, num_vocab


def dense(context=CONTEXT):
    """Llama with grouped-query attention."""
    file, weights, num_vocab = _begin("llama")
    file.set(attention__head_count_kv=1, context_length=context)
    weights.add("output.weight", num_vocab, WIDTH, scale=8)
    for number in range(LAYERS):
        block = f"blk.{number}"
        weights.add_ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        weights.add_attention(block, kv_heads=1)
        weights.add_feed_forward(block)
    return file


def experts():
    """Qwen2-MoE: four experts of which two work, and a shared one."""
    file, weights, num_vocab = _begin("qwen2moe")
    file.set(
        attention__head_count_kv=HEADS, expert_count=4, expert_used_count=2,
        expert_feed_forward_length=32, expert_shared_feed_forward_length=32,
    )  # fmt: skip
    weights.add("output.weight", num_vocab, WIDTH, scale=8)
    for number in range(LAYERS):
        block = f"blk.{number}"
        weights.add_ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        weights.add_attention(block)
        for letter in "qkv":
            weights.add(f"{block}.attn_{letter}.bias", WIDTH, scale=0.1)
        weights.add(f"{block}.ffn_gate_inp.weight", 4, WIDTH, scale=4)
        for name, shape in (("gate", (32, WIDTH)), ("up", (32, WIDTH)),
                            ("down", (WIDTH, 32))):  # fmt: skip
            weights.add(f"{block}.ffn_{name}_exps.weight", 4, *shape)
            weights.add(f"{block}.ffn_{name}_shexp.weight", *shape)
        weights.add(f"{block}.ffn_gate_inp_shexp.weight", WIDTH)
    return file


def windowed(window=24):
    """Gemma 2: every other layer sees `window` tokens only."""
    file, weights, _ = _begin("gemma2", layers=4)
    file.set(
        attention__head_count_kv=HEADS, attention__sliding_window=window,
        attention__key_length=HEAD_WIDTH, attention__value_length=HEAD_WIDTH,
        attn_logit_softcapping=50.0, final_logit_softcapping=30.0,
    )  # fmt: skip
    for number in range(4):
        block = f"blk.{number}"
        weights.add_ones(
            f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight",
            f"{block}.post_attention_norm.weight", f"{block}.post_ffw_norm.weight",
        )  # fmt: skip
        weights.add_attention(block)
        weights.add_feed_forward(block)
    return file


def _set_state_space(file):
    file.set(
        ssm__conv_kernel=4, ssm__inner_size=2 * WIDTH, ssm__state_size=16,
        ssm__time_step_rank=4,
    )  # fmt: skip


def recurrent():
    """Mamba: no attention at all."""
    file, weights, num_vocab = _begin("mamba")
    file.set(attention__head_count=0, feed_forward_length=0)
    _set_state_space(file)
    weights.add("output.weight", num_vocab, WIDTH, scale=8)
    for number in range(LAYERS):
        weights.add_ones(f"blk.{number}.attn_norm.weight")
        weights.add_state_space(f"blk.{number}")
    return file


def hybrid():
    """Jamba: a recurrent layer, then one of attention, twice."""
    file, weights, num_vocab = _begin("jamba", layers=4)
    file.set(attention__head_count_kv=[0, HEADS, 0, HEADS])
    _set_state_space(file)
    weights.add("output.weight", num_vocab, WIDTH, scale=8)
    for number in range(4):
        block = f"blk.{number}"
        weights.add_ones(f"{block}.attn_norm.weight", f"{block}.ffn_norm.weight")
        if number % 2:
            weights.add_attention(block)
        else:
            weights.add_state_space(block, norms=True)
        weights.add_feed_forward(block)
    return file


def embedder():
    """Bert: reads, and writes nothing."""
    file, weights, _ = _begin("bert")
    file.set(attention__layer_norm_epsilon=1e-5, attention__causal=False)
    file.metadata["tokenizer.ggml.token_type_count"] = 2
    weights.add("position_embd.weight", CONTEXT, WIDTH)
    weights.add("token_types.weight", 2, WIDTH)
    weights.add_ones("token_embd_norm.weight", "token_embd_norm.bias")
    norms = ("attn_output_norm", "layer_output_norm")
    for number in range(LAYERS):
        block = f"blk.{number}"
        weights.add_attention(block)
        weights.add_ones(
            *(f"{block}.{name}.{part}" for name in norms
              for part in ("weight", "bias")),
            f"{block}.attn_q.bias", f"{block}.attn_k.bias", f"{block}.attn_v.bias",
            f"{block}.attn_output.bias", f"{block}.ffn_down.bias",
        )  # fmt: skip
        weights.add(f"{block}.ffn_up.weight", FEED, WIDTH)
        weights.add_ones(f"{block}.ffn_up.bias", width=FEED)
        weights.add(f"{block}.ffn_down.weight", WIDTH, FEED)
    file.tensors.pop("output_norm.weight")
    return file


def adapter(seed=5, architecture="llama"):
    """A LoRA adapter for `dense`, strong enough to change what it says."""
    file = GgufFile(architecture)
    file.metadata |= {"general.type": "adapter", "adapter.type": "lora"}
    file.metadata["adapter.lora.alpha"] = 8.0
    weights = Weights(file, seed)
    for number in range(LAYERS):
        name = f"blk.{number}.attn_q.weight"
        weights.add(f"{name}.lora_a", 4, WIDTH, scale=4)
        weights.add(f"{name}.lora_b", WIDTH, 4, scale=4)
    return file


TEXT_MODELS = {
    "dense": dense, "experts": experts, "windowed": windowed,
    "recurrent": recurrent, "hybrid": hybrid,
}  # fmt: skip


def write_all(folder: Path):
    return {name: make().write(folder / f"{name}.gguf") for name, make in
            TEXT_MODELS.items()}  # fmt: skip
