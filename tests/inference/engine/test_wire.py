import pytest

from inference.engine.config import Adapter, EngineConfig
from inference.engine.wire import (
    Cancel,
    Finished,
    Load,
    Loaded,
    LoadFailed,
    Refused,
    Submit,
    Text,
    decode_event,
    decode_order,
    encode,
)
from inference.engine_stats import EngineStats
from inference.errors import InvalidResponse, PromptTooLong, RequestRejected
from inference.types import (
    ChatMessage,
    Completion,
    CompletionRequest,
    EngineTimings,
    FinishReason,
    SamplingParams,
    Usage,
)

REQUEST = CompletionRequest(
    (ChatMessage("system", "Be\nkind"), ChatMessage("user", "\ud800⛺")),
    max_tokens=5,
    temperature=0.5,
    seed=3,
    stop=("\n\n",),
    request_id="r1",
)
CONSTRAINED = CompletionRequest(
    (ChatMessage("user", "Hi"),),
    max_tokens=5,
    top_k=3,
    min_p=0.1,
    repetition_penalty=1.1,
    repetition_window=9,
    json_schema={"properties": {"ü": {"enum": [1, None]}}},
)
CONFIG = EngineConfig(
    "a.gguf",
    template="gemma",
    thinking=True,
    sampling=SamplingParams(0.5, seed=2**62),
    adapters=(Adapter("b", 0.5),),
)
COMPLETION = Completion(
    FinishReason.LENGTH, Usage(5, 3, 2, 1), "fern", EngineTimings(4, None)
)


@pytest.mark.parametrize(
    "order",
    [Load(CONFIG), Submit("1", REQUEST), Submit("1", CONSTRAINED), Cancel("1")],
)
def test_orders_arrive_as_they_were_sent(order):
    line = encode(order)
    assert line.count(b"\n") == 1
    assert decode_order(line) == order


@pytest.mark.parametrize(
    "event",
    [
        Loaded("fern", "chatml", 2048, 4096),
        LoadFailed("no such file"),
        Text("1", "naïve\n\u2028"),
        Finished("1", COMPLETION),
        EngineStats(num_running=3, step_s=0.25),
    ],
)
def test_events_arrive_as_they_were_sent(event):
    assert decode_event(encode(event)) == event


def test_a_refusal_keeps_its_numbers():
    refused = decode_event(encode(Refused("1", PromptTooLong(90, 20, 100))))
    assert refused.error.prompt_tokens == 90
    assert "limit of 100" in str(refused.error)


@pytest.mark.parametrize("kind", [RequestRejected, InvalidResponse])
def test_a_refusal_keeps_its_reason(kind):
    refused = decode_event(encode(Refused("1", kind("not valid text"))))
    assert (type(refused.error), str(refused.error)) == (kind, "not valid text")


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}", b"not json", b'{"type":"Nothing"}', b'{"type":"Text"}']
)
def test_refuses_what_is_not_ours(line):
    with pytest.raises(ValueError, match=r".+"):
        decode_event(line)


def test_refuses_an_event_where_an_order_is_due():
    with pytest.raises(ValueError, match="not an order"):
        decode_order(encode(Text("1", "a")))
