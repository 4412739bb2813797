"""What Anthropic's messages API sends, for the stand-in of test_anthropic.py."""

import json

from tests.inference.backends.openai_stand_in import head

MODEL = "claude-fine-1-20261101"


def event(kind, **values):
    body = json.dumps({"type": kind, **values}, ensure_ascii=False)
    return f"event: {kind}\ndata: {body}\n\n".encode()


def start(**usage):
    usage = {"input_tokens": 9, "output_tokens": 1} | usage
    message = {
        "id": "msg_01", "type": "message", "role": "assistant", "content": [],
        "model": MODEL, "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    return event("message_start", message=message)


def say(text, index=0):
    delta = {"type": "text_delta", "text": text}
    return event("content_block_delta", index=index, delta=delta)


def think(text):
    delta = {"type": "thinking_delta", "thinking": text}
    return event("content_block_delta", index=0, delta=delta)


def end(reason="end_turn", **usage):
    usage = {"output_tokens": 5} | usage
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event("message_delta", delta=delta, usage=usage)


def block(kind="text", **values):
    return event("content_block_start", index=0, content_block={"type": kind, **values})


def fault(kind, message="because"):
    return event("error", error={"type": kind, "message": message})


def refusal(status, kind, message="because", **headers):
    """A whole answer with an error in Anthropic's form."""
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return [head(status, "application/json", **headers) + json.dumps(error).encode()]


PING = event("ping")
BLOCK = block(text="")
BLOCK_END = event("content_block_stop", index=0)
STOP = event("message_stop")
WHOLE = [
    head(request_id="req_011"), start(), PING, BLOCK, say("Hello"), say(" there"),
    BLOCK_END, end(), STOP,
]  # fmt: skip
