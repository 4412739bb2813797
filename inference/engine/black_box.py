"""What the engine is working on, written where its death cannot take it.

A page of memory that the host shares with its child. The child notes before each piece
of work which requests are in it, for half a microsecond; when it is dead, the host
reads whose work it died in (suspects.py).
"""

import mmap
import os
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

# Room for 512 keys of nine digits beside each other.
_SIZE = 8192
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Moment:
    """The keys of the requests in a piece of work: prompts read, replies written."""

    reading: tuple[str, ...] = ()
    writing: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Return all of them."""
        return (*self.reading, *self.writing)


class BlackBox:
    """A note that one process overwrites all the time and another reads at the end.

    Made by the host; the child opens it by its file descriptor. There is no lock: it
    is read when nobody writes any more.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _SIZE)

    @classmethod
    def create(cls) -> "BlackBox":
        """Return an empty one, in memory or else in a file that nobody can find."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("engine")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, _SIZE)
        return cls(descriptor)

    def note(self, reading: Iterable[str], writing: Iterable[str] = ()) -> None:
        """Replace what stands there."""
        text = f"{' '.join(reading)};{' '.join(writing)}".encode()
        text = text[: _SIZE - _LENGTH.size]
        self._memory[_LENGTH.size : _LENGTH.size + len(text)] = text
        _LENGTH.pack_into(self._memory, 0, len(text))

    def clear(self) -> None:
        """Note that nothing is worked on."""
        _LENGTH.pack_into(self._memory, 0, 0)

    def read(self) -> Moment:
        """Return what was noted last."""
        (length,) = _LENGTH.unpack_from(self._memory, 0)
        text = self._memory[_LENGTH.size : _LENGTH.size + min(length, _SIZE)]
        reading, _, writing = text.decode(errors="replace").partition(";")
        return Moment(tuple(reading.split()), tuple(writing.split()))

    def close(self) -> None:
        """Give the memory back; nothing else may be called after it."""
        self._memory.close()
        os.close(self.descriptor)
