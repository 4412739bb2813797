"""What people use instead of an engine, and the ceiling: llama_cpp without us.

`python -m inference.bench.raw lock|bare CONFIG` reads a line of JSON for each piece
of work. `lock` is the library's `Llama`, one request after another. `bare` is a loop
over `llama_decode` with nothing around it: no text, no sampling but the maximum, no
queue, no other process to talk to, and all texts are tokens before the clock starts.
It shares the cells of the system prompt, continues conversations where they ended,
and mixes decoding with pieces of prompts, first come, first read.
"""

import ctypes
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import llama_cpp
import numpy as np

from inference.bench.contestants import RawConfig
from inference.bench.measures import Answer, read_private_bytes
from inference.bench.workloads import Agenda, Conversation, Workload
from inference.engine.chat_template import CHATML, Segment
from inference.types import ChatMessage, Usage

_KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}

# The sequence that keeps the system prompt; conversations come after it.
_HOLDER = 0


def answer_behind_lock(config: RawConfig, orders: Iterable[str]) -> Iterator[Any]:
    """Yield the answers' texts, each ended by an empty one."""
    llama = llama_cpp.Llama(
        config.model_path,
        n_ctx=config.num_cells,
        n_threads=config.num_threads,
        n_threads_batch=config.num_threads,
        verbose=False,
    )
    yield {}
    for order in orders:
        # The types cover both forms of an answer, and `stream` decides which comes.
        chunks: Any = llama.create_chat_completion(
            **json.loads(order), temperature=0.0, stream=True
        )
        for chunk in chunks:
            if text := chunk["choices"][0]["delta"].get("content"):
                yield {"text": text}
        yield {"text": ""}


@dataclass(frozen=True, slots=True)
class _Piece:
    """Tokens to compute from a position on; logits are wanted behind the last one."""

    tokens: list[int]
    start: int
    sequence: int
    is_last: bool


@dataclass(slots=True)
class _Talk:
    """A conversation in the loop; the tokens up to `num_computed` are in the cache."""

    sequence: int
    questions: list[list[int]]
    tokens: list[int] = field(default_factory=list)
    num_computed: int = 0
    num_left: int = 0
    answer: Answer | None = None
    num_turns: int = 0

    @property
    def num_pending(self) -> int:
        """Return how many tokens are not computed."""
        return len(self.tokens) - self.num_computed

    def cut(self, number: int) -> _Piece:
        """Return the next pending tokens, and count them as computed."""
        start = self.num_computed
        self.num_computed += number
        tokens = self.tokens[start : self.num_computed]
        return _Piece(tokens, start, self.sequence, not self.num_pending)


