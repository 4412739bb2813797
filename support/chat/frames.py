"""Frames of the wire protocol (docs/protocol.md): parsing those that come in."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

PROTOCOL = 1
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_MAX_INTEGER = 2**31 - 1


class CloseCode(IntEnum):
    """Why the server closes a socket; docs/protocol.md says what a client does."""

    OVERLOADED = 1013
    PROTOCOL = 4400
    UNAUTHENTICATED = 4401
    ORIGIN = 4403
    SLOW = 4408
    TOO_MANY = 4429


class BadFrame(ValueError):  # noqa: N818 - says what happened
    """The frame does not follow the protocol; the message says why."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame: who it is, and what is already on the screen."""

    protocol: int
    token: str
    last_seq: int
    turn: UUID | None
    attempt: int
    offset: int


@dataclass(frozen=True, slots=True)
class Token:
    """A renewed token."""

    token: str


@dataclass(frozen=True, slots=True)
class Send:
    """A message of the visitor."""

    client_id: str
    content: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends the reply of `turn`, if `attempt` is what the visitor sees."""

    turn: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Thumbs for a reply."""

    message: UUID
    rating: int


@dataclass(frozen=True, slots=True)
class Handoff:
    """The visitor wants a person."""


@dataclass(frozen=True, slots=True)
class History:
    """Asks for older messages."""

    before_seq: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks whether the socket still lives."""


ClientFrame = Hello | Token | Send | Stop | Rate | Handoff | History | Ping


class FrameTooBig(Exception):  # noqa: N818 - says what happened
    """The frame has more bytes than are allowed."""


def read_frame(text: str | None, max_bytes: int) -> ClientFrame:
    """Return the frame of a websocket message; None stands for a binary one.

    Raises BadFrame, or FrameTooBig above `max_bytes`.
    """
    if text is None:
        raise BadFrame("Frames are text, not binary.")
    if len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise FrameTooBig(f"A frame can have {max_bytes} bytes.")
    return parse_frame(text)


def parse_frame(text: str) -> ClientFrame:
    """Return the frame that `text` holds; raises BadFrame and nothing else."""
    try:
        frame = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadFrame("A frame must be valid JSON.") from error
    if not isinstance(frame, dict):
        raise BadFrame("A frame must be a JSON object.")
    kind = frame.get("type")
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parse is None:
        raise BadFrame("The frame's type is not known.")
    return parse(frame)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _text(frame: Mapping[str, object], name: str, max_length: int = 100_000) -> str:
    value = frame.get(name)
    if not isinstance(value, str) or len(value) > max_length:
        raise BadFrame(f"{name} must be a text of at most {max_length} characters.")
    return value


def _integer(frame: Mapping[str, object], name: str, minimum: int = 0) -> int:
    value = frame.get(name)
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or not minimum <= value <= _MAX_INTEGER:  # type: ignore[operator]
        raise BadFrame(f"{name} must be an integer from {minimum}.")
    return value  # type: ignore[return-value]


def _uuid(frame: Mapping[str, object], name: str) -> UUID:
    value = _text(frame, name, 36)
    try:
        uuid = UUID(value)
    except ValueError as error:
        raise BadFrame(f"{name} must be a UUID.") from error
    if str(uuid) != value:
        raise BadFrame(f"{name} must be a UUID in its usual form.")
    return uuid


def _hello(frame: Mapping[str, object]) -> Hello:
    turn = _uuid(frame, "turn") if "turn" in frame else None
    return Hello(
        protocol=_integer(frame, "protocol"),
        token=_text(frame, "token", 2048),
        last_seq=_integer(frame, "last_seq"),
        turn=turn,
        attempt=_integer(frame, "attempt") if "attempt" in frame else 0,
        offset=_integer(frame, "offset") if "offset" in frame else 0,
    )


def _send(frame: Mapping[str, object]) -> Send:
    client_id = _text(frame, "client_id", 64)
    if not _CLIENT_ID.fullmatch(client_id):
        raise BadFrame("client_id must be 8 to 64 letters, digits, - or _.")
    return Send(client_id, _text(frame, "content"))


def _rate(frame: Mapping[str, object]) -> Rate:
    rating = _integer(frame, "rating", minimum=-1)
    if rating > 1:
        raise BadFrame("rating must be 1, 0 or -1.")
    return Rate(_uuid(frame, "message"), rating)


_PARSERS: dict[str, Callable[[Mapping[str, object]], ClientFrame]] = {
    "hello": _hello,
    "token": lambda frame: Token(_text(frame, "token", 2048)),
    "send": _send,
    "stop": lambda frame: Stop(_uuid(frame, "turn"), _integer(frame, "attempt")),
    "rate": _rate,
    "handoff": lambda frame: Handoff(),
    "history": lambda frame: History(_integer(frame, "before_seq", minimum=1)),
    "ping": lambda frame: Ping(),
}
