"""Any server that speaks the OpenAI chat completions protocol, through OpenAI's SDK.

Hosted ones (Groq, Mistral, OpenRouter, Azure ...) and one's own (vLLM, llama-server,
Ollama, TGI); for OpenAI itself there is openai.py. Each endpoint is asked directly: no
proxy, no redirect, nothing from the environment. Options for servers that differ:

    max_tokens_field   "max_tokens" or "max_completion_tokens"; the second is what
                       OpenAI's newer models insist on, and what others do not know
    dialect            "openai", "llama_server" or "vllm": the words for what OpenAI's
                       protocol has none for (openai_dialects.py)
    omit               fields of the request that the server or model refuses
    extra_body         fields to add to the request
    temperature ...    the values of `SamplingParams`, where a request says nothing
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletionChunk

from inference.backends.api_answer import Answer
from inference.backends.api_backend import ApiBackend, check_access
from inference.backends.api_options import check_names, read_extra_body, read_omit
from inference.backends.base import BackendSettings
from inference.backends.homes import OPENAI
from inference.backends.openai_answer import (
    OpenAIAnswer,
    error_of_event,
    error_of_refusal,
    read_message,
)
from inference.backends.openai_dialects import DIALECTS, build_sampling_fields
from inference.backends.sampling_options import read_sampling
from inference.backends.statuses import read_wait
from inference.errors import BackendError
from inference.types import (
    SAMPLING_NAMES,
    CompletionRequest,
    SamplingParams,
)

MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
OMITTABLE = ("temperature", "top_p", "seed", "stop", "stream_options")
OWN_FIELDS = {"model", "messages", "stream", "n", *MAX_TOKENS_FIELDS, *OMITTABLE}
_OPTIONS = ("max_tokens_field", "dialect", "omit", "extra_body", *SAMPLING_NAMES)


@dataclass(frozen=True, slots=True)
class _Options:
    """How a server differs; see the head of this module."""

    max_tokens_field: str
    dialect: str
    sampling: SamplingParams
    omit: tuple[str, ...]
    extra_body: Mapping[str, object]


class OpenAIProtocol(ApiBackend):
    """One model behind one base URL, asked in OpenAI's protocol."""

    foreign: ClassVar[tuple[type[Exception], ...]] = (
        openai.OpenAIError,
        *ApiBackend.foreign,
    )
    wrapping: ClassVar[tuple[type[Exception], ...]] = (openai.APIConnectionError,)

    def __init__(self, settings: BackendSettings) -> None:
        super().__init__(settings, _build_headers(settings.key))
        self._client = openai.OpenAI(
            base_url=settings.endpoint,
            api_key="sent by the transport",  # None would read the environment
            max_retries=0,
            http_client=self._http,
        )

    @abstractmethod
    def build_body(self, request: CompletionRequest) -> Mapping[str, object]:
        """Return what is sent; raises RequestRejected for what there is no word for."""

    def _open(self, request: CompletionRequest) -> Iterable[object]:
        return self._client.post(
            "/chat/completions",
            body=self.build_body(request),
            cast_to=ChatCompletionChunk,
            stream=True,
            stream_cls=openai.Stream[ChatCompletionChunk],
        )

    def _begin(self, request: CompletionRequest) -> Answer:
        return OpenAIAnswer(self.model, request.stop)

    def _translate_own(
        self, error: Exception, headers: Mapping[str, str]
    ) -> BackendError | None:
        if isinstance(error, openai.APIStatusError):
            said = self._quote(read_message(error.body))
            return error_of_refusal(error, said, read_wait(headers))
        if isinstance(error, openai.APIError) and not isinstance(error, self.wrapping):
            return error_of_event(error, self._quote(read_message(error.body)))
        return None


class OpenAICompatibleBackend(OpenAIProtocol):
    """One model of any server that speaks the protocol."""

    def __init__(self, settings: BackendSettings) -> None:
        check_settings(settings)
        self._options = _read_options(settings)
        super().__init__(settings)

    def build_body(self, request: CompletionRequest) -> Mapping[str, object]:
        """Return what is sent; raises RequestRejected for what there is no word for."""
        body: dict[str, object] = {
            **build_opening(self.model, request),
            self._options.max_tokens_field: request.max_tokens,
            **build_sampling_fields(
                request, self._options.sampling, self._options.dialect
            ),
        }
        for name in self._options.omit:
            body.pop(name, None)
        return {**body, **self._options.extra_body}


def build_opening(model: str, request: CompletionRequest) -> dict[str, object]:
    """Return the fields that every request has."""
    return {
        "model": model,
        "messages": [
            {"role": message.role, "content": message.content}
            for message in request.messages
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _build_headers(key: str) -> dict[str, str]:
    headers = {"user-agent": f"OpenAI/Python {openai.__version__}"}
    return {**headers, "authorization": f"Bearer {key}"} if key else headers


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError unless a server could be asked like this; asks none."""
    if not settings.endpoint:
        raise ValueError("an endpoint is needed, like https://api.groq.com/openai/v1")
    check_access(settings)
    check_path(settings.endpoint)
    _read_options(settings)


def check_path(endpoint: str) -> None:
    """Raise ValueError for the address of one call in the place of the base URL."""
    if urlsplit(endpoint).path.rstrip("/").endswith("/completions"):
        raise ValueError("the endpoint must end before /chat/completions")


def _read_options(settings: BackendSettings) -> _Options:
    """Return an operator's options with the defaults; raises ValueError."""
    options = settings.options
    check_names(options, _OPTIONS)
    is_openai = urlsplit(settings.endpoint).hostname == urlsplit(OPENAI).hostname
    field = options.get("max_tokens_field", MAX_TOKENS_FIELDS[is_openai])
    if field not in MAX_TOKENS_FIELDS:
        names = " or ".join(MAX_TOKENS_FIELDS)
        raise ValueError(f"max_tokens_field must be {names}, not {field!r}")
    dialect = options.get("dialect", DIALECTS[0])
    if dialect not in DIALECTS:
        raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}")
    return _Options(
        str(field),
        str(dialect),
        read_sampling(options),
        read_omit(options, OMITTABLE),
        read_extra_body(options, OWN_FIELDS),
    )


def build_backend(settings: BackendSettings) -> OpenAICompatibleBackend:
    """Return the backend of an operator's settings; raises ValueError."""
    return OpenAICompatibleBackend(settings)
