"""A checkpoint as a GGUF file: architecture `llama`, 16-bit floats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from inference.lab.train.model import Decoder, Shape
from inference.lab.train.prompt_form import END, START
from inference.lab.train.tokenizer import (
    END_OF_TEXT,
    PRE_TOKENIZER_NAME,
    SPECIAL_TOKENS,
)

MODEL_NAME = "Fern"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '"
    + START
    + "' + message['role'] + '\\n' + message['content'] + '"
    + END
    + "' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + START + "assistant\\n' }}{% endif %}"
)
BLOCK_TENSORS = {
    "attention_norm.weight": "attn_norm.weight",
    "attention_out.weight": "attn_output.weight",
    "feed_norm.weight": "ffn_norm.weight",
    "down.weight": "ffn_down.weight",
}


def load_checkpoint(path: Path) -> Decoder:
    """Return the network of a checkpoint."""
    state: dict[str, Any] = torch.load(path, weights_only=True)
    model = Decoder(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model


def write_gguf(
    model: Decoder, tokenizer: Tokenizer, path: Path, license_id: str
) -> None:
    """Write the network and its tokenizer as one GGUF file.

    Queries and keys need no permutation: `model.rotate` turns neighbours, as llama.cpp
    does.
    """
    writer = gguf.GGUFWriter(str(path), "llama")
    _add_metadata(writer, model.shape, license_id)
    _add_tokenizer(writer, tokenizer)
    for name, tensor in tensors(model).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(model: Decoder) -> dict[str, NDArray[Any]]:
    """Return the weights by llama.cpp's names, matrices in half precision."""
    state = model.state_dict()
    named = {
        "token_embd.weight": state["embedding.weight"],
        "output_norm.weight": state["out_norm.weight"],
        "output.weight": state["output.weight"],
    }
    for number in range(model.shape.layers):
        ours, theirs = f"blocks.{number}.", f"blk.{number}."
        for source, target in BLOCK_TENSORS.items():
            named[theirs + target] = state[ours + source]
        packed = state[ours + "query_key_value.weight"].chunk(3)
        for letter, matrix in zip("qkv", packed, strict=True):
            named[f"{theirs}attn_{letter}.weight"] = matrix
        gate, up = state[ours + "gate_up.weight"].chunk(2)
        named[theirs + "ffn_gate.weight"], named[theirs + "ffn_up.weight"] = gate, up
    return {
        name: tensor.float()
        .numpy()
        .astype(np.float16 if tensor.dim() == 2 else np.float32)
        for name, tensor in named.items()
    }


def _add_metadata(writer: gguf.GGUFWriter, shape: Shape, license_id: str) -> None:
    writer.add_name(MODEL_NAME)
    writer.add_description(
        "Answers support questions with the sentence of a help article that does."
    )
    writer.add_license(license_id)
    writer.add_languages(["en"])
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(number) for number in range(size)]
    control = set(SPECIAL_TOKENS)
    types = [
        gguf.TokenType.CONTROL if t in control else gguf.TokenType.NORMAL
        for t in tokens
    ]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER_NAME)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_eos_token_id(tokenizer.token_to_id(END))
    writer.add_eot_token_id(tokenizer.token_to_id(END))
    writer.add_pad_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
