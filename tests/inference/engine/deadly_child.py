"""The engine's child with requests that it dies of, run in its place by tests.

It is the product's own; only a question that holds `hemlock WORD` aborts it, as a
failed assertion in native code does: at `build` when the prompt is made, at `read` when
it is read, at `write` after five tokens of the reply. With `hog` it takes 300 MB.
"""

import os
import signal
import sys
import time

from inference.engine import child
from inference.engine.binding import LlamaRunner
from inference.engine.reply import ReplyBuilder

POISON = "hemlock"
_build, _compute = ReplyBuilder.build, LlamaRunner.compute
_doses, _taken = {}, []


def build(self, request):
    words = request.messages[-1].content.split()
    if POISON not in words:
        return _build(self, request)
    place = words[words.index(POISON) + 1]
    if place == "build":
        die()
    prompt, reply = _build(self, request)
    _doses[tuple(prompt)] = place
    return prompt, reply


def compute(self, step):
    for chunk in step.chunks:
        sequence = chunk.sequence
        prompt = tuple(sequence.tokens[: sequence.num_prompt_tokens])
        place = _doses.get(prompt)
        if place == "read" or (place == "write" and sequence.num_generated >= 5):
            die()
        if place == "hog":
            _doses[prompt] = "full"
            for _ in range(30):
                _taken.append(b"x" * 10_000_000)
                time.sleep(0.01)
    return _compute(self, step)


def die():
    os.kill(os.getpid(), signal.SIGABRT)


if __name__ == "__main__":
    ReplyBuilder.build = build  # type: ignore[method-assign]
    LlamaRunner.compute = compute  # type: ignore[method-assign]
    sys.exit(child.main())
