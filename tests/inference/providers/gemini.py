"""Google's Gemini API: what it takes, and what it says to the rest."""

import re
from typing import Any

from tests.inference.providers.dialect import (
    Body,
    Dialect,
    Refused,
    Wanted,
    check_number,
    is_count,
)
from tests.inference.providers.faults import Fault
from tests.inference.providers.tokens import ImplicitCache, build_prompt
from tests.inference.providers.wire import Request

_PATH = re.compile(r"/v1beta/models/([^/:]+):(\w+)")
_FIELDS = {
    "cachedContent", "contents", "generationConfig", "safetySettings", "serviceTier",
    "systemInstruction", "toolConfig", "tools", "store",
}  # fmt: skip
_CONFIG_FIELDS = {
    "candidateCount", "enableEnhancedCivicAnswers", "frequencyPenalty", "logprobs",
    "maxOutputTokens", "mediaResolution", "presencePenalty", "responseJsonSchema",
    "responseLogprobs", "responseMimeType", "responseModalities", "responseSchema",
    "seed", "speechConfig", "stopSequences", "temperature", "thinkingConfig", "topK",
    "topP",
}  # fmt: skip
_MAX_STOPS = 5


class GeminiDialect(Dialect):
    """POST /v1beta/models/MODEL:streamGenerateContent?alt=sse."""

    name = "gemini"
    base_path = ""
    id_prefix = "resp-"  # it has no header for it

    def __init__(self) -> None:
        self.cache = ImplicitCache()

    def fits(self, request: Request) -> bool:
        return request.path.startswith("/v1beta/")

    def find_model(self, request: Request, body: object) -> str:
        match = _PATH.fullmatch(request.path)
        return match[1] if match else ""

    def find_key(self, request: Request) -> str:
        return request.headers.get("x-goog-api-key", "") or request.query.get("key", "")

    def refuse_key(self, key: str) -> Refused:
        if key:  # which is no 401 there
            return Refused(Fault.KEY, "API key not valid. Please pass a valid API key.")
        words = (
            "Method doesn't allow unregistered callers (callers without established "
            "identity). Please use API Key or other form of API consumer identity to "
            "call this API."
        )
        return Refused(Fault.FORBIDDEN, words)

    def read(self, request: Request, body: object) -> Wanted:
        match = _PATH.fullmatch(request.path)
        if not match or match[2] != "streamGenerateContent":
            raise Refused(Fault.NOT_FOUND, f"Not found: {request.path}")
        if request.query.get("alt") != "sse":
            raise _refuse("The stand-in streams events only: alt=sse is needed.")
        if not isinstance(body, dict):
            raise _refuse("Invalid JSON payload received.")
        _check_names(body, _FIELDS, "")
        config = body.get("generationConfig") or {}
        _check_names(config, _CONFIG_FIELDS, " at 'generation_config'")
        _check_config(config)
        thinking = config.get("thinkingConfig") or {}
        return Wanted(
            match[1],
            build_prompt([*_read_system(body), *_read_contents(body)]),
            config.get("maxOutputTokens") or 8192,
            tuple(config.get("stopSequences") or ()),
            thinks=thinking.get("thinkingBudget") != 0,
        )

    def end_word(self, reason: str) -> str:
        return "MAX_TOKENS" if reason == "length" else "STOP"

    def refuse_model(self, model: str) -> Refused:
        words = (
            f"models/{model} is not found for API version v1beta, or is not supported "
            "for generateContent. Call ListModels to see the list of available models."
        )
        return Refused(Fault.NOT_FOUND, words)

    def refuse_length(self, num_tokens: int, limit_tokens: int) -> Refused:
        words = (
            f"The input token count ({num_tokens}) exceeds the maximum number of "
            f"tokens allowed ({limit_tokens})."
        )
        return Refused(Fault.TOO_LONG, words)


def _check_names(value: Any, known: set[str], place: str) -> None:
    if not isinstance(value, dict):
        raise _refuse(f"Invalid value{place} (expected an object).")
    if unknown := sorted(set(value) - known):
        raise _refuse(
            f'Invalid JSON payload received. Unknown name "{unknown[0]}"{place}: '
            "Cannot find field."
        )


def _check_config(config: Body) -> None:
    for name, (lowest, highest) in {
        "temperature": (0, 2),
        "topP": (0, 1),
        "topK": (1, 1000),
        "seed": (-(2**31), 2**31 - 1),
    }.items():
        if not check_number(config, name, lowest, highest):
            raise _refuse(
                f"* GenerateContentRequest.generation_config.{name}: must be in the "
                f"range [{lowest}, {highest}]."
            )
    if "maxOutputTokens" in config and not is_count(config["maxOutputTokens"]):
        raise _refuse(
            "* GenerateContentRequest.generation_config.max_output_tokens: "
            "must be positive."
        )
    stops = config.get("stopSequences") or []
    is_list = isinstance(stops, list) and all(isinstance(s, str) and s for s in stops)
    if not is_list or len(stops) > _MAX_STOPS:
        raise _refuse(
            "* GenerateContentRequest.generation_config.stop_sequences: at most 5."
        )


def _read_system(body: Body) -> list[tuple[str, str, bool]]:
    if "systemInstruction" not in body:
        return []
    return [
        ("system", _read_parts(body["systemInstruction"], "system_instruction"), False)
    ]


def _read_contents(body: Body) -> list[tuple[str, str, bool]]:
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise _refuse("* GenerateContentRequest.contents: contents is not specified")
    read = []
    for index, content in enumerate(contents):
        role = content.get("role", "user") if isinstance(content, dict) else None
        if role not in {"user", "model"}:
            raise _refuse("Please use a valid role: user, model.")
        read.append((role, _read_parts(content, f"contents[{index}]"), False))
    if contents[-1].get("role", "user") != "user":
        raise _refuse("Please ensure that the last turn is from the user.")
    return read


def _read_parts(content: Any, place: str) -> str:
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not parts:
        raise _refuse(f"* GenerateContentRequest.{place}.parts: must not be empty.")
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise _refuse(
                f"* GenerateContentRequest.{place}.parts: the stand-in reads text."
            )
    return "".join(part["text"] for part in parts)


def _refuse(message: str) -> Refused:
    return Refused(Fault.BAD_REQUEST, message)
