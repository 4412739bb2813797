"""The one module that touches llama.cpp: a model, its vocabulary, its KV cache.

Uses the low-level API of llama-cpp-python: the high-level class serves one request
at a time, and two threads on one of its objects abort the process.
"""

import ctypes
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from inference.engine.chat_template import Segment, Template
from inference.engine.config import EngineConfig
from inference.engine.cpus import choose_num_threads, count_usable_cpus
from inference.engine.grammar import LlamaGrammar, read_grammar
from inference.engine.kv_cache import CopyPrefix, Operation
from inference.engine.own_template import SpecialTokens, choose_template
from inference.engine.runner import Outcome
from inference.engine.scheduler import Step
from inference.engine.vocabulary import Vocabulary
from inference.errors import ModelError
from inference.model_files.header import read_header
from inference.types import CompletionRequest

# What llama_decode returns besides failures.
_OUTCOMES = {0: Outcome.COMPUTED, 1: Outcome.NO_ROOM, 2: Outcome.ABORTED}

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


class DecodeFailed(Exception):  # noqa: N818 - says what happened, as in errors.py
    """llama.cpp is in a state that only a new process gets out of."""


def _keep_log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    """Keep warnings and errors for the message of a ModelError, drop the rest."""
    if level in {3, 4}:
        _recent_logs.append(text.decode(errors="replace").strip())


# llama.cpp keeps the pointer: this object must live as long as the process.
_LOG_CALLBACK = llama_cpp.llama_log_callback(_keep_log)


