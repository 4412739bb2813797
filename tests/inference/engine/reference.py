"""What a reply must be, written in the plainest way: one request, one token at a time.

The engine on a `DicedRunner` has to give the same, whatever else it does.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from inference.engine.reply import ReplyBuilder
from inference.errors import BackendError
from inference.types import FinishReason
from tests.inference.engine.fake_runner import (
    END,
    LETTERS,
    NUM_VOCAB,
    FakeRunner,
    find_next,
)


class DicedRunner(FakeRunner):
    """Any token may follow, some are likelier; still a hash of what the cache holds.

    Before it computes a chunk, it looks at every cell that the chunk's slot sees:
    each must hold the sequence's own token at that place. So a cell of another
    sequence that becomes visible is betrayed at once, whether or not a text changes.
    """

    def __init__(self, *args, sharpness=3.0, **options):
        super().__init__(*args, **options)
        self.sharpness = sharpness

    def logits_behind(self, tokens):
        digest = hashlib.blake2b(repr(tokens).encode(), digest_size=8).digest()
        dice = np.random.default_rng(int.from_bytes(digest))
        logits = dice.normal(0, 1, NUM_VOCAB).astype(np.float32)
        logits[np.frombuffer(LETTERS, np.uint8)] += self.sharpness
        copied = find_next(tokens, int(logits.argmax()))
        logits[copied] += self.sharpness * dice.integers(0, 3)
        if self.end_every and dice.integers(0, self.end_every) == 0:
            logits[END] = logits.max() + 1
        return logits

    def _compute_chunk(self, chunk):
        seen = self.memory.tokens_of(chunk.slot)
        own = [*chunk.sequence.tokens[: chunk.start]]
        assert seen == own, f"{chunk.sequence.key} sees what is not its own"
        logits = []
        for position, token in enumerate(chunk.tokens, start=chunk.start):
            self.memory.write(chunk.slot, position, token)
            seen.append(token)
            logits.append(self.logits_behind(seen))
        return logits[len(logits) - max(chunk.num_logits, 1) :]


@dataclass
class Written:
    """A whole reply, or the error that it ended with."""

    text: str
    num_tokens: int
    finish_reason: FinishReason | None
    prompt: list[int]
    tokens: list[int]
    error: BackendError | None = None


def write_alone(runner, config, request):
    """Return the reply to a request that is accepted, by the definition of one."""
    prompt, reply = ReplyBuilder(runner, config).build(request)
    written = Written("", 0, None, prompt, [*prompt])
    try:
        _write(runner, request, reply, written)
    except BackendError as error:
        written.error = error
    finally:
        reply.close()
    return written


def _write(runner, request, reply, written):
    tokens = written.tokens
    while written.finish_reason is None:
        token = reply.choose(runner.logits_behind(tokens), tokens)
        if runner.is_end(token):
            written.finish_reason = FinishReason.STOP
            break
        tokens.append(token)
        written.num_tokens += 1
        written.text += reply.take(token, runner.piece_of(token))
        if reply.is_complete:
            written.finish_reason = FinishReason.STOP
        elif written.num_tokens == request.max_tokens:
            written.finish_reason = FinishReason.LENGTH
    written.text += reply.finish()
