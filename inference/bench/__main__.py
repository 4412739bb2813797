"""The command: `python -m inference.bench [WORKLOAD ...]`, see `--help`."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from inference.backends.base import BackendSettings
from inference.backends.llama_options import build_config
from inference.bench.footprint import measure_footprint
from inference.bench.machine import describe_machine
from inference.bench.models import FOLDER, SHAPES, provide_model
from inference.bench.quick import BUNDLED, QuickSetting, measure_quickly
from inference.bench.report import (
    Results,
    build_json,
    format_record,
    format_tables,
)
from inference.bench.suite import (
    ENGINE,
    SMALL,
    Record,
    Setting,
    Sizes,
    build_raw_config,
    measure_copying,
    measure_long_prompt,
    measure_traffic,
    measure_turns,
)
from inference.engine.cpus import count_usable_cpus

TRAFFIC = ("support", "churn")
WORKLOADS = (*TRAFFIC, "copy", "turns", "long", "footprint")

# Room for every conversation of "churn" with its whole history, as the bare loop has.
NUM_CELLS = 40_960
NUM_RETAINED = 64

HELP = """
Without a workload, or with `quick`: a minute with one model and the engine alone.

  support    16 conversations at once, 2 turns each, 400 shared system tokens: cold
             (nothing cached), then steady (others with the same system prompt before)
  churn      64 conversations of 4 turns in random order, 16 at once
  copy       an answer of which half stands in the prompt, and one of which nothing does
  turns      the time to the first token from turn to turn
  long       the gaps of running answers while a prompt of 2,000 tokens is read
  footprint  the cells that 16 conversations take, and the engine's own memory
  all        everything above

They run on models made here (folder var/bench, once, some minutes), and compare the
engine with `llama_cpp.Llama` behind a lock, with a bare loop over llama_decode, and
with a server of your choice. Start that with the same file, threads and room:

  llama-server -m var/bench/0.5b-Q4_K_M-1.gguf -np 16 -c 40960 -t THREADS --kv-unified
  python -m inference.bench all --against http://127.0.0.1:8080/v1
"""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.bench",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choices = ("quick", "all", *WORKLOADS)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=", ".join(choices)
    )
    parser.add_argument("--shape", choices=SHAPES, default="0.5b")
    parser.add_argument("--model", help="a GGUF file for `quick`; default: bundled")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of our models")
    parser.add_argument("--threads", type=int, help="default: one per processor")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: less of all"
    )
    parser.add_argument("--against", metavar="URL", help="ends in /v1, as a rule")
    parser.add_argument("--against-model", metavar="NAME", default="bench")
    parser.add_argument("--against-pid", type=int, help="its process, if it is local")
    parser.add_argument("--only", nargs="+", default=[], help="contestants by name")
    parser.add_argument("--options", type=json.loads, default={}, help="engine, JSON")
    parser.add_argument(
        "--speculation-off",
        type=json.loads,
        default={},
        help="the engine's options that switch speculation off, JSON",
    )
    parser.add_argument("--json", type=Path, help="write everything there")
    quick = parser.add_argument_group("of the workload quick")
    quick.add_argument("--parallel", type=int, nargs="+", default=[1, 4, 8, 16])
    quick.add_argument("--each", type=int, default=8, help="questions per thread")
    quick.add_argument("--max-tokens", type=int, default=64)
    quick.add_argument("--batch", type=int, default=256, help="tokens per step")
    quick.add_argument("--gpu-layers", type=int, default=0)
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.workloads) - set(choices):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    return parsed


def build_setting(arguments: argparse.Namespace, model: Path) -> Setting:
    """Return what all measurements share; raises ValueError."""
    threads = arguments.threads or count_usable_cpus()
    options = {
        "num_threads": threads,
        "num_cells": NUM_CELLS,
        "max_retained": NUM_RETAINED,
        **arguments.options,
    }
    against = None
    if arguments.against:
        host = urlsplit(arguments.against).netloc  # whoever starts this allows it
        against = BackendSettings(
            "against",
            arguments.against_model,
            endpoint=arguments.against,
            private_hosts=(host,) if host else (),
        )
    return Setting(
        build_config(str(model), options),
        threads,
        against,
        arguments.against_pid,
        arguments.speculation_off,
        SMALL if arguments.quick else Sizes(),
        1 if arguments.quick else arguments.repeats,
        arguments.only,
    )


def measure(setting: Setting, names: list[str]) -> Iterator[Record]:
    """Yield the records of the workloads."""
    if traffic := [name for name in TRAFFIC if name in names]:
        yield from measure_traffic(setting, traffic, say)
    if "copy" in names:
        yield from measure_copying(setting, say)
    if "turns" in names:
        yield from measure_turns(setting, say)
    if "long" in names:
        yield from measure_long_prompt(setting, say)
    if "footprint" in names:
        say("footprint")
        raw = build_raw_config(setting, same=True)
        number = setting.sizes.support_conversations
        figures = measure_footprint(setting.engine, raw, number)
        yield Record("footprint", ENGINE, 1, figures)


def say(text: str) -> None:
    """Tell what is being done, beside the table."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def write_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, write the JSON."""
    asked = parse_arguments(arguments)
    names = list(asked.workloads) or ["quick"]
    if "quick" in names:
        quick = QuickSetting(
            asked.model or str(BUNDLED),
            asked.parallel,
            asked.each,
            asked.max_tokens,
            asked.threads,
            asked.batch,
            asked.gpu_layers,
        )
        write_lines(measure_quickly(quick))
    if "all" in names:
        names += WORKLOADS
    if not set(names) & set(WORKLOADS):
        return
    model = provide_model(SHAPES[asked.shape], asked.folder, say)
    setting = build_setting(asked, model)
    about = describe_machine(model, setting.num_threads)
    write_lines(f"{name}: {value}" for name, value in about.items())
    write_lines([""])
    records = []
    for record in measure(setting, names):
        records.append(record)
        say(format_record(record))
        if asked.json:  # after each: a run of hours may be cut short
            text = build_json(Results(records), about)
            asked.json.write_text(text, encoding="utf-8")
    write_lines(format_tables(Results(records)))


if __name__ == "__main__":
    main()