class LlamaRunner:
    """A GGUF model loaded by llama.cpp, with one context that all sequences share.

    Raises ModelError when the file cannot be used.
    """

    def __init__(self, config: EngineConfig) -> None:
        llama_cpp.llama_log_set(_LOG_CALLBACK, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        _recent_logs.clear()
        self._abort_flag = ctypes.create_string_buffer(2)
        self._model = _load_model(config)
        self._vocabulary = Vocabulary(self._model)
        # Before there is a context, which changes the number where YaRN stretches it.
        num_trained = int(llama_cpp.llama_model_n_ctx_train(self._model))
        self._context = self._create_context(config)
        self._memory = _find_memory(self._context)
        self.can_cut = _can_cut(self._model, config)
        self._use_adapters(config)
        self._batch = llama_cpp.llama_batch_init(config.max_batch_tokens, 0, 1)
        self._max_batch_tokens = config.max_batch_tokens
        self._logit_rows: list[int] = []
        self.model = self._read_metadata("general.name") or Path(config.model_path).stem
        self.num_slots = config.num_slots
        self.num_cells = int(llama_cpp.llama_n_ctx(self._context))
        self.limit_tokens = min(
            self.num_cells, int(num_trained * config.rope_factor) or self.num_cells
        )
        self.template = self._find_template(config)
        self._warm_up()

    def tokenize(self, segments: Iterable[Segment]) -> list[int]:
        """Return the tokens of a prompt; raises UnicodeEncodeError on surrogates."""
        return self._vocabulary.tokenize(segments)

    def build_grammar(self, request: CompletionRequest) -> LlamaGrammar:
        """Return the grammar of a constrained request; raises RequestRejected."""
        return LlamaGrammar(self._vocabulary, read_grammar(request))

    def piece_of(self, token: int) -> bytes:
        """Return the bytes of a token, none for a special one."""
        return self._vocabulary.piece_of(token)

    def is_end(self, token: int) -> bool:
        """Return whether the model ends its turn with this token."""
        return self._vocabulary.is_end(token)

    def compute(self, step: Step) -> Outcome:
        """Carry out the operations of a step, then compute its tokens.

        Raises DecodeFailed when the process has to be replaced.
        """
        for operation in step.operations:
            self._apply(operation)
        if not step.chunks:
            return Outcome.COMPUTED
        self._fill_batch(step)
        code = llama_cpp.llama_decode(self._context, self._batch)
        self._abort_flag[0] = b"\0"
        if code not in _OUTCOMES:
            raise DecodeFailed(f"llama_decode returned {code}: {_recent()}")
        return _OUTCOMES[code]

    def logits_of(self, chunk_number: int) -> NDArray[np.float32]:
        """Return the logits behind a last chunk of the step computed just now.

        Raises DecodeFailed where they are no numbers. What is not a number stays in
        the cache and spreads: llama.cpp clears a recurrent state by multiplying it
        with zero, so the conversation that gets it next would be lost too.
        """
        row = self._logit_rows[chunk_number]
        pointer = llama_cpp.llama_get_logits_ith(self._context, row)
        logits = np.ctypeslib.as_array(pointer, shape=(self._vocabulary.num_tokens,))
        if not np.isfinite(logits.max()):
            raise DecodeFailed("the model computed what is not a number")
        return logits

    def abort(self) -> None:
        """Make the `compute` in progress return soon; any thread may call this."""
        self._abort_flag[0] = b"\1"

    def close(self) -> None:
        """Free the context and the model; nothing else may be called after it."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    def _create_context(self, config: EngineConfig) -> llama_cpp.llama_context_p:
        """Return a context; raises ModelError if there is no memory for one.

        On a CPU the cache is kept in 8 bits. Not only to halve it: llama.cpp then
        has one way to compute attention, whatever else is in the step. With 16 bits
        it has two, and the bundled model's logits for one prompt, alone and in
        company, were 0.2 apart where their deviation is 2.1; with 8 bits 0.000002.
        The price is a fifth of that model's speed, less with larger ones.
        """
        params = self._build_params(config)
        types = [config.kv_type_k, config.kv_type_v]
        context = self._open_context(params, types, self._choose_kv_type(config))
        if context is None and "auto" in types:
            # heads of a width that 8-bit blocks do not divide
            context = self._open_context(params, types, "f16")
        if context is None:
            raise ModelError(f"no context for {config.model_path}: {_recent()}")
        return context

    def _open_context(
        self, params: llama_cpp.llama_context_params, types: list[str], auto: str
    ) -> llama_cpp.llama_context_p | None:
        """Return a context whose cache has these types; None if llama.cpp refuses."""
        keys, values = (auto if name == "auto" else name for name in types)
        params.type_k, params.type_v = _KV_TYPES[keys], _KV_TYPES[values]
        context: llama_cpp.llama_context_p | None
        context = llama_cpp.llama_init_from_model(self._model, params)
        return context

    def _choose_kv_type(self, config: EngineConfig) -> str:
        is_plain = config.num_gpu_layers or config.flash_attention == "off"
        return "f16" if is_plain else "q8_0"

    def _use_adapters(self, config: EngineConfig) -> None:
        """Put the LoRA adapters on the model; raises ModelError if one does not fit."""
        if not config.adapters:
            return
        loaded = []
        for adapter in config.adapters:
            path = adapter.path.encode()
            loaded.append(llama_cpp.llama_adapter_lora_init(self._model, path))
            if not loaded[-1]:  # a null pointer, which is not None here
                raise ModelError(f"cannot use adapter {adapter.path}: {_recent()}")
        count = len(loaded)
        pointers = (llama_cpp.llama_adapter_lora_p_ctypes * count)(*loaded)
        scales = (ctypes.c_float * count)(*(a.scale for a in config.adapters))
        if llama_cpp.llama_set_adapters_lora(self._context, pointers, count, scales):
            raise ModelError(f"cannot use the adapters together: {_recent()}")

    def _build_params(self, config: EngineConfig) -> llama_cpp.llama_context_params:
        params: llama_cpp.llama_context_params
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = config.num_cells
        # One decode call is one micro-batch, so an aborted call leaves nothing behind.
        params.n_batch = params.n_ubatch = config.max_batch_tokens
        params.n_seq_max = config.num_slots
        # The default keeps logits for a whole batch: 150 MB with a large vocabulary.
        params.n_outputs_max = config.num_slots
        params.kv_unified = True
        num_parameters = int(llama_cpp.llama_model_n_params(self._model))
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
        params.abort_callback_data = ctypes.cast(self._abort_flag, ctypes.c_void_p)
        return params

    def _find_template(self, config: EngineConfig) -> Template:
        program = llama_cpp.llama_model_chat_template(self._model, None)
        vocabulary = self._vocabulary
        specials = SpecialTokens(
            vocabulary.bos,
            vocabulary.eos,
            vocabulary.is_bos_added,
            vocabulary.is_one_token,
        )
        template = choose_template(
            config.template,
            program and program.decode(errors="replace"),
            specials,
            config.thinking,
        )
        for marker in template.markers:
            if not vocabulary.is_one_token(marker):
                raise ModelError(
                    f"the model has no token {marker!r}, which the chat template"
                    f" {template.name} needs"
                )
        return template

    def _read_metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        count = llama_cpp.llama_model_meta_val_str(
            self._model, key.encode(), buffer, len(buffer)
        )
        return buffer.value.decode(errors="replace") if count > 0 else ""

    def _apply(self, operation: Operation) -> None:
        if isinstance(operation, CopyPrefix):
            llama_cpp.llama_memory_seq_cp(
                self._memory, operation.source, operation.target, 0, operation.length
            )
        elif not llama_cpp.llama_memory_seq_rm(
            self._memory, operation.slot, operation.length, -1
        ):
            raise DecodeFailed(f"llama.cpp refused {operation}")

    def _fill_batch(self, step: Step) -> None:
        assert step.num_tokens <= self._max_batch_tokens, "the batch has no more rows"
        batch, row = self._batch, 0
        self._logit_rows = []
        for chunk in step.chunks:
            for position, token in enumerate(chunk.tokens, start=chunk.start):
                batch.token[row] = token
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = chunk.slot
                batch.logits[row] = 0
                row += 1
            batch.logits[row - 1] = int(chunk.is_last)
            self._logit_rows.append(row - 1)
        batch.n_tokens = row

    def _warm_up(self) -> None:
        """Read the weights once, so that the first request does not wait for them."""
        batch = self._batch
        batch.token[0] = batch.pos[0] = batch.seq_id[0][0] = 0
        batch.n_seq_id[0] = batch.logits[0] = batch.n_tokens = 1
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise ModelError(f"{self.model} cannot compute: {_recent()}")
        self._logit_rows = [0]
        try:
            self.logits_of(0)
        except DecodeFailed as error:
            raise ModelError(f"{self.model} is damaged: {error}") from error
        llama_cpp.llama_memory_clear(self._memory, True)


def _load_model(config: EngineConfig) -> llama_cpp.llama_model_p:
    if not Path(config.model_path).is_file():
        raise ModelError(f"no model file at {config.model_path}")
    if config.num_slots > llama_cpp.llama_max_parallel_sequences():
        raise ModelError(f"llama.cpp cannot tell {config.num_slots} sequences apart")
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
        raise ModelError(f"cannot load {config.model_path}: {_recent()}")
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


def _find_memory(context: llama_cpp.llama_context_p) -> llama_cpp.llama_memory_t:
    """Return the context's memory; raises ModelError if the model has none."""
    memory: llama_cpp.llama_memory_t = llama_cpp.llama_get_memory(context)
    if not memory:
        raise ModelError(
            "the model writes no text token by token: it is made for embeddings, or "
            "for diffusion"
        )
    return memory


def _can_cut(model: llama_cpp.llama_model_p, config: EngineConfig) -> bool:
    """Return whether the memory of a sequence can be cut back to any of its tokens.

    A recurrent state is that of its last token, and a window that is not kept in
    full has lost what lies before it.
    """
    is_state = llama_cpp.llama_model_is_recurrent(model) or (
        llama_cpp.llama_model_is_hybrid(model)
    )
    has_window = llama_cpp.llama_model_n_swa(model) > 0
    return not is_state and (config.full_windows or not has_window)


def _recent() -> str:
    return " | ".join(_recent_logs) or "no reason given"
