"""The words that OpenAI-compatible servers have for how to sample, and for grammars.

OpenAI's protocol knows temperature, top_p, seed, stop, and JSON schemas. llama-server
and vLLM know the rest by words of their own, and have other defaults than ours, so
they are told every value. What a server has no word for: a preference among tokens
is left out, as the answer is still one; a grammar is not, and the request refused.
"""

from inference.errors import RequestRejected
from inference.types import CompletionRequest, SamplingParams

DIALECTS = ("openai", "llama_server", "vllm")


def build_sampling_fields(
    request: CompletionRequest, defaults: SamplingParams, dialect: str
) -> dict[str, object]:
    """Return the fields that say how to sample, stop strings and constraints included.

    Raises RequestRejected for a grammar in a dialect that has none.
    """
    sampling = request.choose_sampling(defaults)
    fields: dict[str, object] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.seed is not None:
        fields["seed"] = sampling.seed
    if request.stop:
        fields["stop"] = list(request.stop)
    if request.json_schema is not None:
        fields["response_format"] = build_response_format(request)
    fields |= _build_own_fields(sampling, dialect)
    if request.grammar:
        fields |= _build_grammar(request.grammar, dialect)
    return fields


def _build_own_fields(sampling: SamplingParams, dialect: str) -> dict[str, object]:
    match dialect:
        case "llama_server":
            return {
                "top_k": sampling.top_k,
                "min_p": sampling.min_p,
                "repeat_penalty": sampling.repetition_penalty,
                "repeat_last_n": sampling.repetition_window,
            }
        case "vllm":  # its penalty looks at the whole text
            return {
                "top_k": sampling.top_k,
                "min_p": sampling.min_p,
                "repetition_penalty": sampling.repetition_penalty,
            }
        case _:
            return {}


def _build_grammar(grammar: str, dialect: str) -> dict[str, object]:
    match dialect:
        case "llama_server":
            return {"grammar": grammar}
        case "vllm":
            return {"structured_outputs": {"grammar": grammar}}
        case _:
            raise RequestRejected("this API knows no grammars, only JSON schemas")


def build_response_format(request: CompletionRequest) -> dict[str, object]:
    """Return what asks for a reply that keeps to the schema of a request."""
    schema = {"name": "reply", "schema": request.json_schema, "strict": True}
    return {"type": "json_schema", "json_schema": schema}
