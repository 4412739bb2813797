"""Any server that speaks the OpenAI chat completions protocol, through OpenAI's SDK.

OpenAI itself, hosted ones (Groq, Mistral, OpenRouter ...) and one's own (vLLM,
llama-server, Ollama, TGI). Each endpoint is asked directly: no proxy, no redirect,
nothing from the environment. Options for servers that differ:

    max_tokens_field   "max_tokens" or "max_completion_tokens"; the second is what
                       OpenAI's newer models insist on, and what others do not know
    dialect            "openai", "llama_server" or "vllm": the words for what OpenAI's
                       protocol has none for (openai_dialects.py)
    omit               fields of the request that the server or model refuses
    extra_body         fields to add to the request
    temperature ...    the values of `SamplingParams`, where a request says nothing
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk

from inference.backends.base import Backend, BackendSettings
from inference.backends.connection import Line, LineTransport
from inference.backends.openai_answer import Answer, read_field
from inference.backends.openai_dialects import DIALECTS, build_sampling_fields
from inference.backends.sampling_options import read_sampling
from inference.backends.statuses import error_of_status, quote, read_retry_after
from inference.errors import (
    BackendError,
    Interrupted,
    InvalidResponse,
    Overloaded,
    RequestRejected,
    Unavailable,
)
from inference.types import (
    SAMPLING_NAMES,
    CancelToken,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    SamplingParams,
    StreamItem,
)

_MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
_OMITTABLE = ("temperature", "top_p", "seed", "stop", "stream_options")
_OWN_FIELDS = {"model", "messages", "stream", "n", *_MAX_TOKENS_FIELDS, *_OMITTABLE}
_OPTIONS = ("max_tokens_field", "dialect", "omit", "extra_body", *SAMPLING_NAMES)

# What comes out of the SDK and the layers below it when a provider misbehaves; the
# last three when its JSON or UTF-8 is broken or the client was closed meanwhile.
_FOREIGN = (
    openai.OpenAIError,
    httpx2.HTTPError,
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class _Options:
    """How a server differs; see the head of this module."""

    max_tokens_field: str
    dialect: str
    sampling: SamplingParams
    omit: tuple[str, ...]
    extra_body: Mapping[str, object]


class OpenAICompatibleBackend(Backend):
    """One model behind one base URL.

    A cancel ends a call at once, but for one that is still being connected: that
    lasts at most `connect_s` for each address of the endpoint's name.
    """

    def __init__(self, settings: BackendSettings) -> None:
        check_settings(settings)
        self._options = _read_options(settings)
        self.name = settings.name
        self.model = settings.model
        self._key = settings.key
        self._transport = LineTransport(_build_headers(settings.key))
        self._client = openai.OpenAI(
            base_url=settings.endpoint,
            api_key="sent by the transport",  # None would read the environment
            max_retries=0,
            http_client=httpx2.Client(
                transport=self._transport, trust_env=False, follow_redirects=False
            ),
        )

    def close(self) -> None:
        """Hang up all calls and refuse further ones."""
        self._client.close()

    def stream(
        self, request: CompletionRequest, deadlines: Deadlines, cancel: CancelToken
    ) -> Generator[StreamItem, None, None]:
        """Yield the provider's text as deltas, then its completion."""
        answer = Answer(self.model)
        try:
            yield from self._deltas(request, deadlines, cancel, answer)
        except BackendError:
            if not cancel.is_cancelled:
                raise
        if cancel.is_cancelled:
            yield Completion(FinishReason.CANCELLED, answer.usage, answer.model)
        else:
            yield answer.build_completion()

    def _deltas(
        self,
        request: CompletionRequest,
        deadlines: Deadlines,
        cancel: CancelToken,
        answer: Answer,
    ) -> Generator[Delta, None, None]:
        """Make the call and yield its text; ends in any way when cancelled."""
        with self._transport.open_line() as line:
            forget = cancel.on_cancel(line.hang_up)
            try:
                with self._call(request, deadlines, line) as chunks:
                    answer.begin(chunks.response)
                    for chunk in chunks:
                        if text := answer.take(chunk):
                            yield Delta(text)
                        if cancel.is_cancelled:
                            return
            except _FOREIGN as error:
                _remove_secret(error, self._key)
                # After the finish reason only the usage can be lost, no text.
                if answer.finish_reason is None:
                    raise _translate(error, answer, self._key) from error
            finally:
                forget()

    def _call(
        self,
        request: CompletionRequest,
        deadlines: Deadlines,
        line: Line,
    ) -> openai.Stream[ChatCompletionChunk]:
        """Return the provider's stream once it has accepted the request."""
        with self._transport.calling_on(line):
            return self._client.post(
                "/chat/completions",
                body=self._build_body(request),
                options={"timeout": _build_timeout(deadlines)},
                cast_to=ChatCompletionChunk,
                stream=True,
                stream_cls=openai.Stream[ChatCompletionChunk],
            )

    def _build_body(self, request: CompletionRequest) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self.model,
            "messages": [
                {"role": message.role, "content": message.content}
                for message in request.messages
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._options.max_tokens_field: request.max_tokens,
            **build_sampling_fields(
                request, self._options.sampling, self._options.dialect
            ),
        }
        for name in self._options.omit:
            body.pop(name, None)
        return {**body, **self._options.extra_body}


