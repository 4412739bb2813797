"""Where tokens are computed: a model in llama.cpp, with its KV cache.

Uses the low-level API of llama-cpp-python: the high-level class serves one request
at a time, and two threads on one of its objects abort the process.
"""

import ctypes
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from inference.engine.chat_template import Segment, Template
from inference.engine.config import EngineConfig
from inference.engine.grammar import LlamaGrammar, read_grammar
from inference.engine.llama_context import (
    can_cut,
    collect_logs,
    count_slots,
    create_context,
    estimate_depth,
    find_memory,
    load_model,
    say_why,
    use_adapters,
)
from inference.engine.operations import (
    CopyRange,
    Forget,
    Operation,
    Park,
    Restore,
    Truncate,
)
from inference.engine.own_template import SpecialTokens, choose_template
from inference.engine.runner import Outcome
from inference.engine.scheduler import Step
from inference.engine.vocabulary import Vocabulary
from inference.errors import ModelError
from inference.types import CompletionRequest

# What llama_decode returns besides failures.
_OUTCOMES = {0: Outcome.COMPUTED, 1: Outcome.NO_ROOM, 2: Outcome.ABORTED}

_LONG_ENOUGH_S = 0.5


class DecodeFailed(Exception):  # noqa: N818 - says what happened, as in errors.py
    """llama.cpp is in a state that only a new process gets out of."""


class LlamaRunner:
    """A GGUF model loaded by llama.cpp, with one context that all sequences share.

    Raises ModelError when the file cannot be used.
    """

    def __init__(self, config: EngineConfig) -> None:
        collect_logs()
        llama_cpp.llama_backend_init()
        self._abort_flag = ctypes.create_string_buffer(2)
        self._model = load_model(config)
        self._vocabulary = Vocabulary(self._model)
        # Before there is a context, which changes the number where YaRN stretches it.
        num_trained = int(llama_cpp.llama_model_n_ctx_train(self._model))
        self._context = create_context(self._model, config, self._abort_flag)
        self._memory = find_memory(self._context)
        self.can_cut = can_cut(self._model, config)
        # Restored cells of a window are placed by rules that we do not mirror.
        self.can_park = self.can_cut and not llama_cpp.llama_model_n_swa(self._model)
        self._parked: dict[int, NDArray[np.uint8]] = {}
        use_adapters(self._model, self._context, config.adapters)
        self._batch = llama_cpp.llama_batch_init(config.max_batch_tokens, 0, 1)
        self._max_batch_tokens = config.max_batch_tokens
        self._logit_rows: list[range] = []
        self.model = self._read_metadata("general.name") or Path(config.model_path).stem
        self.num_slots = count_slots(self._model, config)
        self.num_cells = int(llama_cpp.llama_n_ctx(self._context))
        self.limit_tokens = min(
            self.num_cells, int(num_trained * config.rope_factor) or self.num_cells
        )
        self.depth_cost = 0.0 if config.num_gpu_layers else estimate_depth(self._model)
        self.template = self._find_template(config)
        # Reads the weights once, too, so that the first request does not wait for them.
        self.cell_bytes = self._measure_cell_bytes()

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
            raise DecodeFailed(f"llama_decode returned {code}: {say_why()}")
        return _OUTCOMES[code]

    def logits_of(self, chunk_number: int, place: int = 0) -> NDArray[np.float32]:
        """Return logits of a last chunk of the step computed just now.

        Those behind its guess number `place`, counted from 1, or before the first.
        Raises DecodeFailed where they are no numbers. What is not a number stays in
        the cache and spreads: llama.cpp clears a recurrent state by multiplying it
        with zero, so the conversation that gets it next would be lost too.
        """
        return self._read_logits(self._logit_rows[chunk_number][place])

    def measure_steps(
        self, sizes: Iterable[int], has_logits: bool = True
    ) -> dict[int, float]:
        """Return the seconds of a step by its number of tokens; empties the cache.

        With logits behind all tokens, or behind the last one only.
        Of up to three tries the best; for a large model one, so that it takes seconds.
        """
        llama_cpp.llama_memory_clear(self._memory, True)
        costs_s = {}
        for size in sizes:
            tries_s: list[float] = []
            while len(tries_s) < 3 and sum(tries_s) < _LONG_ENOUGH_S:
                tries_s.append(self._time_step(size, has_logits))
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
        match operation:
            case CopyRange(source, target, start, stop):
                llama_cpp.llama_memory_seq_cp(self._memory, source, target, start, stop)
            case Truncate(slot, length):
                self._truncate(slot, length)
            case Park(slot, key):
                self._parked[key] = self._read_state(slot)
                self._truncate(slot, 0)
            case Restore(key, slot):
                state = self._parked.pop(key)
                if not llama_cpp.llama_state_seq_set_data(
                    self._context, _point_at(state), len(state), slot
                ):
                    raise DecodeFailed(f"llama.cpp refused {operation}: {say_why()}")
            case Forget(key):
                del self._parked[key]

    def _truncate(self, slot: int, length: int) -> None:
        if not llama_cpp.llama_memory_seq_rm(self._memory, slot, length, -1):
            raise DecodeFailed(f"llama.cpp refused to cut {slot} back to {length}")

    def _read_state(self, slot: int) -> NDArray[np.uint8]:
        """Return the keys and values of a slot, as llama.cpp stores them."""
        size = llama_cpp.llama_state_seq_get_size(self._context, slot)
        state = np.empty(size, np.uint8)
        if size != llama_cpp.llama_state_seq_get_data(
            self._context, _point_at(state), size, slot
        ):
            raise DecodeFailed(f"llama.cpp did not read slot {slot}: {say_why()}")
        return state

    def _measure_cell_bytes(self) -> int:
        """Return what a token takes in the cache; empties the cache."""
        sizes = []
        for num_tokens in (1, 2):
            self._compute_zeros(num_tokens)
            sizes.append(llama_cpp.llama_state_seq_get_size(self._context, 0))
            llama_cpp.llama_memory_clear(self._memory, True)
        return max(int(sizes[1] - sizes[0]), 1)

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

    def _read_logits(self, row: int) -> NDArray[np.float32]:
        """Return the logits behind a row of the batch; raises DecodeFailed."""
        pointer = llama_cpp.llama_get_logits_ith(self._context, row)
        logits = np.ctypeslib.as_array(pointer, shape=(self._vocabulary.num_tokens,))
        if not np.isfinite(logits.max()):
            raise DecodeFailed("the model computed what is not a number")
        return logits

    def _time_step(self, num_tokens: int, has_logits: bool) -> float:
        """Compute some tokens and forget them; return how long it took."""
        started_s = time.perf_counter()
        self._compute_zeros(num_tokens, has_logits)
        took_s = time.perf_counter() - started_s
        llama_cpp.llama_memory_clear(self._memory, True)
        return took_s

    def _compute_zeros(self, num_tokens: int, has_logits: bool = True) -> None:
        """Compute the first token of the vocabulary some times, in an empty cache."""
        batch = self._batch
        for row in range(num_tokens):
            batch.token[row] = batch.seq_id[row][0] = 0
            batch.pos[row] = row
            batch.n_seq_id[row] = 1
            batch.logits[row] = has_logits or row == num_tokens - 1
        batch.n_tokens = num_tokens
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise ModelError(f"{self.model} cannot compute: {say_why()}")
        try:
            self._read_logits(num_tokens - 1)  # waits for it
        except DecodeFailed as error:
            raise ModelError(f"{self.model} is damaged: {error}") from error


def _point_at(state: NDArray[np.uint8]) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
