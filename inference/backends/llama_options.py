"""The options of a llama.cpp backend's row: what they may be, as an EngineConfig."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.backends.sampling_options import read_sampling
from inference.engine.config import (
    KV_TYPES,
    MAX_SLOTS,
    MAX_THREADS,
    ROPE_SCALINGS,
    SWITCHES,
    Adapter,
    EngineConfig,
)
from inference.types import SAMPLING_NAMES

Read = Callable[[str, object], object]


@dataclass(frozen=True, slots=True)
class _Whole:
    """A whole number between two others; `null` too where that means: choose."""

    low: int
    high: int
    may_be_null: bool = False

    def __call__(self, name: str, value: object) -> object:
        """Return the value; raises ValueError."""
        if value is None and self.may_be_null:
            return value
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not self.low <= int(str(value)) <= self.high:
            raise ValueError(
                f"{name} must be a whole number from {self.low} to {self.high:,}"
                f"{' or null' if self.may_be_null else ''}, not {value!r}"
            )
        return value


@dataclass(frozen=True, slots=True)
class _Number:
    """A number between two others."""

    low: float
    high: float

    def __call__(self, name: str, value: object) -> object:
        """Return the value as a float; raises ValueError."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= float(str(value)) <= self.high:
            raise ValueError(
                f"{name} must be a number from {self.low:g} to {self.high:g}, "
                f"not {value!r}"
            )
        return float(str(value))


@dataclass(frozen=True, slots=True)
class _OneOf:
    """One of some words."""

    words: tuple[str, ...]

    def __call__(self, name: str, value: object) -> object:
        """Return the word; raises ValueError."""
        if value not in self.words:
            raise ValueError(
                f"{name} must be one of {', '.join(self.words)}, not {value!r}"
            )
        return value


def _read_switch(name: str, value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def _read_switch_or_null(name: str, value: object) -> object:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{name} must be true, false or null, not {value!r}")
    return value


def _read_text(name: str, value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be a text, not {value!r}")
    return value


def _read_adapters(name: str, value: object) -> object:
    """Return the adapters of a list of `{"path": ..., "scale": ...}`."""
    example = f'{name} must be a list such as [{{"path": "a.gguf", "scale": 1.0}}]'
    if not isinstance(value, list):
        raise ValueError(f"{example}, not {value!r}")
    adapters = []
    for item in value:
        is_object = isinstance(item, Mapping) and set(item) <= {"path", "scale"}
        if not is_object or not isinstance(item.get("path"), str):
            raise ValueError(f"{example}; {item!r} is not like that")
        scale = _Number(-100, 100)(f"scale of {item['path']}", item.get("scale", 1.0))
        adapters.append(Adapter(item["path"], float(str(scale))))
    return tuple(adapters)


_KV_TYPE = _OneOf(KV_TYPES)
_SHARE = _Number(0, 1_000_000)

OPTIONS: Mapping[str, Read] = {
    "num_cells": _Whole(0, 2**24),
    "max_sequences": _Whole(0, MAX_SLOTS),
    "max_retained": _Whole(0, MAX_SLOTS),
    "max_idle_cells": _Whole(0, 2**24, may_be_null=True),
    "max_parked_bytes": _Whole(0, 2**40),
    "max_waiting": _Whole(0, 100_000),
    "max_batch_tokens": _Whole(1, 65_536),
    "max_prefill_tokens": _Whole(1, 65_536, may_be_null=True),
    "max_drafted_tokens": _Whole(0, 65_536),
    "num_threads": _Whole(0, MAX_THREADS, may_be_null=True),
    "num_batch_threads": _Whole(0, MAX_THREADS, may_be_null=True),
    "num_gpu_layers": _Whole(0, 10_000),
    "main_gpu": _Whole(0, 63, may_be_null=True),
    "memory_limit_bytes": _Whole(2**20, 2**50, may_be_null=True),
    "mmap": _read_switch_or_null,
    "mlock": _read_switch,
    "kv_type_k": _KV_TYPE,
    "kv_type_v": _KV_TYPE,
    "flash_attention": _OneOf(SWITCHES),
    "full_windows": _read_switch,
    "rope_scaling": _OneOf(ROPE_SCALINGS),
    "rope_factor": _Number(1, 64),
    "rope_base": _Number(0, 1e9),
    "adapters": _read_adapters,
    "reuse_prefixes": _read_switch,
    "template": _read_text,
    "thinking": _read_switch,
    "quotes": _read_switch,
    "quote_lean": _SHARE,
    "quote_doubt": _SHARE,
    "quote_also_from": _SHARE,
}


def build_config(model: str, options: Mapping[str, object]) -> EngineConfig:
    """Return the engine's set-up of an operator's options.

    Raises ValueError, which says what is wrong and what is allowed.
    """
    known = {*OPTIONS, *SAMPLING_NAMES}
    if unknown := set(options) - known:
        names = ", ".join(sorted(known))
        raise ValueError(f"unknown options {sorted(unknown)}; there are {names}")
    values = {
        name: OPTIONS[name](name, value)
        for name, value in options.items()
        if name in OPTIONS
    }
    return EngineConfig(model, sampling=read_sampling(options), **values)  # type: ignore[arg-type]  # each was read


def find_adapters(config: EngineConfig) -> list[Path]:
    """Return the files of the adapters; raises ValueError if one is not there."""
    paths = [Path(adapter.path) for adapter in config.adapters]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"no adapter file at {path}")
    return paths
