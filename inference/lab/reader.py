"""A GGUF file as a function from prompts to answers, on the project's own engine."""

from collections.abc import Callable, Sequence
from pathlib import Path

from inference.engine.binding import LlamaRunner
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.wire import Refused, Text
from inference.types import ChatMessage, CompletionRequest

Prompt = tuple[ChatMessage, ...]
Reader = Callable[[Sequence[Prompt]], list[str]]
MOST_ANSWER_TOKENS = 200


def open_reader(path: Path, num_threads: int | None = None) -> Reader:
    """Return a function that answers prompts with the likeliest tokens, in their order.

    It raises the engine's own error for a prompt that is too long.
    """
    config = EngineConfig(str(path), num_threads=num_threads)
    engine = Engine(LlamaRunner(config), config)

    def read(prompts: Sequence[Prompt]) -> list[str]:
        answers = [""] * len(prompts)
        for number, prompt in enumerate(prompts):
            request = CompletionRequest(prompt, max_tokens=MOST_ANSWER_TOKENS)
            for event in engine.submit(str(number), request):
                if isinstance(event, Refused):
                    raise event.error
        while engine.has_work:
            for event in engine.step():
                if isinstance(event, Text):
                    answers[int(event.key)] += event.text
        return answers

    return read
