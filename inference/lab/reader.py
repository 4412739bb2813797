"""A GGUF file as a function from prompts to answers, on the project's own engine."""

from collections.abc import Callable, Sequence
from pathlib import Path

from inference.engine.binding import LlamaRunner
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.wire import Refused, Text
from inference.types import CompletionRequest

Reader = Callable[[Sequence[CompletionRequest]], list[str]]


def open_reader(
    path: Path,
    num_threads: int | None = None,
    quote_lean: float = 0.0,
    quote_doubt: float = 0.0,
) -> Reader:
    """Return a function that answers requests as the demo does, in their order.

    It raises the engine's own error for a prompt that is too long.
    """
    config = EngineConfig(
        str(path),
        num_threads=num_threads,
        quotes=True,
        quote_lean=quote_lean,
        quote_doubt=quote_doubt,
    )
    engine = Engine(LlamaRunner(config), config)

    def read(requests: Sequence[CompletionRequest]) -> list[str]:
        answers = [""] * len(requests)
        for number, request in enumerate(requests):
            for event in engine.submit(str(number), request):
                if isinstance(event, Refused):
                    raise event.error
        while engine.has_work:
            for event in engine.step():
                if isinstance(event, Text):
                    answers[int(event.key)] += event.text
        return answers

    return read
