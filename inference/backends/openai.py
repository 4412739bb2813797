"""OpenAI itself, on top of what openai_compatible.py does for every such server.

    reasons            whether the model thinks before it answers; by its name if not
                       said. Such models refuse sampling values and stop strings
    thinking_tokens    how much it may think, on top of the length of the answer; 4096
                       for models that reason
    reasoning_effort   how much it should: "none", "minimal", "low", "medium", "high",
                       "xhigh" or "max", as far as the model knows it; not said if empty
    omit, extra_body   fields of the request to leave out and to add
    temperature, top_p, seed     where a request says nothing; if neither does, OpenAI's

Equal beginnings of prompts are cached by OpenAI without being asked. A hash of the
system prompt goes along, so that a site's requests come to where its cache is.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from inference.backends.api_backend import check_access, check_key, fill_endpoint
from inference.backends.api_options import (
    check_names,
    choose_said,
    read_extra_body,
    read_omit,
    read_said_sampling,
    read_thinking_tokens,
)
from inference.backends.base import BackendSettings
from inference.backends.homes import OPENAI
from inference.backends.openai_compatible import (
    OMITTABLE,
    OWN_FIELDS,
    OpenAIProtocol,
    build_opening,
    check_path,
)
from inference.backends.openai_dialects import build_response_format
from inference.errors import RequestRejected
from inference.types import CompletionRequest

_EFFORTS = ("", "none", "minimal", "low", "medium", "high", "xhigh", "max")
_SAMPLING = ("temperature", "top_p", "seed")
_OWN = ("reasons", "thinking_tokens", "reasoning_effort", "omit", "extra_body")
_OPTIONS = (*_OWN, *_SAMPLING)
_OMITTABLE = (*OMITTABLE, "prompt_cache_key")
_TAKEN = {*OWN_FIELDS, "prompt_cache_key", "reasoning_effort"}
# o1 ... o4, and gpt-5 and later but for their chat variants
_REASONING_MODEL = re.compile(r"^(ft:)?(o\d|gpt-([5-9]|1\d)(?!\d|.*-chat))")
_DEFAULT_THINKING_TOKENS = 4096
_MAX_STOPS = 4


@dataclass(frozen=True, slots=True)
class _Options:
    """How the row wants to be asked; see the head of this module."""

    reasons: bool
    thinking_tokens: int
    reasoning_effort: str
    said: Mapping[str, object]
    omit: tuple[str, ...]
    extra_body: Mapping[str, object]


class OpenAIBackend(OpenAIProtocol):
    """One of OpenAI's models."""

    def __init__(self, settings: BackendSettings) -> None:
        settings = fill_endpoint(settings, OPENAI)
        check_settings(settings)
        self._options = _read_options(settings)
        super().__init__(settings)

    def bound_reply(self, request: CompletionRequest) -> int:
        """Return how much may be written, and thought on top of it."""
        return request.max_tokens + self._options.thinking_tokens

    def build_body(self, request: CompletionRequest) -> Mapping[str, object]:
        """Return what is sent; raises RequestRejected for a grammar."""
        if request.grammar:
            raise RequestRejected("OpenAI knows no grammars, only JSON schemas")
        options = self._options
        body = {
            **build_opening(self.model, request),
            "max_completion_tokens": self.bound_reply(request),
            **self._build_choices(request),
        }
        if options.reasoning_effort:
            body["reasoning_effort"] = options.reasoning_effort
        if request.json_schema is not None:
            body["response_format"] = build_response_format(request)
        if key := _build_cache_key(request):
            body["prompt_cache_key"] = key
        for name in options.omit:
            body.pop(name, None)
        return {**body, **options.extra_body}

    def _build_choices(self, request: CompletionRequest) -> dict[str, object]:
        """Return how to sample and where to stop: nothing for a model that reasons.

        What is not sent of the stop strings is kept by the answer.
        """
        if self._options.reasons:
            return {}
        said = choose_said(request, self._options.said)
        fields = {name: said[name] for name in _SAMPLING if name in said}
        if request.stop:
            fields["stop"] = list(request.stop[:_MAX_STOPS])
        return fields


def _build_cache_key(request: CompletionRequest) -> str:
    """Return what requests with an equal beginning share, empty without a beginning."""
    first = request.messages[0]
    if first.role != "system":
        return ""
    return hashlib.sha256(first.content.encode(errors="replace")).hexdigest()[:32]


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError unless OpenAI could be asked like this; asks nobody."""
    settings = fill_endpoint(settings, OPENAI)
    check_access(settings)
    check_path(settings.endpoint)
    check_key(settings, OPENAI, "https://platform.openai.com/api-keys")
    _read_options(settings)


def _read_options(settings: BackendSettings) -> _Options:
    """Return an operator's options with the defaults; raises ValueError."""
    options = settings.options
    check_names(options, _OPTIONS)
    reasons = options.get("reasons", bool(_REASONING_MODEL.match(settings.model)))
    if not isinstance(reasons, bool):
        raise ValueError(f"reasons must be true or false, not {reasons!r}")
    effort = options.get("reasoning_effort", "")
    if effort not in _EFFORTS:
        raise ValueError(f"reasoning_effort must be one of {', '.join(_EFFORTS[1:])}")
    said = read_said_sampling(options)
    if reasons and (useless := sorted(said)):
        raise ValueError(f"a model that reasons takes no {', '.join(useless)}")
    default = _DEFAULT_THINKING_TOKENS if reasons and effort != "none" else 0
    return _Options(
        reasons,
        read_thinking_tokens(options, default) or 0,
        str(effort),
        said,
        read_omit(options, _OMITTABLE),
        read_extra_body(options, _TAKEN),
    )


def build_backend(settings: BackendSettings) -> OpenAIBackend:
    """Return the backend of an operator's settings; raises ValueError."""
    return OpenAIBackend(settings)
