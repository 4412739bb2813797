"""A provider of chat completions on a real socket, and the backend that asks it."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from inference.backends.base import BackendSettings
from inference.backends.openai_compatible import build_backend
from inference.types import ChatMessage, CompletionRequest, Deadlines
from tests.inference.providers.playing import HANG_S
from tests.inference.providers.wire import Listener

KEY = "sk-very-secret-4711"
REQUEST = CompletionRequest(
    (ChatMessage("system", "You are Fern."), ChatMessage("user", "Hi")), max_tokens=7
)
DEADLINES = Deadlines(connect_s=2, first_token_s=5, gap_s=5)

HANG = object()  # send nothing more until the client hangs up
RESET = object()  # drop the connection with a TCP reset


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, object] = field(repr=False)


def head(status=200, content_type="text/event-stream", **headers):
    """The head of an answer whose body ends with its connection."""
    lines = [f"HTTP/1.1 {status} Status", f"content-type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def refusal(status, message="no", **headers):
    """A whole answer with an error in OpenAI's form."""
    body = json.dumps({"error": {"message": message}}).encode()
    return [head(status, "application/json", **headers) + body]


def event(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def part(delta, finish_reason=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event({"model": "fine-1b", "choices": [choice], **more})


def say(text):
    return part({"content": text})


def end(reason="stop"):
    return part({}, reason)


def usage(**counts):
    return event({"model": "fine-1b", "choices": [], "usage": counts})


DONE = b"data: [DONE]\n\n"
COUNTS = {"prompt_tokens": 9, "completion_tokens": 2}
WHOLE = [head(), say("Hello"), say(" there"), end(), usage(**COUNTS), DONE]


@contextmanager
def connected(url, key=KEY, build=build_backend, model="fine", **options):
    """A backend that asks the server at `url`."""
    settings = BackendSettings("cloud", model, options, url, key, ("127.0.0.1",))
    backend = build(settings)
    try:
        yield backend
    finally:
        backend.close()


class OpenAIStandIn:
    """Plays `answer` to every request: bytes to send, seconds to wait, HANG, RESET.

    `answer` may be a function of the request. `asked` keeps the requests and
    `hung_up_s` when each client left during HANG. What real providers say, and how they
    fail, is recorded in tests/inference/providers.
    """

    def __init__(self, answer=WHOLE):
        self.answer = answer
        self.asked: list[Asked] = []
        self.hung_up_s: list[float] = []
        self.hangs = threading.Event()
        self._listener = Listener(self._serve)
        self.port = self._listener.port
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/v1"

    def close(self):
        self._listener.close()

    def _serve(self, connection):
        request = connection.read_request()
        body = json.loads(request.text or b"{}")
        asked = Asked(request.target, request.headers, body)
        self.asked.append(asked)
        answer = self.answer(asked) if callable(self.answer) else self.answer
        for step in answer:
            self._play(connection, step)

    def _play(self, connection, step):
        if isinstance(step, bytes):
            connection.send(step)
        elif step is HANG:
            self.hangs.set()
            connection.wait_until_left(HANG_S)
            self.hung_up_s.append(time.monotonic())
        elif step is RESET:
            connection.reset()
        else:
            time.sleep(step)
