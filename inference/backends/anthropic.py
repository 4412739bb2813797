"""Anthropic's messages API, through Anthropic's SDK.

The system prompt stands apart there, and messages of one role in a row are one. What
there is no word for is left out; a grammar is refused. Options:

    thinking_tokens    how much the model may think, on top of the length of the answer,
                       at least 1024; 0 (default) asks it not to, null lets it decide
    effort             "low", "medium", "high", "xhigh" or "max"; not said if empty
    cache              whether to mark what should be cached; true
    cache_min_tokens   how long a beginning must be to be marked; by the model's name
    omit, extra_body   fields of the request to leave out and to add
    temperature, top_p, top_k    where a request says nothing; if neither does, the
                       model's own, as those since Opus 4.7 refuse any other
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import anthropic
from anthropic.types import RawMessageStreamEvent

from inference.backends.anthropic_answer import (
    AnthropicAnswer,
    error_of_answer,
    read_message,
)
from inference.backends.api_answer import Answer
from inference.backends.api_backend import (
    ApiBackend,
    check_access,
    check_key,
    fill_endpoint,
)
from inference.backends.api_options import (
    check_names,
    choose_said,
    merge_messages,
    read_extra_body,
    read_flag,
    read_omit,
    read_said_sampling,
    read_thinking_tokens,
)
from inference.backends.base import BackendSettings
from inference.backends.homes import ANTHROPIC
from inference.backends.statuses import read_wait
from inference.errors import BackendError, RequestRejected
from inference.types import ChatMessage, CompletionRequest

VERSION = "2023-06-01"

_EFFORTS = ("", "low", "medium", "high", "xhigh", "max")
_SAMPLING = ("temperature", "top_p", "top_k")
_OWN = ("thinking_tokens", "effort", "cache", "cache_min_tokens", "omit", "extra_body")
_OPTIONS = (*_OWN, *_SAMPLING)
_OMITTABLE = (*_SAMPLING, "stop_sequences", "thinking")
_TAKEN = {"model", "messages", "system", "max_tokens", "stream", *_OMITTABLE}
_SMALLEST_THINKING = 1024
# Of a shorter beginning nothing is cached (Anthropic's guide to prompt caching, 2026).
# The first word that the model's name holds counts. A mark too many costs nothing.
_CACHE_MIN_TOKENS = (
    ("3-haiku", 2048),
    ("3-5-haiku", 2048),
    ("haiku", 4096),
    ("opus-4-5", 4096),
    ("opus-4-6", 4096),
    ("sonnet-4-6", 2048),
    ("", 1024),
)
# Rather too few than too many: a mark too many costs nothing.
_CHARS_PER_TOKEN = 3
_MARK = {"type": "ephemeral"}


@dataclass(frozen=True, slots=True)
class _Options:
    """How the row wants to be asked; see the head of this module."""

    thinking_tokens: int | None
    effort: str
    cache_min_tokens: int | None
    said: Mapping[str, object]
    omit: tuple[str, ...]
    extra_body: Mapping[str, object]


class AnthropicBackend(ApiBackend):
    """One of Anthropic's models, or one of a server that speaks its protocol."""

    foreign: ClassVar[tuple[type[Exception], ...]] = (
        anthropic.AnthropicError,
        *ApiBackend.foreign,
    )
    wrapping: ClassVar[tuple[type[Exception], ...]] = (anthropic.APIConnectionError,)

    def __init__(self, settings: BackendSettings) -> None:
        settings = fill_endpoint(settings, ANTHROPIC)
        check_settings(settings)
        self._options = _read_options(settings)
        super().__init__(settings, _build_headers(settings.key))
        self._client = anthropic.Anthropic(
            base_url=settings.endpoint,
            api_key="sent by the transport",  # None would read the environment
            max_retries=0,
            http_client=self._http,
            open_telemetry=False,  # None would read the environment
        )

    def bound_reply(self, request: CompletionRequest) -> int:
        """Return how much may be written, and thought on top of it."""
        return request.max_tokens + (self._options.thinking_tokens or 0)

    def build_body(self, request: CompletionRequest) -> Mapping[str, object]:
        """Return what is sent; raises RequestRejected for what there is no word for."""
        if request.grammar:
            raise RequestRejected("Anthropic knows no grammars, only JSON schemas")
        options = self._options
        system, messages = merge_messages(request.messages)
        body: dict[str, object] = {
            "model": self.model,
            "max_tokens": self.bound_reply(request),
            "messages": self._build_messages(system, messages),
            "stream": True,
            **self._build_choices(request),
        }
        if system:
            body["system"] = self._build_system(system)
        # white space alone is refused; the answer keeps to what is not sent
        if stop := [text for text in request.stop if text.strip()]:
            body["stop_sequences"] = stop
        if config := _build_output_config(request, options.effort):
            body["output_config"] = config
        for name in options.omit:
            body.pop(name, None)
        return {**body, **options.extra_body}

    def _build_choices(self, request: CompletionRequest) -> dict[str, object]:
        """Return how to think and sample; with thinking on there is no choice."""
        tokens = self._options.thinking_tokens
        if tokens:
            return {"thinking": {"type": "enabled", "budget_tokens": tokens}}
        fields: dict[str, object] = {}
        if tokens == 0:
            fields["thinking"] = {"type": "disabled"}
        said = choose_said(request, self._options.said)
        if "temperature" in said:  # its scale ends at 1
            fields["temperature"] = min(float(str(said["temperature"])), 1.0)
        elif said.get("top_p", 1.0) != 1.0:  # it takes one of the two
            fields["top_p"] = said["top_p"]
        if said.get("top_k"):
            fields["top_k"] = said["top_k"]
        return fields

    def _build_system(self, system: str) -> Sequence[Mapping[str, object]]:
        return [_build_block(system, is_marked=self._is_long_enough(len(system)))]

    def _build_messages(
        self, system: str, messages: Sequence[ChatMessage]
    ) -> Sequence[Mapping[str, object]]:
        """Return the messages; the end of the history is marked, if it is worth it.

        The last message is not: the next request has other passages in its place, and
        to write it into the cache would cost a quarter more.
        """
        num_chars = len(system) + sum(len(m.content) for m in messages[:-1])
        marked = len(messages) - 2 if self._is_long_enough(num_chars) else None
        return [
            {
                "role": message.role,
                "content": [_build_block(message.content, is_marked=index == marked)],
            }
            for index, message in enumerate(messages)
        ]

    def _is_long_enough(self, num_chars: int) -> bool:
        minimum = self._options.cache_min_tokens
        return minimum is not None and num_chars >= minimum * _CHARS_PER_TOKEN

    def _open(self, request: CompletionRequest) -> Iterable[object]:
        events: Iterable[object] = self._client.post(
            "/v1/messages",
            body=self.build_body(request),
            cast_to=cast("Any", RawMessageStreamEvent),  # a union, which mypy refuses
            stream=True,
            stream_cls=anthropic.Stream[RawMessageStreamEvent],
        )
        return events

    def _begin(self, request: CompletionRequest) -> Answer:
        return AnthropicAnswer(self.model, request.stop)

    def _translate_own(
        self, error: Exception, headers: Mapping[str, str]
    ) -> BackendError | None:
        if not isinstance(error, anthropic.APIStatusError):
            return None
        said = self._quote(read_message(error.body))
        return error_of_answer(error, said, read_wait(headers))


