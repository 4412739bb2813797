"""Writes GGUF files (version 3), one tensor in memory at a time.

The package `gguf` does it too, and training uses it; it is not among the packages
that the project runs on, and the bench is to work wherever the engine does.
Source: ggml's docs/gguf.md.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"GGUF"
_VERSION = 3
_ALIGNMENT = 32
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _INT32 = 4, 6, 7, 8, 9, 5
_TENSOR_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}

Value = bool | int | float | str | Sequence[int] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor to be: its rows come first in `shape`; `make` computes it when asked."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.float32] | np.dtype[np.float16]
    make: Callable[[], NDArray[np.float32] | NDArray[np.float16]]

    @property
    def num_bytes(self) -> int:
        """Return the size without padding."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


def write_gguf(
    path: Path, metadata: Mapping[str, Value], tensors: Sequence[Tensor]
) -> None:
    """Write a whole file. Raises ValueError for a tensor of another shape or type."""
    with path.open("wb") as file:
        file.write(_MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_encode_text(key) + _encode_value(value))
        offset = 0
        for tensor in tensors:
            file.write(_encode_tensor(tensor, offset))
            offset += _pad(tensor.num_bytes)
        _align(file)
        for tensor in tensors:
            _write_tensor(file, tensor)


def _write_tensor(file: BinaryIO, tensor: Tensor) -> None:
    values = tensor.make()
    if values.shape != tensor.shape or values.dtype != tensor.dtype:
        raise ValueError(f"{tensor.name} became {values.shape} of {values.dtype}")
    file.write(np.ascontiguousarray(values).data)
    _align(file)


def _align(file: BinaryIO) -> None:
    position = file.tell()
    file.write(b"\0" * (_pad(position) - position))


def _pad(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _encode_tensor(tensor: Tensor, offset: int) -> bytes:
    sizes = tensor.shape[::-1]  # ggml names the shortest stride first
    return (
        _encode_text(tensor.name)
        + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        + struct.pack("<IQ", _TENSOR_TYPES[tensor.dtype], offset)
    )


def _encode_text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _encode_value(value: Value) -> bytes:
    """Return the type and the value."""
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _encode_text(value)
    return struct.pack("<I", _ARRAY) + _encode_items(value)


def _encode_items(items: Sequence[int] | Sequence[str]) -> bytes:
    """Return the type of the items, their number and the items."""
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) == len(items):
        head = struct.pack("<IQ", _STRING, len(texts))
        return head + b"".join(map(_encode_text, texts))
    return struct.pack(f"<IQ{len(items)}i", _INT32, len(items), *items)
