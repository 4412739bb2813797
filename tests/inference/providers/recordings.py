"""Recordings of answers as they look on the wire, and how they are read.

One file for each dialect and fault: recordings/DIALECT/FAULT.http. What it holds is
what is sent, but for

    # ...             a line before the head: what this is
    # message: ...    the words for {{message}}, where the request gives no reason
    {{name}}          a value of this call: numbers, and texts in JSON's spelling
    ~ for each piece  the events until `~ end` come once for each piece of the reply
    ~ for some pieces the same for the first three pieces
    ~ if thoughts     the events until `~ end` come only if the model thinks
    ~ if usage        ... only if the request asked for the usage
    ~ hang            nothing more is sent until the client leaves
    ~ reset           the connection is dropped with a TCP reset
    ~ cut             the connection is closed here, in the middle of the answer
    ~ flood           50 MB of the letter x, in the middle of an event
    ~ gzip bomb       50 MB of zeros, compressed

The head's lines end as in HTTP, a `content-length` is added to what is no stream, and a
stream is sent in chunks: an event each, or half of one before a `~ cut`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.inference.providers.faults import Fault

FOLDER = Path(__file__).with_name("recordings")

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_BLOCKS = ("for each piece", "for some pieces", "if thoughts", "if usage")
_DIRECTIONS = ("hang", "reset", "cut", "flood", "gzip bomb")


@dataclass(frozen=True, slots=True)
class Text:
    """Something to send: the head, the body or an event."""

    template: str

    def fill(self, values: Mapping[str, object]) -> bytes:
        """Return the bytes with this call's values; raises KeyError."""
        filled = _PLACE.sub(lambda match: str(values[match[1]]), self.template)
        return filled.encode()

    @property
    def names(self) -> frozenset[str]:
        """Return the values that it tells."""
        return frozenset(_PLACE.findall(self.template))


@dataclass(frozen=True, slots=True)
class Direction:
    """Something to do."""

    verb: str


@dataclass(frozen=True, slots=True)
class Block:
    """Steps that come more than once, or not at all."""

    verb: str
    steps: tuple[Text | Direction, ...]


Step = Text | Direction | Block


@dataclass(frozen=True, slots=True)
class Recording:
    """An answer: its head, and what follows. No head for a server that says nothing."""

    head: Text | None
    steps: tuple[Step, ...]
    message: str = ""

    @property
    def is_stream(self) -> bool:
        """Return whether the body comes in chunks."""
        return self.head is not None and "transfer-encoding: chunked" in (
            self.head.template.lower()
        )

    @property
    def status(self) -> int:
        """Return the status, 0 without a head."""
        return int(self.head.template.split()[1]) if self.head else 0


def find_path(dialect: str, fault: Fault) -> Path:
    """Return where the recording of a fault is, of a good answer for none."""
    name = "answer" if fault in {Fault.NONE, Fault.SLOW} else fault.value
    return FOLDER / dialect / f"{name}.http"


@cache
def read_recording(dialect: str, fault: Fault) -> Recording:
    """Return the recording of a fault in a dialect; raises OSError, ValueError."""
    return parse_recording(find_path(dialect, fault).read_text())


def parse_recording(text: str) -> Recording:
    """Return what a file says; raises ValueError naming a direction that is none."""
    lines = text.splitlines()
    message = ""
    while lines and (lines[0].startswith("#") or not lines[0]):
        _, is_message, words = lines.pop(0).partition("# message: ")
        message = words if is_message else message
    head = None
    if lines and lines[0].startswith("HTTP/"):
        end = lines.index("")
        head = Text("\r\n".join(lines[:end]) + "\r\n")
        lines = lines[end + 1 :]
    is_stream = Recording(head, ()).is_stream
    return Recording(head, tuple(_parse_steps(lines, is_stream=is_stream)), message)


def _parse_steps(lines: Sequence[str], *, is_stream: bool) -> list[Step]:
    steps: list[Step] = []
    inner: list[Text | Direction] = []
    open_block = ""
    for part in _split(lines, is_stream=is_stream):
        if isinstance(part, Direction) and part.verb in _BLOCKS:
            open_block, inner = part.verb, []
        elif isinstance(part, Direction) and part.verb == "end":
            steps.append(Block(open_block, tuple(inner)))
            open_block = ""
        elif open_block:
            inner.append(part)
        else:
            steps.append(part)
    if open_block:
        raise ValueError(f"{open_block!r} has no end")
    return steps


def _split(lines: Sequence[str], *, is_stream: bool) -> list[Text | Direction]:
    """Return events and directions; an event before a `~ cut` may be half of one."""
    parts: list[Text | Direction] = []
    event: list[str] = []

    def end_event(mark: str) -> None:
        if event:
            parts.append(Text("\n".join(event) + mark))
            event.clear()

    for line in lines:
        if line.startswith("~ "):
            end_event("")
            parts.append(_parse_direction(line[2:].strip()))
        elif line or not is_stream:
            event.append(line)
        else:
            end_event("\n\n")
    end_event("\n\n" if is_stream else "\n")
    return parts


def _parse_direction(verb: str) -> Direction:
    if verb not in {*_BLOCKS, *_DIRECTIONS, "end"}:
        raise ValueError(f"no direction {verb!r}")
    return Direction(verb)
