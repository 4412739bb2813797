"""Google's Gemini API (of AI Studio), through Google's SDK.

The system prompt stands apart there, and messages of one role in a row are one. What
there is no word for is left out; a grammar is refused. Options:

    thinking_tokens    how much the model may think, on top of the length of the answer;
                       0 (default) is off, which some models refuse, null lets the
                       model decide
    omit, extra_body   fields of the request to leave out and to add
    temperature, top_p, top_k, seed    where a request says nothing; if neither does,
                       the model's own

Equal beginnings of prompts are cached by Google without being asked.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import httpx2
from google import genai
from google.genai import errors, types
from google.genai.client import DebugConfig

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
    read_omit,
    read_said_sampling,
    read_thinking_tokens,
)
from inference.backends.base import BackendSettings
from inference.backends.connection import build_tls
from inference.backends.gemini_answer import (
    GeminiAnswer,
    error_of_answer,
    read_message,
)
from inference.backends.homes import GEMINI
from inference.backends.statuses import read_wait
from inference.errors import BackendError, RequestRejected
from inference.types import CompletionRequest

VERSION = "v1beta"

_SAMPLING = ("temperature", "top_p", "top_k", "seed")
_OPTIONS = ("thinking_tokens", "omit", "extra_body", *_SAMPLING)
_OMITTABLE = (*_SAMPLING, "stop_sequences", "thinking_config")
_TAKEN = {"contents", "systemInstruction"}
_MAX_STOPS = 5
_ROLES = {"user": "user", "assistant": "model"}


@dataclass(frozen=True, slots=True)
class _Options:
    """How the row wants to be asked; see the head of this module."""

    thinking_tokens: int | None
    said: Mapping[str, object]
    omit: tuple[str, ...]
    extra_body: Mapping[str, object]


class GeminiBackend(ApiBackend):
    """One of Google's models."""

    foreign: ClassVar[tuple[type[Exception], ...]] = (
        errors.APIError,
        *ApiBackend.foreign,
    )

    def __init__(self, settings: BackendSettings) -> None:
        settings = fill_endpoint(settings, GEMINI)
        check_settings(settings)
        self._options = _read_options(settings)
        super().__init__(settings, _build_headers(settings.key))
        self._client = _build_client(settings.endpoint, self._http)

    def bound_reply(self, request: CompletionRequest) -> int:
        """Return how much may be written, and thought on top of it."""
        return request.max_tokens + (self._options.thinking_tokens or 0)

    def build_config(
        self, request: CompletionRequest
    ) -> tuple[list[types.Content], types.GenerateContentConfig]:
        """Return what is sent; raises RequestRejected for what there is no word for."""
        if request.grammar:
            raise RequestRejected("Gemini knows no grammars, only JSON schemas")
        options = self._options
        system, messages = merge_messages(request.messages)
        fields: dict[str, object] = {
            "max_output_tokens": self.bound_reply(request),
            "automatic_function_calling": {"disable": True},
            "automatic_continuation": False,  # requests of the SDK's own
            **self._build_choices(request),
        }
        if system:
            fields["system_instruction"] = system
        if request.stop:
            fields["stop_sequences"] = list(request.stop[:_MAX_STOPS])
        if request.json_schema is not None:
            fields["response_mime_type"] = "application/json"
            fields["response_json_schema"] = request.json_schema
        for name in options.omit:
            fields.pop(name, None)
        contents = [
            types.Content(
                role=_ROLES[message.role], parts=[types.Part(text=message.content)]
            )
            for message in messages
        ]
        return contents, types.GenerateContentConfig.model_validate(fields)

    def _build_choices(self, request: CompletionRequest) -> dict[str, object]:
        fields: dict[str, object] = {}
        if self._options.thinking_tokens is not None:
            fields["thinking_config"] = {
                "thinking_budget": self._options.thinking_tokens
            }
        said = choose_said(request, self._options.said)
        fields |= {name: said[name] for name in _SAMPLING if name in said}
        if not fields.get("top_k", True):
            del fields["top_k"]  # 0 means all, and is refused
        return fields

    def _open(self, request: CompletionRequest) -> Iterable[object]:
        contents, config = self.build_config(request)
        if self._options.extra_body:
            extra_body = dict(self._options.extra_body)
            config.http_options = types.HttpOptions(extra_body=extra_body)
        chunks = self._client.models.generate_content_stream(
            model=self.model, contents=contents, config=config
        )
        return _begun(iter(chunks))

    def _begin(self, request: CompletionRequest) -> Answer:
        return GeminiAnswer(self.model, request.stop)

    def _translate_own(
        self, error: Exception, headers: Mapping[str, str]
    ) -> BackendError | None:
        if isinstance(error, errors.UnknownApiResponseError):
            # its message is what the model wrote
            error.args = ("an event is no JSON",)
        if not isinstance(error, errors.APIError):
            return None
        is_event = not isinstance(error.response, httpx2.Response)
        said = self._quote(read_message(error))
        return error_of_answer(error, said, is_event, read_wait(headers))


def _begun(chunks: Iterator[object]) -> Iterator[object]:
    """Return the chunks of a stream whose request is made, which the first one does."""
    return chain([next(chunks, None)], chunks)


def _build_client(endpoint: str, http: httpx2.Client) -> genai.Client:
    """Return the SDK's client; all that it would read in the environment is given.

    It has clients of its own for what is never done here, and no switch for them; with
    our TLS context they need not read certificates twice, which takes 70 ms.
    """
    return genai.Client(
        api_key="sent by the transport",
        vertexai=False,
        debug_config=DebugConfig(client_mode="", replays_directory="", replay_id=""),
        http_options=types.HttpOptions(
            base_url=endpoint,
            api_version=VERSION,
            httpx_client=http,
            async_client_args={"verify": build_tls(), "ssl": build_tls()},
            retry_options=types.HttpRetryOptions(attempts=1),
        ),
    )


def _build_headers(key: str) -> dict[str, str]:
    headers = {"user-agent": f"google-genai-sdk/{genai.__version__}"}
    return {**headers, "x-goog-api-key": key} if key else headers


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError unless Gemini could be asked like this; asks nobody."""
    settings = fill_endpoint(settings, GEMINI)
    check_access(settings)
    if any(c in settings.model for c in "?#:{}") or ".." in settings.model:
        raise ValueError("the model is a name like gemini-2.5-flash")
    if settings.endpoint.rstrip("/").endswith(("/v1", "/v1beta", "/models")):
        raise ValueError(f"the endpoint must end before /{VERSION}, like {GEMINI}")
    check_key(settings, GEMINI, "https://aistudio.google.com/apikey")
    _read_options(settings)


def _read_options(settings: BackendSettings) -> _Options:
    """Return an operator's options with the defaults; raises ValueError."""
    options = settings.options
    check_names(options, _OPTIONS)
    return _Options(
        read_thinking_tokens(options, 0),
        read_said_sampling(options),
        read_omit(options, _OMITTABLE),
        read_extra_body(options, _TAKEN),
    )


def build_backend(settings: BackendSettings) -> GeminiBackend:
    """Return the backend of an operator's settings; raises ValueError."""
    return GeminiBackend(settings)
