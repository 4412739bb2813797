"""A local GGUF model: hands requests over to the engine in its child process."""

import time
from collections.abc import Generator, Mapping
from pathlib import Path

from inference.backends.base import Backend, BackendSettings
from inference.backends.sampling_options import read_sampling
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.host import EngineHost, HostState, Ticket
from inference.engine.wire import Finished
from inference.errors import Unavailable
from inference.types import (
    SAMPLING_NAMES,
    CancelToken,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    StreamItem,
    Usage,
)

_POLL_S = 0.05


class LlamaCppBackend(Backend):
    """One GGUF file. The engine starts loading with the first `start` or call.

    A call that comes while the model loads, or restarts after a crash, waits for it
    as long as the first token may take.
    """

    def __init__(
        self, name: str, config: EngineConfig, policy: HostPolicy | None = None
    ) -> None:
        self.name = name
        self.model = Path(config.model_path).name
        self.host = EngineHost(config, policy)

    def start(self) -> None:
        """Begin to load the model in the background."""
        self.host.start()

    def is_ready(self) -> bool:
        """Return whether the model is loaded, or was never asked for yet."""
        return self.host.state in {HostState.READY, HostState.STOPPED}

    def is_full(self) -> bool:
        """Return whether the engine's queue is full."""
        return self.host.is_full

    def close(self) -> None:
        """Stop the engine process."""
        self.host.close()

    def stream(
        self, request: CompletionRequest, deadlines: Deadlines, cancel: CancelToken
    ) -> Generator[StreamItem, None, None]:
        """Yield the engine's text as deltas, then its completion."""
        self.host.start()
        if not self._wait_until_ready(deadlines.first_token_s, cancel):
            yield Completion(FinishReason.CANCELLED, Usage(0, 0), self.model)
            return
        ticket = self.host.submit(request)
        forget = cancel.on_cancel(ticket.cancel)
        try:
            yield from _read(ticket)
        finally:
            forget()
            ticket.cancel()

    def _wait_until_ready(self, timeout_s: float, cancel: CancelToken) -> bool:
        """Wait for the model; False when cancelled. Raises Unavailable."""
        until_s = time.monotonic() + timeout_s
        while not self.host.wait_until_ready(_POLL_S):
            if cancel.is_cancelled:
                return False
            is_hopeless = self.host.state is not HostState.LOADING
            if is_hopeless or time.monotonic() >= until_s:
                reason = self.host.why_broken or f"engine is {self.host.state.value}"
                raise Unavailable(reason)
        return True


def _read(ticket: Ticket) -> Generator[StreamItem, None, None]:
    while True:
        event = ticket.take()
        if isinstance(event, Finished):
            yield event.completion
            return
        yield Delta(event.text)


_INTEGER_OPTIONS = {
    "num_cells",
    "max_sequences",
    "max_retained",
    "max_waiting",
    "max_batch_tokens",
    "max_prefill_tokens",
    "num_threads",
    "num_gpu_layers",
}
_NUMBERS = {"quote_lean", "quote_doubt", "quote_also_from"}
_OTHER_OPTIONS = {"template", "reuse_prefixes", "thinking", "quotes"} | _NUMBERS


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError or OSError unless an engine could be set up like this."""
    build_config(settings.model, settings.options)
    with Path(settings.model).open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{settings.model} is not a GGUF file")


def build_config(model: str, options: Mapping[str, object]) -> EngineConfig:
    """Return the engine's set-up of an operator's options; raises ValueError."""
    known = _INTEGER_OPTIONS | _OTHER_OPTIONS | set(SAMPLING_NAMES)
    if unknown := set(options) - known:
        names = ", ".join(sorted(known))
        raise ValueError(f"unknown options {sorted(unknown)}; there are {names}")
    for name in _INTEGER_OPTIONS & set(options):
        value = options[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{name} must be a whole number, not {value!r}")
    for name in _NUMBERS & set(options):
        value = options[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{name} must be a number from 0, not {value!r}")
    sampling = read_sampling(options)
    others = {name: options[name] for name in set(options) - set(SAMPLING_NAMES)}
    return EngineConfig(model, sampling=sampling, **others)  # type: ignore[arg-type]  # checked above


def build_backend(settings: BackendSettings) -> LlamaCppBackend:
    """Return the backend of an operator's row; raises ValueError."""
    config = build_config(settings.model, settings.options)
    return LlamaCppBackend(settings.name, config)
