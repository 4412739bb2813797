"""What Google's Gemini API sends, for the stand-in of test_gemini.py."""

import json

from tests.inference.backends.openai_stand_in import head

MODEL = "gemini-fine-001"


def event(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\r\n\r\n"


def part(*texts, finish=None, **usage):
    """A chunk of a reply; `usage` are the counts until it."""
    parts = [text if isinstance(text, dict) else {"text": text} for text in texts]
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    chunk = {"candidates": [candidate], "modelVersion": MODEL, "responseId": "r-01"}
    counts = {"promptTokenCount": 9, "totalTokenCount": 9} | usage
    return event({**chunk, "usageMetadata": counts})


def error(code, status, message="because", *details):
    body = {"code": code, "message": message, "status": status}
    return {"error": {**body, "details": list(details)} if details else body}


def refusal(code, status, message="because", *details):
    """A whole answer with an error in Google's form."""
    body = json.dumps(error(code, status, message, *details), indent=2).encode()
    return [head(code, "application/json; charset=UTF-8") + body]


RETRY_INFO = {
    "@type": "type.googleapis.com/google.rpc.RetryInfo",
    "retryDelay": "37.5s",
}
WHOLE = [
    head(),
    part("Hello"),
    part(" there", finish="STOP", candidatesTokenCount=5, totalTokenCount=14),
]
