"""A provider that speaks three dialects on a real socket, and breaks on order.

It checks what it gets as the real ones do, answers from the recordings, counts tokens
and caches, and keeps a ledger of what it would bill.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.inference.providers.anthropic import AnthropicDialect
from tests.inference.providers.certificates import build_tls
from tests.inference.providers.dialect import (
    CONTEXT_TOKENS,
    Dialect,
    Refused,
    Wanted,
    quote,
)
from tests.inference.providers.faults import (
    BUSY,
    Fault,
    Order,
    Script,
)
from tests.inference.providers.gemini import GeminiDialect
from tests.inference.providers.ledger import Call, Ledger
from tests.inference.providers.openai import OpenAIDialect
from tests.inference.providers.playing import Generation, Player
from tests.inference.providers.recordings import read_recording
from tests.inference.providers.tokens import Reading, Reply, build_reply
from tests.inference.providers.wire import Connection, Gone, Listener, Request

KEY = "sk-stand-in-0123456789abcdef"
REPLY = "Returns are free within 30 days of delivery. You will get a label by e-mail."
DIALECTS = ("openai", "anthropic", "gemini")


class Provider:
    """The stand-in. Everything may be changed between calls; threads may ask at once.

    `reply` is what it says to everything, or a function of the prompt's last text;
    `reasoning_tokens` what it thinks before where a model is one that thinks.
    `models`, if given, are the only ones there are. `echoes_key` has it repeat the key
    it got in all error messages, as careless servers do.
    """

    def __init__(
        self,
        reply: str | Callable[[str], str] = REPLY,
        key: str = KEY,
        port: int = 0,
        ledger_path: Path | None = None,
    ) -> None:
        self.reply = reply
        self.key = key
        self.reasoning_tokens = 0
        self.models: Sequence[str] | None = None
        self.context_tokens = CONTEXT_TOKENS
        self.echoes_key = False
        self.ledger = Ledger(ledger_path)
        self.requests: list[Request] = []
        self.num_connections = 0
        self._dialects: tuple[Dialect, ...] = (
            OpenAIDialect(),
            AnthropicDialect(),
            GeminiDialect(),
        )
        self._scripts = {name: Script() for name in DIALECTS}
        self._lock = threading.Lock()
        self._listener = Listener(self._serve, port)
        self._secured: Listener | None = None
        self._refusing = socket.socket()  # bound, and never listens
        self._refusing.bind(("127.0.0.1", 0))
        self.port = self._listener.port

    def url(self, dialect: str, fault: Fault | str = Fault.NONE) -> str:
        """Return the base URL of a dialect, or one that fails as a line fault says."""
        path = next(d.base_path for d in self._dialects if d.name == dialect)
        match Fault(fault):
            case Fault.REFUSE:
                return f"http://127.0.0.1:{self._refusing.getsockname()[1]}{path}"
            case Fault.DNS:  # a name that never exists (RFC 6761)
                return f"https://provider.invalid{path}"
            case Fault.TLS_CERTIFICATE:
                return f"https://127.0.0.1:{self._secure().port}{path}"
            case Fault.TLS_PLAIN:
                return f"https://127.0.0.1:{self.port}{path}"
            case _:
                return f"http://127.0.0.1:{self.port}{path}"

    def stand(self, order: Order | str, dialect: str = "") -> None:
        """Play a fault in each call from now on, in one dialect or all of them."""
        for script in self._find_scripts(dialect):
            script.stand(order)

    def queue(self, orders: Iterable[Order | str], dialect: str = "") -> None:
        """Play faults in the next calls, one each; each dialect has its own queue."""
        orders = list(orders)
        for script in self._find_scripts(dialect):
            script.queue(orders)

    def close(self) -> None:
        """Hang up and listen no more."""
        self._listener.close()
        self._refusing.close()
        if self._secured is not None:
            self._secured.close()

    def _find_scripts(self, dialect: str) -> Sequence[Script]:
        return [self._scripts[dialect]] if dialect else list(self._scripts.values())

    def _secure(self) -> Listener:
        """Return the listener with a certificate that nobody vouches for."""
        with self._lock:
            if self._secured is None:
                self._secured = Listener(self._serve, tls=build_tls())
            return self._secured

    def _serve(self, connection: Connection) -> None:
        """Answer the requests of one connection."""
        with self._lock:
            self.num_connections += 1
        while True:
            request = connection.read_request()
            if request.path.startswith("/_"):
                self._obey(connection, request)
            elif not self._answer(connection, request):
                return
            if request.is_last:
                connection.wait_until_left(1.0)  # closing first could cut the answer
                return

    def _answer(self, connection: Connection, request: Request) -> bool:
        """Answer one request; return whether the connection may be used again."""
        dialect = next((d for d in self._dialects if d.fits(request)), None)
        if dialect is None or request.method != "POST":
            _send_plain(connection, 404, {"error": {"message": "no such path"}})
            return True
        self.requests.append(request)
        started_s = time.perf_counter()
        body = _read_body(request)
        call = self.ledger.open(
            dialect.name, dialect.find_model(request, body), dialect.id_prefix
        )
        call.key_end = dialect.find_key(request)[-4:]
        try:
            player = self._prepare(connection, request, dialect, body, call)
            return player.play()
        except Gone:
            call.saw_end = False
            return False
        finally:
            call.duration_ms = round((time.perf_counter() - started_s) * 1000)
            self.ledger.close(call)

    def _prepare(
        self,
        connection: Connection,
        request: Request,
        dialect: Dialect,
        body: object,
        call: Call,
    ) -> Player:
        """Return what will answer: first what the request deserves, then the script."""
        key = dialect.find_key(request)
        try:
            wanted = self._read(request, dialect, body, key)
            order = self._scripts[dialect.name].take()
            call.fault = "" if order.fault is Fault.NONE else order.fault.value
            generation = self._generate(dialect, wanted, key, order.fault)
            refused = _refuse_on_order(dialect, order, wanted, key)
        except Refused as error:
            call.fault = error.fault.value
            order, generation, refused, wanted = Order(error.fault), None, error, None
        recording = read_recording(dialect.name, order.fault)
        message = refused.message if refused else recording.message
        if self.echoes_key:
            message += f" (your key is {key})"
        values = {
            **_describe(call, order),
            "message": quote(message),
            "wants_usage": wanted is not None and wanted.wants_usage,
        }
        if generation is not None:
            values |= _describe_end(dialect, generation.reply)
        pause_s = order.value if order.fault is Fault.SLOW else 0.0
        return Player(connection, recording, call, values, generation, pause_s)

    def _read(
        self, request: Request, dialect: Dialect, body: object, key: str
    ) -> Wanted:
        """Return what is wanted; raises Refused as the real ones would."""
        if key != self.key:
            raise dialect.refuse_key(key)
        wanted = dialect.read(request, body)
        if self.models is not None and wanted.model not in self.models:
            raise dialect.refuse_model(wanted.model)
        num_tokens = len(wanted.prompt.tokens)
        if num_tokens + 1 > self.context_tokens:
            raise dialect.refuse_length(num_tokens, self.context_tokens)
        return wanted

    def _generate(
        self, dialect: Dialect, wanted: Wanted, key: str, fault: Fault
    ) -> Generation:
        """Read the prompt, through the cache unless it is refused, and write."""
        reading = Reading()
        if read_recording(dialect.name, fault).status == 200:
            reading = dialect.cache.read((key, wanted.model), wanted.prompt)
        reply = self.reply
        text = reply if isinstance(reply, str) else reply(wanted.prompt.last)
        # Gemini blocks a prompt before it thinks about it
        is_blocked = dialect.name == "gemini" and fault is Fault.REFUSAL
        thinks = wanted.thinks and not is_blocked
        thoughts = self.reasoning_tokens if thinks else 0
        return Generation(
            wanted.prompt,
            reading,
            build_reply(text, wanted.max_tokens, wanted.stops, thoughts),
        )

    def _obey(self, connection: Connection, request: Request) -> None:
        """Take an order by HTTP: POST /_fault with its words, GET /_ledger."""
        if request.path == "/_ledger":
            _send_plain(connection, 200, [asdict(call) for call in self.ledger.calls])
            return
        if request.path != "/_fault" or request.method != "POST":
            _send_plain(connection, 404, {"error": "POST /_fault or GET /_ledger"})
            return
        words = request.text.decode(errors="replace").split()
        try:
            if len(words) == 1:
                self.stand(words[0], request.query.get("dialect", ""))
            else:
                self.queue(words, request.query.get("dialect", ""))
        except (ValueError, KeyError) as error:
            _send_plain(connection, 400, {"error": str(error)})
        else:
            _send_plain(connection, 200, {"faults": words})


def _read_body(request: Request) -> object:
    try:
        return request.read_json()
    except ValueError:
        return None


def _refuse_on_order(
    dialect: Dialect, order: Order, wanted: Wanted, key: str
) -> Refused | None:
    """Return the words of a refusal that was ordered, where they depend on the call."""
    match order.fault:
        case Fault.KEY:
            return dialect.refuse_key(key)
        case Fault.NOT_FOUND:
            return dialect.refuse_model(wanted.model)
        case Fault.TOO_LONG:
            return dialect.refuse_length(len(wanted.prompt.tokens), CONTEXT_TOKENS)
    return None


def _describe(call: Call, order: Order) -> Mapping[str, object]:
    """Return the values that heads and ids tell."""
    now = datetime.now(UTC)
    wait_s = order.value if order.fault in BUSY else 1.0
    return {
        "model": quote(call.model),
        "request_id": call.request_id,
        "id": f"{call.number:012d}",
        "created": int(now.timestamp()),
        "date": now.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "retry_after_s": f"{wait_s:g}",
        "reset_at": (now + timedelta(seconds=wait_s)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _describe_end(dialect: Dialect, reply: Reply) -> Mapping[str, object]:
    return {
        "finish": dialect.end_word(reply.reason),
        "stop_sequence": json.dumps(reply.stop_sequence),
    }


def _send_plain(connection: Connection, status: int, value: object) -> None:
    """Send a JSON value that stands in no recording."""
    body = json.dumps(value).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    connection.send(head.encode() + body)
