"""The one module that touches llama.cpp: a model, its vocabulary, its KV cache.

Uses the low-level API of llama-cpp-python: the high-level class serves one request
at a time, and two threads on one of its objects abort the process.
"""

import ctypes
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from inference.engine.chat_template import ChatTemplate, Segment, find_template
from inference.engine.config import EngineConfig
from inference.engine.cpus import choose_num_threads, count_usable_cpus
from inference.engine.kv_cache import CopyPrefix, Operation
from inference.engine.runner import Outcome
from inference.engine.scheduler import Step
from inference.errors import ModelError

# What llama_decode returns besides failures.
_OUTCOMES = {0: Outcome.COMPUTED, 1: Outcome.NO_ROOM, 2: Outcome.ABORTED}

_LONG_ENOUGH_S = 0.5

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
        self._abort_flag = ctypes.create_string_buffer(2)
        self._model = _load_model(config)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._num_vocab = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._context = self._create_context(config)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(config.max_batch_tokens, 0, 1)
        self._max_batch_tokens = config.max_batch_tokens
        self._logit_rows: list[range] = []
        self._pieces: dict[int, bytes] = {}
        self.model = self._read_metadata("general.name") or Path(config.model_path).stem
        self.num_slots = config.num_slots
        self.num_cells = int(llama_cpp.llama_n_ctx(self._context))
        num_trained = int(llama_cpp.llama_model_n_ctx_train(self._model))
        self.limit_tokens = min(self.num_cells, num_trained)
        self.template = self._find_template(config)
        self._warm_up()

    def tokenize(self, segments: Iterable[Segment]) -> list[int]:
        """Return the tokens of a prompt; raises UnicodeEncodeError on surrogates."""
        tokens = []
        if llama_cpp.llama_vocab_get_add_bos(self._vocab):
            tokens.append(int(llama_cpp.llama_vocab_bos(self._vocab)))
        for segment in segments:
            tokens += self._tokenize_text(segment.text, segment.is_markup)
        return tokens

    def piece_of(self, token: int) -> bytes:
        """Return the bytes of a token, none for a special one."""
        if token not in self._pieces:
            self._pieces[token] = self._read_piece(token)
        return self._pieces[token]

    def is_end(self, token: int) -> bool:
        """Return whether the model ends its turn with this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

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

    def logits_of(self, chunk_number: int, place: int = 0) -> NDArray[np.float32]:
        """Return logits of a last chunk of the step computed just now.

        Those behind its guess number `place`, counted from 1, or before the first.
        """
        row = self._logit_rows[chunk_number][place]
        pointer = llama_cpp.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, shape=(self._num_vocab,))

    def measure_steps(self, sizes: Iterable[int]) -> dict[int, float]:
        """Return the seconds of a step by its number of tokens; empties the cache.

        Of up to three tries the best; for a large model one, so that it takes seconds.
        """
        llama_cpp.llama_memory_clear(self._memory, True)
        costs_s = {}
        for size in sizes:
            tries_s: list[float] = []
            while len(tries_s) < 3 and sum(tries_s) < _LONG_ENOUGH_S:
                tries_s.append(self._time_step(size))
            costs_s[size] = min(tries_s)
        return costs_s

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
        context: llama_cpp.llama_context_p | None = None
        if config.num_gpu_layers == 0:
            params.type_k = params.type_v = llama_cpp.GGML_TYPE_Q8_0
            context = llama_cpp.llama_init_from_model(self._model, params)
        if context is None:  # heads of a width that 8-bit blocks do not divide
            params.type_k = params.type_v = llama_cpp.GGML_TYPE_F16
            context = llama_cpp.llama_init_from_model(self._model, params)
        if context is None:
            raise ModelError(f"no context for {config.model_path}: {_recent()}")
        return context

    def _build_params(self, config: EngineConfig) -> llama_cpp.llama_context_params:
        params: llama_cpp.llama_context_params
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = config.num_cells
        # One decode call is one micro-batch, so an aborted call leaves nothing behind.
        params.n_batch = params.n_ubatch = config.max_batch_tokens
        params.n_seq_max = config.num_slots
        # The default keeps logits for a whole batch: 150 MB with a large vocabulary.
        params.n_outputs_max = config.num_slots + config.max_drafted_tokens
        params.kv_unified = True
        num_parameters = int(llama_cpp.llama_model_n_params(self._model))
        params.n_threads = config.num_threads or choose_num_threads(
            num_parameters, count_usable_cpus()
        )
        params.n_threads_batch = params.n_threads
        params.no_perf = True
        # Ordinary attention computes every cell of the shared cache and masks other
        # sequences' away afterwards; flash attention skips them. 8 streams beside 31
        # full slots: 7 ms a step against 21 (4 M parameters, 7,400 cells).
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
        # ggml asks `bool callback(data)` between graph nodes. strlen answers that for
        # a C string: 0 while the flag is a NUL, 1 after. A Python callback would
        # take the interpreter lock some hundred times a token.
        strlen = ctypes.CDLL(None).strlen
        params.abort_callback = ctypes.cast(strlen, llama_cpp.ggml_abort_callback)
        params.abort_callback_data = ctypes.cast(self._abort_flag, ctypes.c_void_p)
        return params

    def _find_template(self, config: EngineConfig) -> ChatTemplate:
        program = llama_cpp.llama_model_chat_template(self._model, None)
        template = find_template(config.template, program and program.decode())
        for marker in template.markers:
            if len(self._tokenize_text(marker, parse_special=True)) != 1:
                raise ModelError(
                    f"the model has no token {marker!r}, which the chat template"
                    f" {template.name} needs"
                )
        return template

    def _tokenize_text(self, text: str, parse_special: bool) -> list[int]:
        encoded = text.encode()
        size = len(encoded) + 8
        while True:
            buffer = (llama_cpp.llama_token * size)()
            count = llama_cpp.llama_tokenize(
                self._vocab, encoded, len(encoded), buffer, size, False, parse_special
            )
            if count >= 0:
                return list(buffer[:count])
            size = -count

    def _read_piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(
                self._vocab, token, buffer, size, 0, False
            )
            if count >= 0:
                return buffer.raw[:count]
            size = -count

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
            self._logit_rows.append(range(row - chunk.num_logits, row))
            for wanted in self._logit_rows[-1]:
                batch.logits[wanted] = 1
        batch.n_tokens = row

    def _warm_up(self) -> None:
        """Read the weights once, so that the first request does not wait for them."""
        self._time_step(1)

    def _time_step(self, num_tokens: int) -> float:
        """Compute some tokens, with logits behind each, and forget them."""
        batch = self._batch
        for row in range(num_tokens):
            batch.token[row] = batch.seq_id[row][0] = 0
            batch.pos[row] = row
            batch.n_seq_id[row] = batch.logits[row] = 1
        batch.n_tokens = num_tokens
        started_s = time.perf_counter()
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise ModelError(f"{self.model} cannot compute: {_recent()}")
        llama_cpp.llama_get_logits_ith(self._context, num_tokens - 1)  # waits for it
        took_s = time.perf_counter() - started_s
        llama_cpp.llama_memory_clear(self._memory, True)
        return took_s


def _load_model(config: EngineConfig) -> llama_cpp.llama_model_p:
    if not Path(config.model_path).is_file():
        raise ModelError(f"no model file at {config.model_path}")
    if config.num_slots > llama_cpp.llama_max_parallel_sequences():
        raise ModelError(f"llama.cpp cannot tell {config.num_slots} sequences apart")
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = config.num_gpu_layers
    model: llama_cpp.llama_model_p | None
    model = llama_cpp.llama_model_load_from_file(config.model_path.encode(), params)
    if model is None:
        raise ModelError(f"cannot load {config.model_path}: {_recent()}")
    if llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(
        model
    ):
        raise ModelError("recurrent models cannot share or cut back their cache")
    if not llama_cpp.llama_model_has_decoder(model):
        raise ModelError("the model writes no text: it has no decoder")
    return model


def _recent() -> str:
    return " | ".join(_recent_logs) or "no reason given"
