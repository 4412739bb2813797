"""Plays a recording to a client and notes in the ledger what it was told."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from tests.inference.providers.dialect import quote
from tests.inference.providers.ledger import Call
from tests.inference.providers.recordings import (
    Block,
    Direction,
    Recording,
    Step,
    Text,
)
from tests.inference.providers.tokens import Prompt, Reading, Reply
from tests.inference.providers.wire import Connection, Gone

FLOOD_BYTES = 50 * 1024 * 1024
HANG_S = 600.0

_SOME = 3
_PROMPT_NAMES = {"prompt_tokens", "uncached_tokens"}
_COMPLETION_NAMES = {
    "completion_tokens", "completion_so_far", "some_text_tokens", "some_tokens",
    "least_tokens",
    "text_tokens", "text_so_far",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model reads and writes in one call."""

    prompt: Prompt
    reading: Reading
    reply: Reply


class Player:
    """One answer to one request. Raises Gone when the client leaves."""

    def __init__(
        self,
        connection: Connection,
        recording: Recording,
        call: Call,
        values: Mapping[str, object],
        generation: Generation | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self._connection = connection
        self._recording = recording
        self._call = call
        self._generation = generation
        self._values = {**values, **_count(generation)}
        self._pause_s = pause_s

    def play(self) -> bool:
        """Send the answer; return whether the connection may be used again."""
        self._call.status = self._recording.status
        if self._recording.is_stream:
            return self._play_stream()
        return self._play_whole()

    def _play_whole(self) -> bool:
        """Send a head and a body of known length."""
        body = b""
        for step in self._recording.steps:
            if isinstance(step, Text):
                body += step.fill(self._values)
            elif isinstance(step, Direction) and step.verb == "gzip bomb":
                body += _build_bomb()
            elif isinstance(step, Direction):
                return self._follow(step)
        assert self._recording.head is not None
        head = self._recording.head.fill(self._values)
        head += f"content-length: {len(body)}\r\n\r\n".encode()
        self._connection.send(head + body)
        self._call.saw_end = True
        return True

    def _play_stream(self) -> bool:
        """Send a head and then chunk after chunk; the last one with the end mark."""
        assert self._recording.head is not None
        self._connection.send(self._recording.head.fill(self._values) + b"\r\n")
        self._bill_prompt()
        steps = list(self._unroll(self._recording.steps))
        for number, (step, values) in enumerate(steps, start=1):
            if isinstance(step, Direction):
                return self._follow(step)
            is_piece = "piece" in step.names
            if is_piece and self._connection.wait_until_left(self._pause_s):
                raise Gone
            data = _chunk(step.fill(values))
            is_end = number == len(steps)
            self._connection.send(data + (b"0\r\n\r\n" if is_end else b""))
            self._note(step, values)
        self._call.saw_end = True
        return True

    def _follow(self, direction: Direction) -> bool:
        """Break the answer as told; the connection is of no use afterwards."""
        match direction.verb:
            case "hang":
                self._connection.wait_until_left(HANG_S)
            case "reset":
                self._connection.reset()
            case "flood":
                part = _chunk(b"x" * (1 << 20))
                for _ in range(FLOOD_BYTES >> 20):
                    self._connection.send(part)
        return False

    def _unroll(
        self, steps: tuple[Step, ...]
    ) -> Iterator[tuple[Text | Direction, Mapping[str, object]]]:
        """Yield each step as often as it comes, with its values."""
        for step in steps:
            if not isinstance(step, Block):
                yield step, self._values
                continue
            for values in self._values_of(step.verb):
                for inner in step.steps:
                    yield inner, values

    def _values_of(self, verb: str) -> Iterator[Mapping[str, object]]:
        """Yield the values of each round of a block."""
        assert self._generation is not None
        reply = self._generation.reply
        if verb == "if usage":
            yield from [self._values] * bool(self._values["wants_usage"])
        elif verb == "if thoughts":
            yield from [self._values] * bool(reply.reasoning_tokens)
        else:
            pieces = reply.pieces[:_SOME] if verb == "for some pieces" else reply.pieces
            for number, piece in enumerate(pieces, start=1):
                yield {**self._values, **self._count_so_far(number, piece)}

    def _count_so_far(self, number: int, piece: str) -> Mapping[str, object]:
        assert self._generation is not None
        written = self._generation.reply.reasoning_tokens + number
        return {
            "piece": quote(piece),
            "text_so_far": number,
            "completion_so_far": written,
            "total_so_far": len(self._generation.prompt.tokens) + written,
        }

    def _bill_prompt(self) -> None:
        """The prompt is read, and the thoughts are thought, when the head goes out."""
        if self._generation is None:
            return
        call, reading = self._call, self._generation.reading
        call.prompt_tokens = len(self._generation.prompt.tokens)
        call.cached_tokens = reading.cached_tokens
        call.cache_write_tokens = reading.cache_write_tokens
        call.reasoning_tokens = self._generation.reply.reasoning_tokens
        call.completion_tokens = call.reasoning_tokens

    def _note(self, step: Text, values: Mapping[str, object]) -> None:
        """Bill what was written and remember what the client was told of it."""
        if "piece" in step.names:
            self._call.completion_tokens = int(str(values["completion_so_far"]))
        if "first_token" in step.names:  # it is written before anything is said
            self._call.completion_tokens = max(self._call.completion_tokens, 1)
            self._call.told_completion_tokens = 1
        if step.names & _PROMPT_NAMES:
            self._call.told_prompt_tokens = self._call.prompt_tokens
        if step.names & _COMPLETION_NAMES:
            self._call.told_completion_tokens = self._call.completion_tokens


def _count(generation: Generation | None) -> Mapping[str, object]:
    """Return the counts that a recording may tell, for the whole answer."""
    if generation is None:
        return {}
    reading, reply = generation.reading, generation.reply
    prompt_tokens = len(generation.prompt.tokens)
    text_tokens = len(reply.pieces)
    completion_tokens = text_tokens + reply.reasoning_tokens
    some_tokens = min(_SOME, text_tokens)
    uncached = prompt_tokens - reading.cached_tokens - reading.cache_write_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "cached_tokens": reading.cached_tokens,
        "cache_write_tokens": reading.cache_write_tokens,
        "uncached_tokens": uncached,
        "text_tokens": text_tokens,
        "reasoning_tokens": reply.reasoning_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "some_text_tokens": some_tokens,
        "some_tokens": some_tokens + reply.reasoning_tokens,
        "some_total": prompt_tokens + some_tokens + reply.reasoning_tokens,
        # before the first piece
        "text_so_far": 0,
        "completion_so_far": reply.reasoning_tokens,
        "first_token": 1,
        "least_tokens": max(reply.reasoning_tokens, 1),
        "total_so_far": prompt_tokens + reply.reasoning_tokens,
    }


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@cache
def _build_bomb() -> bytes:
    """Return 50 MB of zeros in 50 kB."""
    compressor = zlib.compressobj(9, wbits=31)
    packed = compressor.compress(bytes(FLOOD_BYTES))
    return packed + compressor.flush()
