"""A provider of chat completions on a real socket, and the backend that asks it."""

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from inference.backends.base import BackendSettings
from inference.backends.openai_compatible import build_backend
from inference.types import ChatMessage, CompletionRequest, Deadlines

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
    `hung_up_s` when each client left during HANG.
    """

    def __init__(self, answer=WHOLE):
        self.answer = answer
        self.asked: list[Asked] = []
        self.hung_up_s: list[float] = []
        self.hangs = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/v1"
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self):
        for open_socket in [self._listener, *self._connections]:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve, args=[connection])
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection):
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked = _read_request(connection)
            if asked is None:
                return
            self.asked.append(asked)
            answer = self.answer(asked) if callable(self.answer) else self.answer
            for step in answer:
                self._play(connection, step)

    def _play(self, connection, step):
        if isinstance(step, bytes):
            connection.sendall(step)
        elif step is HANG:
            self.hangs.set()
            with suppress(ConnectionError):
                connection.recv(1)
            self.hung_up_s.append(time.monotonic())
        elif step is RESET:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        else:
            time.sleep(step)


def _read_request(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return None
        received += more
        if received.startswith(b"\x16"):  # the greeting of TLS
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return None
    top, _, body = received.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Asked(first.split()[1], headers, json.loads(body or b"{}"))
