"""What has to be done in llama.cpp before the next decode, in this order.

A slot is a sequence id of llama.cpp. Copied cells are shared, not doubled.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CopyRange:
    """Let `target` share the cells of `source` from `start` up to `stop`."""

    source: int
    target: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Truncate:
    """Drop everything from position `length` on in `slot`."""

    slot: int
    length: int


@dataclass(frozen=True, slots=True)
class Park:
    """Move what `slot` holds out of the cells, into ordinary memory under `key`."""

    slot: int
    key: int


@dataclass(frozen=True, slots=True)
class Restore:
    """Move what was parked under `key` into free cells of the empty `slot`."""

    key: int
    slot: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop what was parked under `key`."""

    key: int


Operation = CopyRange | Truncate | Park | Restore | Forget


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot for a sequence; its first `num_cached` tokens are computed already."""

    slot: int
    num_cached: int
