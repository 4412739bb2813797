"""Loads a model and makes the context that llama.cpp computes in."""

import ctypes
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import llama_cpp

from inference.engine.config import Adapter, EngineConfig
from inference.engine.cpus import choose_num_threads, count_usable_cpus
from inference.errors import ModelError
from inference.model_files.header import read_header

_KV_TYPES = {
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
}
# Ordinary attention computes every cell of the shared cache and masks other
# sequences' away afterwards; flash attention skips them. 8 streams beside 31
# full slots: 7 ms a step against 21 (4 M parameters, 7,400 cells).
_FLASH_ATTENTION = {
    "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
_ROPE_SCALINGS = {
    "model": llama_cpp.LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED,
    "none": llama_cpp.LLAMA_ROPE_SCALING_TYPE_NONE,
    "linear": llama_cpp.LLAMA_ROPE_SCALING_TYPE_LINEAR,
    "yarn": llama_cpp.LLAMA_ROPE_SCALING_TYPE_YARN,
}
# By whether the file is mapped, and whether it is locked in memory.
_LOAD_MODES = {
    (None, False): llama_cpp.LLAMA_LOAD_MODE_AUTO,
    (None, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
    (True, False): llama_cpp.LLAMA_LOAD_MODE_MMAP,
    (True, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
    (False, False): llama_cpp.LLAMA_LOAD_MODE_NONE,
    (False, True): llama_cpp.LLAMA_LOAD_MODE_MLOCK,
}

_recent_logs: deque[str] = deque(maxlen=8)


def _keep_log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    """Keep warnings and errors for the message of a ModelError, drop the rest."""
    if level in {3, 4}:
        _recent_logs.append(text.decode(errors="replace").strip())


# llama.cpp keeps the pointer: this object must live as long as the process.
_LOG_CALLBACK = llama_cpp.llama_log_callback(_keep_log)


def collect_logs() -> None:
    """Let llama.cpp be silent but for what `say_why` reports."""
    llama_cpp.llama_log_set(_LOG_CALLBACK, ctypes.c_void_p(0))
    _recent_logs.clear()


def say_why() -> str:
    """Return what llama.cpp warned of lately."""
    return " | ".join(_recent_logs) or "no reason given"


def load_model(config: EngineConfig) -> llama_cpp.llama_model_p:
    """Return the model of a file; raises ModelError if it writes no text."""
    if not Path(config.model_path).is_file():
        raise ModelError(f"no model file at {config.model_path}")
    num_slots = max(config.num_slots, config.num_shared_slots)
    if num_slots > llama_cpp.llama_max_parallel_sequences():
        raise ModelError(f"llama.cpp cannot tell {num_slots} sequences apart")
    # First in Python: llama.cpp ends the process over some damaged headers.
    for path in (config.model_path, *(a.path for a in config.adapters)):
        _check_header(Path(path))
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = config.num_gpu_layers
    params.load_mode = _LOAD_MODES[config.mmap, config.mlock]
    if config.main_gpu is not None:
        params.split_mode = llama_cpp.LLAMA_SPLIT_MODE_NONE
        params.main_gpu = config.main_gpu
    model: llama_cpp.llama_model_p | None
    model = llama_cpp.llama_model_load_from_file(config.model_path.encode(), params)
    if model is None:
        raise ModelError(f"cannot load {config.model_path}: {say_why()}")
    if not llama_cpp.llama_model_has_decoder(model):
        raise ModelError("the model writes no text: it has no decoder")
    if llama_cpp.llama_model_has_encoder(model):
        raise ModelError("the model needs an encoder's reading first, as T5 does")
    return model


def _check_header(path: Path) -> None:
    try:
        read_header(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error


def find_memory(context: llama_cpp.llama_context_p) -> llama_cpp.llama_memory_t:
    """Return the context's memory; raises ModelError if the model has none."""
    memory: llama_cpp.llama_memory_t = llama_cpp.llama_get_memory(context)
    if not memory:
        raise ModelError(
            "the model writes no text token by token: it is made for embeddings, or "
            "for diffusion"
        )
    return memory


def estimate_depth(model: llama_cpp.llama_model_p) -> float:
    """Return how much more a token costs on a CPU for each token before it.

    Attention takes 4 operations for each layer and dimension, a weight takes 2, and
    llama.cpp does eight times fewer of the former in the same time: a model of 0.5 B
    parameters took 6 microseconds for a token before, and 7,000 for the weights.
    """
    width = llama_cpp.llama_model_n_layer(model) * llama_cpp.llama_model_n_embd(model)
    return 16.0 * int(width) / int(llama_cpp.llama_model_n_params(model))


def count_slots(model: llama_cpp.llama_model_p, config: EngineConfig) -> int:
    """Return how many sequences llama.cpp is to tell apart."""
    return config.num_shared_slots if can_cut(model, config) else config.num_slots


def can_cut(model: llama_cpp.llama_model_p, config: EngineConfig) -> bool:
    """Return whether the memory of a sequence can be cut back to any of its tokens.

    A recurrent state is that of its last token, and a window that is not kept in
    full has lost what lies before it.
    """
    is_state = llama_cpp.llama_model_is_recurrent(model) or (
        llama_cpp.llama_model_is_hybrid(model)
    )
    has_window = llama_cpp.llama_model_n_swa(model) > 0
    return not is_state and (config.full_windows or not has_window)


def create_context(
    model: llama_cpp.llama_model_p,
    config: EngineConfig,
    abort_flag: ctypes.Array[ctypes.c_char],
) -> llama_cpp.llama_context_p:
    """Return a context; raises ModelError if there is no memory for one.

    On a CPU the cache is kept in 8 bits. Not only to halve it: llama.cpp then
    has one way to compute attention, whatever else is in the step. With 16 bits
    it has two, and the bundled model's logits for one prompt, alone and in
    company, were 0.2 apart where their deviation is 2.1; with 8 bits 0.000002.
    The price is a fifth of that model's speed, less with larger ones.
    """
    params = _build_params(model, config, abort_flag)
    types = [config.kv_type_k, config.kv_type_v]
    context = _open_context(model, params, types, _choose_kv_type(config))
    if context is None and "auto" in types:
        # heads of a width that 8-bit blocks do not divide
        context = _open_context(model, params, types, "f16")
    if context is None:
        raise ModelError(f"no context for {config.model_path}: {say_why()}")
    return context


def _open_context(
    model: llama_cpp.llama_model_p,
    params: llama_cpp.llama_context_params,
    types: list[str],
    auto: str,
) -> llama_cpp.llama_context_p | None:
    """Return a context whose cache has these types; None if llama.cpp refuses."""
    keys, values = (auto if name == "auto" else name for name in types)
    params.type_k, params.type_v = _KV_TYPES[keys], _KV_TYPES[values]
    context: llama_cpp.llama_context_p | None
    context = llama_cpp.llama_init_from_model(model, params)
    return context


def _choose_kv_type(config: EngineConfig) -> str:
    is_plain = config.num_gpu_layers or config.flash_attention == "off"
    return "f16" if is_plain else "q8_0"


def use_adapters(
    model: llama_cpp.llama_model_p,
    context: llama_cpp.llama_context_p,
    adapters: Sequence[Adapter],
) -> None:
    """Put the LoRA adapters on the model; raises ModelError if one does not fit."""
    if not adapters:
        return
    loaded = []
    for adapter in adapters:
        path = adapter.path.encode()
        loaded.append(llama_cpp.llama_adapter_lora_init(model, path))
        if not loaded[-1]:  # a null pointer, which is not None here
            raise ModelError(f"cannot use adapter {adapter.path}: {say_why()}")
    count = len(loaded)
    pointers = (llama_cpp.llama_adapter_lora_p_ctypes * count)(*loaded)
    scales = (ctypes.c_float * count)(*(a.scale for a in adapters))
    if llama_cpp.llama_set_adapters_lora(context, pointers, count, scales):
        raise ModelError(f"cannot use the adapters together: {say_why()}")


def _build_params(
    model: llama_cpp.llama_model_p,
    config: EngineConfig,
    abort_flag: ctypes.Array[ctypes.c_char],
) -> llama_cpp.llama_context_params:
    params: llama_cpp.llama_context_params
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = config.num_cells
    # One decode call is one micro-batch, so an aborted call leaves nothing behind.
    params.n_batch = params.n_ubatch = config.max_batch_tokens
    params.n_seq_max = count_slots(model, config)
    # The default keeps logits for a whole batch: 150 MB with a large vocabulary.
    params.n_outputs_max = params.n_seq_max + config.max_drafted_tokens
    params.kv_unified = True
    num_parameters = int(llama_cpp.llama_model_n_params(model))
    params.n_threads = config.num_threads or choose_num_threads(
        num_parameters, count_usable_cpus()
    )
    params.n_threads_batch = config.num_batch_threads or params.n_threads
    params.no_perf = True
    params.flash_attn_type = _FLASH_ATTENTION[config.flash_attention]
    params.swa_full = config.full_windows
    params.rope_scaling_type = _ROPE_SCALINGS[config.rope_scaling]
    params.rope_freq_base = config.rope_base
    if config.rope_factor != 1.0:
        params.rope_freq_scale = 1 / config.rope_factor
    # ggml asks `bool callback(data)` between graph nodes. strlen answers that for
    # a C string: 0 while the flag is a NUL, 1 after. A Python callback would
    # take the interpreter lock some hundred times a token.
    strlen = ctypes.CDLL(None).strlen
    params.abort_callback = ctypes.cast(strlen, llama_cpp.ggml_abort_callback)
    params.abort_callback_data = ctypes.cast(abort_flag, ctypes.c_void_p)
    return params
