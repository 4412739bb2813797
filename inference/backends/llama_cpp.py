"""A local GGUF model: hands requests over to the engine in its child process."""

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from inference.backends.base import Backend, BackendSettings
from inference.backends.llama_options import build_config, find_adapters
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.host import EngineHost, HostState
from inference.engine.ticket import Ticket
from inference.engine.wire import Finished
from inference.engine_stats import EngineStats
from inference.errors import ModelError, Unavailable
from inference.model_files.card import (
    ModelCard,
    build_card,
    check_adapter,
    check_model,
)
from inference.model_files.header import read_header
from inference.model_files.library import read_model
from inference.model_files.machine import read_free_bytes
from inference.model_files.memory import Load, describe, estimate
from inference.types import (
    CancelToken,
    ChatMessage,
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

    def predict_ttft_s(self, request: CompletionRequest) -> float | None:
        """Return what the host foresees."""
        return self.host.predict_ttft_s(request)

    def warm(self, openings: Sequence[tuple[ChatMessage, ...]]) -> None:
        """Have the engine read the openings, as prompts of one token's answer."""
        self.host.warm(
            [
                CompletionRequest(opening, max_tokens=1, request_id="warm-up")
                for opening in openings
            ]
        )

    def read_engine(self) -> EngineStats | None:
        """Return the host's figures, with the bytes of the cache; None if not loaded.

        Reads the model's header once.
        """
        loaded = self.host.loaded
        if loaded is None:
            return None
        return replace(self.host.read_stats(), cache_bytes=self._cache_bytes)

    @cached_property
    def _cache_bytes(self) -> int:
        """The bytes of keys and values, by the model's header; 0 if it is gone."""
        config = self.host.config
        try:
            header = read_header(Path(config.model_path))
            card = build_card(header)
        except (OSError, ModelError):
            return 0
        return estimate(header, card, _build_load(config, card)).cache_bytes

    def close(self) -> None:
        """Stop the engine process."""
        self.host.close()

    def stream(
        self, request: CompletionRequest, deadlines: Deadlines, cancel: CancelToken
    ) -> Generator[StreamItem, None, None]:
        """Yield the engine's text as deltas, then its completion."""
        self.host.start()
        until_s = time.monotonic() + deadlines.first_token_s
        is_ready = self._wait_until_ready(until_s, cancel)
        if cancel.is_cancelled or not is_ready:
            yield Completion(FinishReason.CANCELLED, Usage(0, 0), self.model)
            return
        ticket = self.host.submit(request, max(until_s - time.monotonic(), 0.0))
        forget = cancel.on_cancel(ticket.cancel)
        try:
            yield from _read(ticket)
        finally:
            forget()
            ticket.cancel()

    def _wait_until_ready(self, until_s: float, cancel: CancelToken) -> bool:
        """Wait for the model; False when cancelled. Raises Unavailable."""
        while not self.host.wait_until_ready(_POLL_S):
            if cancel.is_cancelled:
                return False
            state = self.host.state  # by now it may be ready
            is_hopeless = state in {HostState.BROKEN, HostState.STOPPED}
            if is_hopeless or time.monotonic() >= until_s:
                raise Unavailable(self.host.why_broken or f"engine is {state.value}")
        return True


def _read(ticket: Ticket) -> Generator[StreamItem, None, None]:
    while True:
        event = ticket.take()
        if isinstance(event, Finished):
            yield event.completion
            return
        yield Delta(event.text)


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError or OSError unless an engine could be set up like this."""
    config = build_config(settings.model, settings.options)
    try:
        check_model(read_model(Path(settings.model)))
        for path in find_adapters(config):
            check_adapter(read_header(path))
    except ModelError as error:
        raise ValueError(str(error)) from error


def describe_need(settings: BackendSettings) -> tuple[bool, str]:
    """Return whether the model fits this machine's memory, and a sentence why.

    Reads headers only. Raises ValueError or OSError like `check_settings`.
    """
    config = build_config(settings.model, settings.options)
    try:
        header = read_model(Path(settings.model))
        more_bytes = sum(path.stat().st_size for path in find_adapters(config))
        load = _build_load(config, build_card(header))
        return describe(header, load, read_free_bytes(), more_bytes)
    except ModelError as error:
        raise ValueError(str(error)) from error


def _build_load(config: EngineConfig, card: ModelCard) -> Load:
    """Return what the engine will make of its set-up, as `LlamaRunner` does."""
    is_plain = config.num_gpu_layers or config.flash_attention == "off"
    has_blocks = card.key_width % 32 == card.value_width % 32 == 0
    auto = "q8_0" if has_blocks and not is_plain else "f16"
    keys, values = (
        auto if name == "auto" else name
        for name in (config.kv_type_k, config.kv_type_v)
    )
    return Load(
        num_cells=config.num_cells,
        num_sequences=config.num_slots,
        num_outputs=config.num_shared_slots + config.max_drafted_tokens,
        batch_tokens=config.max_batch_tokens,
        kv_type_k=keys,
        kv_type_v=values,
        has_flash_attention=config.flash_attention != "off",
        has_full_windows=config.full_windows,
        num_gpu_layers=config.num_gpu_layers,
    )


def build_backend(settings: BackendSettings) -> LlamaCppBackend:
    """Return the backend of an operator's row; raises ValueError."""
    config = build_config(settings.model, settings.options)
    return LlamaCppBackend(settings.name, config)