class BareLoop:
    """A model, a context and a batch."""

    def __init__(self, config: RawConfig) -> None:
        self._config = config
        llama_cpp.llama_backend_init()
        num_before = read_private_bytes()
        params = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(
            config.model_path.encode(), params
        )
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._num_vocab = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._context = llama_cpp.llama_init_from_model(
            self._model, self._build_params()
        )
        if not self._context:
            raise RuntimeError(f"no context for {config}")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(config.batch_tokens, 0, 1)
        self._held: list[int] = []
        self._num_system = 0
        self._pioneer: _Talk | None = None
        self._decode([_Piece([0], 0, _HOLDER, is_last=True)])
        llama_cpp.llama_memory_clear(self._memory, True)
        self.native_bytes = read_private_bytes() - num_before

    def play(self, workload: Workload) -> list[Answer]:
        """Answer a workload; each conversation has a sequence to itself."""
        talks = [
            _Talk(number, self._tokenize(conversation))
            for number, conversation in enumerate(workload.conversations, start=1)
        ]
        self._forget_other_system(talks[0].questions[0])
        agenda = Agenda(workload.order)
        active: list[_Talk] = []
        answers: list[Answer] = []
        while active or not agenda.is_empty:
            while len(active) < workload.num_parallel:
                number = agenda.take()
                if number is None:
                    break
                self._begin(talks[number], number, workload.answer_tokens)
                active.append(talks[number])
            self._step(active)
            for talk in [one for one in active if not one.num_left]:
                active.remove(talk)
                agenda.finish(talk.sequence - 1)
                assert talk.answer is not None
                answers.append(talk.answer)
        for talk in talks:
            llama_cpp.llama_memory_seq_rm(self._memory, talk.sequence, -1, -1)
        return answers

    def _begin(self, talk: _Talk, number: int, answer_tokens: int) -> None:
        talk.tokens = talk.tokens + talk.questions[talk.num_turns]
        talk.num_turns += 1
        talk.num_left = answer_tokens
        talk.answer = Answer(number, talk.num_turns, time.perf_counter())
        talk.answer.usage = Usage(len(talk.tokens), answer_tokens, talk.num_computed)

    def _step(self, active: list[_Talk]) -> None:
        """Compute one batch: a token of each that writes, then pieces of prompts."""
        writing = [talk for talk in active if talk.num_pending == 1]
        reading = [talk for talk in active if talk.num_pending > 1]
        if self._config.shortest_first:
            reading.sort(key=lambda talk: talk.num_pending)
        room = self._config.batch_tokens - len(writing)
        if writing:
            room = min(room, self._config.prefill_tokens)
        work = [(talk, 1) for talk in writing]
        for talk in reading:
            if room > 0 and not self._waits_for_system(talk):
                number = min(room, talk.num_pending)
                work.append((talk, number))
                room -= number
        rows = self._decode([talk.cut(number) for talk, number in work])
        self._hold_system()
        self._take_tokens([talk for talk, _ in work], rows)

    def _take_tokens(self, talks: list[_Talk], rows: list[int]) -> None:
        now_s = None
        for talk, row in zip(talks, rows, strict=True):
            if talk.num_pending:
                continue
            logits = llama_cpp.llama_get_logits_ith(self._context, row)
            array = np.ctypeslib.as_array(logits, shape=(self._num_vocab,))
            talk.tokens.append(int(array.argmax()))
            talk.num_left -= 1
            now_s = now_s or time.perf_counter()
            assert talk.answer is not None
            talk.answer.pieces.append((now_s, 1))

    def _waits_for_system(self, talk: _Talk) -> bool:
        """Share the system prompt, or return whether another is computing it."""
        if talk.num_computed:
            return False
        if not self._held:
            self._pioneer = self._pioneer or talk
            return self._pioneer is not talk
        num_held = len(self._held)
        llama_cpp.llama_memory_seq_cp(self._memory, _HOLDER, talk.sequence, 0, num_held)
        talk.num_computed = num_held
        assert talk.answer is not None
        talk.answer.usage = Usage(len(talk.tokens), talk.num_left, num_held)
        return False

    def _hold_system(self) -> None:
        """Keep the system prompt as soon as it is computed."""
        talk = self._pioneer
        if talk is None or talk.num_computed < self._num_system:
            return
        llama_cpp.llama_memory_seq_cp(
            self._memory, talk.sequence, _HOLDER, 0, self._num_system
        )
        self._held = talk.tokens[: self._num_system]
        self._pioneer = None

    def _forget_other_system(self, prompt: list[int]) -> None:
        if self._held != prompt[: len(self._held)]:
            llama_cpp.llama_memory_seq_rm(self._memory, _HOLDER, -1, -1)
            self._held = []

    def _tokenize(self, conversation: Conversation) -> list[list[int]]:
        """Return what each turn adds to the tokens of the conversation."""
        # Without the markup at the end, which asks for an answer.
        system = CHATML.render([ChatMessage("system", conversation.system)])[:-1]
        footer = Segment(CHATML.footer, is_markup=True)
        opening = self._tokenize_segments([*system, footer])
        added: list[list[int]] = []
        for question in conversation.questions:
            asked = CHATML.render([ChatMessage("user", question)])
            before = [] if not added else self._tokenize_segments([footer])
            added.append(before + self._tokenize_segments(asked))
        added[0] = opening + added[0]
        self._num_system = len(opening)
        return added

    def _tokenize_segments(self, segments: Iterable[Segment]) -> list[int]:
        tokens: list[int] = []
        for segment in segments:
            encoded = segment.text.encode()
            size = len(encoded) + 8
            buffer = (llama_cpp.llama_token * size)()
            number = llama_cpp.llama_tokenize(
                self._vocab,
                encoded,
                len(encoded),
                buffer,
                size,
                False,
                segment.is_markup,
            )
            tokens += buffer[:number]
        return tokens

    def _decode(self, pieces: list[_Piece]) -> list[int]:
        """Compute pieces in one batch; return the row of the last token of each."""
        batch, row, rows = self._batch, 0, []
        for piece in pieces:
            for position, token in enumerate(piece.tokens, start=piece.start):
                batch.token[row] = token
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = piece.sequence
                batch.logits[row] = 0
                row += 1
            batch.logits[row - 1] = int(piece.is_last)
            rows.append(row - 1)
        batch.n_tokens = row
        if code := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode returned {code}")
        return rows

    def _build_params(self) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self._config.num_cells
        params.n_batch = params.n_ubatch = self._config.batch_tokens
        params.n_seq_max = self._config.num_conversations + 1
        params.n_outputs_max = self._config.num_conversations + 1
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = self._config.num_threads
        params.no_perf = True
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
        params.type_k = params.type_v = _KV_TYPES[self._config.kv_type]
        return params


def play_bare(config: RawConfig, orders: Iterable[str]) -> Iterator[Any]:
    """Yield the measured answers of each workload."""
    loop = BareLoop(config)
    yield {"native_bytes": loop.native_bytes}
    for order in orders:
        answers = loop.play(decode_workload(json.loads(order)))
        yield {"answers": [asdict(answer) for answer in answers]}


def decode_workload(fields: dict[str, Any]) -> Workload:
    """Return the workload that `asdict` made the fields of."""
    conversations = tuple(
        Conversation(one["system"], tuple(one["questions"]))
        for one in fields["conversations"]
    )
    values = {**fields, "conversations": conversations, "order": tuple(fields["order"])}
    return Workload(**values)


def _drop_log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    """Say nothing: standard error belongs to the bench's table."""


_LOG_CALLBACK = llama_cpp.llama_log_callback(_drop_log)


def main() -> None:
    """Answer until standard input ends."""
    llama_cpp.llama_log_set(_LOG_CALLBACK, ctypes.c_void_p(0))
    serve = {"lock": answer_behind_lock, "bare": play_bare}[sys.argv[1]]
    for said in serve(RawConfig(**json.loads(sys.argv[2])), sys.stdin):
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
