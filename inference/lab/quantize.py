"""Quantization by llama.cpp: `python -m inference.lab.quantize SOURCE TARGET`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import llama_cpp

TYPES = ("Q4_K_M", "Q4_K_S", "Q5_K_M", "Q6_K", "Q8_0")


class QuantizationError(RuntimeError):
    """llama.cpp could not quantize a file; its own log says why."""


def quantize_gguf(source: Path, target: Path, ftype: str) -> None:
    """Write a quantized copy of a GGUF file, all or nothing.

    `ftype` is one of TYPES. Widths that are no multiples of 256 make llama.cpp fall
    back to other types. Raises ValueError for an unknown type, QuantizationError when
    llama.cpp fails.
    """
    if ftype not in TYPES:
        raise ValueError(f"{ftype} is not one of {', '.join(TYPES)}")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{ftype}")
    partial = target.with_suffix(".partial")
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(partial).encode(), params
    )
    if code != 0:
        partial.unlink(missing_ok=True)
        raise QuantizationError(f"llama.cpp returned {code} for {source}")
    os.replace(partial, target)


def main() -> None:
    """Quantize the file named on the command line and print both sizes."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.lab.quantize", description=__doc__
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--type", choices=TYPES, default="Q4_K_M")
    arguments = parser.parse_args()
    quantize_gguf(arguments.source, arguments.target, arguments.type)
    before, after = (
        path.stat().st_size / 1e6 for path in (arguments.source, arguments.target)
    )
    print(f"{before:.1f} MB -> {after:.1f} MB as {arguments.type}")


if __name__ == "__main__":
    main()
