"""The header of a GGUF file: metadata and the list of tensors, no weights.

Plain Python, so that the web process can judge a file without llama.cpp. The file is
a stranger's: every length is checked against what is left of it before it is used.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from inference.errors import ModelError

MAX_ITEMS = 16_000_000
MAX_TENSORS = 1_000_000
MAX_STRING_BYTES = 64 * 2**20
_MAX_DEPTH = 3

# Arrays of more elements are counted and not kept: a vocabulary has 150,000.
KEPT_ITEMS = 1024

# By the number of a type: its name, elements in a block, bytes of a block.
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip

_NUMBERS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?",
    10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Counted:
    """An array that was too long to keep."""

    num_items: int


Value = bool | int | float | str | list["Value"] | Counted


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: `num_bytes` is None where its type is newer than this reader."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    num_bytes: int | None

    @property
    def num_elements(self) -> int:
        """Return how many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a file says about itself; tensors begin at `data_start`."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: tuple[TensorEntry, ...]
    data_start: int
    file_bytes: int


def read_header(path: Path, kept_items: int = KEPT_ITEMS) -> GgufHeader:
    """Return the header of a GGUF file.

    Raises ModelError, with what is wrong, if it is none, is damaged or cut off;
    OSError if it cannot be read. Time grows with the vocabulary: 0.1 s for 150,000.
    """
    size = path.stat().st_size
    if size == 0:
        raise ModelError(f"{path} is empty")
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _Reader(view, path, kept_items).read()
    finally:
        view.close()


class _Reader:
    """A position in the mapped file, which never leaves it."""

    def __init__(self, view: mmap.mmap, path: Path, kept_items: int) -> None:
        self._view = view
        self._path = path
        self._size = len(view)
        self._position = 0
        self._kept_items = kept_items

    def read(self) -> GgufHeader:
        """Return the header; raises ModelError."""
        version = self._read_version()
        num_tensors = self._number("<Q")
        num_pairs = self._number("<Q")
        if num_tensors > MAX_TENSORS or num_pairs > MAX_TENSORS:
            raise self._damaged(f"{num_tensors} tensors and {num_pairs} entries")
        metadata: dict[str, Value] = {}
        for _ in range(num_pairs):
            name = self._string()
            if name in metadata:
                raise self._damaged(f"{name!r} twice")
            metadata[name] = self._value(self._number("<I"), 0)
        tensors = tuple(self._tensor() for _ in range(num_tensors))
        data_start = _align(self._position, self._read_alignment(metadata))
        self._check_tensors(tensors, data_start)
        return GgufHeader(
            self._path, version, metadata, tensors, data_start, self._size
        )

    def _read_version(self) -> int:
        if bytes(self._view[:4]) != b"GGUF":
            raise ModelError(f"{self._path} is not a GGUF file")
        self._position = 4
        version = self._number("<I")
        if version not in {2, 3}:
            kind = "of another byte order" if version & 0xFFFF == 0 else f"{version}"
            raise ModelError(
                f"{self._path} is GGUF of version {kind}; versions 2 and 3 can be read"
            )
        return version

    def _read_alignment(self, metadata: dict[str, Value]) -> int:
        alignment = metadata.get("general.alignment", 32)
        is_good = isinstance(alignment, int) and 0 < alignment <= 2**20
        if not is_good or not isinstance(alignment, int) or alignment % 8:
            raise self._damaged(f"an alignment of {alignment}")
        return alignment

    def _check_tensors(self, tensors: tuple[TensorEntry, ...], start: int) -> None:
        if len({tensor.name for tensor in tensors}) < len(tensors):
            raise self._damaged("a tensor twice")
        end = max(
            (start + tensor.offset + (tensor.num_bytes or 0) for tensor in tensors),
            default=0,
        )
        if end > self._size:
            raise ModelError(
                f"{self._path} is cut off: {self._size:,} of {end:,} bytes are there"
            )

    def _tensor(self) -> TensorEntry:
        name = self._string()
        num_dimensions = self._number("<I")
        if num_dimensions > 4:
            raise self._damaged(f"tensor {name!r} of {num_dimensions} dimensions")
        shape = tuple(self._number("<Q") for _ in range(num_dimensions))
        if prod(shape) >= 2**60:
            raise self._damaged(f"tensor {name!r} of shape {shape}")
        number = self._number("<I")
        type_name, block, block_bytes = TENSOR_TYPES.get(
            number, (f"type {number}", 0, 0)
        )
        num_bytes = prod(shape) // block * block_bytes if block else None
        return TensorEntry(name, shape, type_name, self._number("<Q"), num_bytes)

    def _value(self, kind: int, depth: int) -> Value:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(depth)
        if kind not in _NUMBERS:
            raise self._damaged(f"a value of type {kind}")
        value: bool | int | float = self._unpack(_NUMBERS[kind])
        return value

    def _array(self, depth: int) -> Value:
        kind, count = self._number("<I"), self._number("<Q")
        if count > MAX_ITEMS or depth >= _MAX_DEPTH:
            raise self._damaged(f"an array of {count} values")
        if kind in _NUMBERS and count > self._kept_items:
            self._take(count * struct.calcsize(_NUMBERS[kind]))
            return Counted(count)
        if kind == _STRING and count > self._kept_items:
            for _ in range(count):
                self._take(self._number("<Q"))
            return Counted(count)
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _string(self) -> str:
        length = self._number("<Q")
        if length > MAX_STRING_BYTES:
            raise self._damaged(f"a string of {length:,} bytes")
        start = self._take(length)
        return bytes(self._view[start : start + length]).decode(errors="replace")

    def _number(self, form: str) -> int:
        value: int = self._unpack(form)
        return value

    def _unpack(self, form: str) -> Any:
        start = self._take(struct.calcsize(form))
        return struct.unpack_from(form, self._view, start)[0]

    def _take(self, num_bytes: int) -> int:
        """Return where the next bytes begin, and go past them; raises ModelError."""
        start = self._position
        if num_bytes > self._size - start:
            raise ModelError(f"{self._path} is cut off or damaged in its header")
        self._position += num_bytes
        return start

    def _damaged(self, what: str) -> ModelError:
        return ModelError(f"{self._path} is damaged: its header tells of {what}")


def _align(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