def _build_block(text: str, *, is_marked: bool) -> dict[str, object]:
    block: dict[str, object] = {"type": "text", "text": text}
    return {**block, "cache_control": _MARK} if is_marked else block


def _build_output_config(request: CompletionRequest, effort: str) -> dict[str, object]:
    config: dict[str, object] = {"effort": effort} if effort else {}
    if request.json_schema is not None:
        config["format"] = {"type": "json_schema", "schema": request.json_schema}
    return config


def _build_headers(key: str) -> dict[str, str]:
    headers = {
        "user-agent": f"Anthropic/Python {anthropic.__version__}",
        "anthropic-version": VERSION,
    }
    return {**headers, "x-api-key": key} if key else headers


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError unless Anthropic could be asked like this; asks nobody."""
    settings = fill_endpoint(settings, ANTHROPIC)
    check_access(settings)
    if settings.endpoint.rstrip("/").endswith(("/v1", "/messages")):
        raise ValueError(f"the endpoint must end before /v1/messages, like {ANTHROPIC}")
    check_key(settings, ANTHROPIC, "https://platform.claude.com/settings/keys")
    _read_options(settings)


def _read_options(settings: BackendSettings) -> _Options:
    """Return an operator's options with the defaults; raises ValueError."""
    options = settings.options
    check_names(options, _OPTIONS)
    effort = options.get("effort", "")
    if effort not in _EFFORTS:
        raise ValueError(f"effort must be one of {', '.join(_EFFORTS[1:])}")
    thinking_tokens = read_thinking_tokens(options, 0, _SMALLEST_THINKING)
    said = read_said_sampling(options)
    if thinking_tokens and said:
        raise ValueError(f"a model that thinks takes no {', '.join(sorted(said))}")
    return _Options(
        thinking_tokens,
        str(effort),
        _read_cache_min_tokens(settings) if read_flag(options, "cache") else None,
        said,
        read_omit(options, _OMITTABLE),
        read_extra_body(options, _TAKEN),
    )


def _read_cache_min_tokens(settings: BackendSettings) -> int:
    by_name = next(n for word, n in _CACHE_MIN_TOKENS if word in settings.model.lower())
    value = settings.options.get("cache_min_tokens", by_name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"cache_min_tokens must be a positive count, not {value!r}")
    return value


def build_backend(settings: BackendSettings) -> AnthropicBackend:
    """Return the backend of an operator's settings; raises ValueError."""
    return AnthropicBackend(settings)