def _translate(error: Exception, answer: Answer, key: str) -> BackendError:
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
    words = quote(str(cause) or type(cause).__name__, key)
    if isinstance(error, openai.APIStatusError):
        return _error_of_refusal(error, key)
    if isinstance(cause, httpx2.TimeoutException):
        return answer.build_timeout(isinstance(cause, httpx2.ConnectTimeout))
    if isinstance(cause, openai.APIError):
        return _error_of_event(cause, key)
    if isinstance(cause, httpx2.ConnectError):
        return Unavailable(f"no connection: {words}")
    if isinstance(cause, httpx2.HTTPError | OSError):
        if answer.has_begun:
            return Interrupted(f"the stream broke: {words}")
        return Unavailable(f"the connection ended before an answer: {words}")
    if isinstance(cause, RuntimeError):
        return Unavailable(f"the call could not go on: {words}")
    return InvalidResponse(f"the answer cannot be read: {words}")


def _error_of_refusal(error: openai.APIStatusError, key: str) -> BackendError:
    status = error.status_code
    said = quote(_message_of(error.body), key)
    retry_after_s = read_retry_after(error.response.headers.get("retry-after"))
    message = f"status {status}: {said}" if said else f"status {status}"
    return error_of_status(status, message, retry_after_s)


def _error_of_event(error: openai.APIError, key: str) -> BackendError:
    """Return the error of an event that came in the place of text."""
    message = f"in the stream: {quote(_message_of(error.body), key)}"
    code = error.code or ""
    if len(code) == 3 and code.isdecimal() and int(code) >= 400:
        return error_of_status(int(code), message)
    kind = f"{error.code} {error.type}"
    if "rate_limit" in kind or "overload" in kind or "quota" in kind:
        return Overloaded(message)
    if "context_length" in kind or "invalid_request" in kind:
        return RequestRejected(message)
    return Interrupted(message)


def _message_of(body: object) -> str:
    """Return the words of an error's body; servers nest them in different ways."""
    for name in ("message", "error", "detail"):
        if message := read_field(body, name):
            return str(message)
    return str(body or "")


def _remove_secret(error: BaseException | None, key: str) -> None:
    """Take the key out of what a traceback would print: servers echo wrong keys."""
    while error is not None and key:
        if key in str(error):
            error.args = tuple(str(part).replace(key, "[key]") for part in error.args)
        error = error.__cause__ or error.__context__


def _build_headers(key: str) -> dict[str, str]:
    headers = {
        "user-agent": f"OpenAI/Python {openai.__version__}",
        "accept-encoding": "identity",
    }
    return {**headers, "authorization": f"Bearer {key}"} if key else headers


def _build_timeout(deadlines: Deadlines) -> httpx2.Timeout:
    """Return the bounds of single waits; the router keeps the finer deadlines."""
    longest_s = max(deadlines.first_token_s, deadlines.gap_s)
    return httpx2.Timeout(longest_s, connect=deadlines.connect_s)


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError unless a server could be asked like this; asks none."""
    if not settings.model.strip():
        raise ValueError("a model is needed: the name that the server knows it by")
    _check_endpoint(settings.endpoint)
    key = settings.key
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key must be one line of ASCII without spaces")
    _read_options(settings)


def _check_endpoint(endpoint: str) -> None:
    if not endpoint:
        raise ValueError("an endpoint is needed, like https://api.openai.com/v1")
    try:
        parts = urlsplit(endpoint)
        httpx2.URL(endpoint)
        _ = parts.port  # raises ValueError out of range
    except (ValueError, httpx2.InvalidURL):
        raise ValueError("the endpoint is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the endpoint must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the endpoint must not hold a user or password; use the key")
    if "?" in endpoint or "#" in endpoint or any(c.isspace() for c in endpoint):
        raise ValueError("the endpoint must not hold a query, fragment or space")
    if parts.path.rstrip("/").endswith("/completions"):
        raise ValueError("the endpoint must end before /chat/completions")


def _read_options(settings: BackendSettings) -> _Options:
    """Return an operator's options with the defaults; raises ValueError."""
    options = settings.options
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise ValueError(f"unknown options {unknown}; there are {', '.join(_OPTIONS)}")
    is_openai = urlsplit(settings.endpoint).hostname == "api.openai.com"
    field = options.get("max_tokens_field", _MAX_TOKENS_FIELDS[is_openai])
    if field not in _MAX_TOKENS_FIELDS:
        names = " or ".join(_MAX_TOKENS_FIELDS)
        raise ValueError(f"max_tokens_field must be {names}, not {field!r}")
    dialect = options.get("dialect", DIALECTS[0])
    if dialect not in DIALECTS:
        raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}")
    omit = options.get("omit", [])
    if not isinstance(omit, list) or not all(name in _OMITTABLE for name in omit):
        raise ValueError(f"omit must be a list of some of {', '.join(_OMITTABLE)}")
    extra_body = options.get("extra_body", {})
    if not isinstance(extra_body, dict):
        raise ValueError(f"extra_body must be an object, not {extra_body!r}")
    if taken := sorted(_OWN_FIELDS & set(extra_body)):
        raise ValueError(f"extra_body must not hold {', '.join(taken)}")
    sampling = read_sampling(options)
    return _Options(str(field), str(dialect), sampling, tuple(omit), extra_body)


def build_backend(settings: BackendSettings) -> OpenAICompatibleBackend:
    """Return the backend of an operator's settings; raises ValueError."""
    return OpenAICompatibleBackend(settings)
