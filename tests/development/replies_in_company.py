"""How often a reply in company is another than the same alone.

`python -m tests.development.replies_in_company FILE` asks the model of a GGUF file
questions over help articles, sixteen at once and each alone, greedy and with a seed.
`--f16` first stores its weights in 16 bits, `--kv` is how keys and values are stored.
"""

import argparse
import itertools
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import llama_cpp

from inference.bench.quick import build_requests
from inference.engine.binding import LlamaRunner
from inference.engine.config import EngineConfig
from inference.engine.llama_context import collect_logs
from tests.inference.engine.witness import (
    Witness,
    clear,
    find_deviations,
    play,
    play_alone,
)


def store_in_f16(source: Path, target: Path) -> Path:
    """Write a copy of a model whose weights have 16 bits."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = llama_cpp.LLAMA_FTYPE_MOSTLY_F16, True
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), params
    )
    if code != 0:
        raise SystemExit(f"llama.cpp returned {code} for {source}")
    return target


def measure(runner: LlamaRunner, temperature: float, num_replies: int) -> None:
    """Print how many replies are others, and how far logits are apart."""
    found = itertools.islice(build_requests(48), num_replies)
    requests = {
        str(number): replace(request, temperature=temperature, seed=number)
        for number, request in enumerate(found)
    }
    config = EngineConfig("-", max_sequences=16)
    clear(runner)
    witness = Witness(runner)
    told, _ = play(witness, config, requests, random.Random(1))
    alone, _ = play_alone(runner, config, requests)
    num_others = sum(told[key].text != alone[key].text for key in requests)
    deviations = sorted(find_deviations(runner, witness))
    sys.stdout.write(
        f"temperature {temperature}: {num_others} of {num_replies} replies are others;"
        f" {len(deviations)} tokens, logits apart by {deviations[-1]:.3f} at most,"
        f" {deviations[len(deviations) // 2]:.6f} in the median\n"
    )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--f16", action="store_true")
    parser.add_argument("--kv", default="auto")
    parser.add_argument("--replies", type=int, default=200)
    options = parser.parse_args()
    collect_logs()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file
        if options.f16:
            path = store_in_f16(path, Path(folder) / "f16.gguf")
        config = EngineConfig(
            str(path),
            num_cells=4096,
            max_batch_tokens=512,
            max_drafted_tokens=64,
            num_threads=1,
            kv_type_k=options.kv,
            kv_type_v=options.kv,
        )
        runner = LlamaRunner(config)
        for temperature in (0.0, 0.7, 1.0):
            measure(runner, temperature, options.replies)


if __name__ == "__main__":
    main()
