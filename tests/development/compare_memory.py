"""What models were said to need, and what they took: a table for the docs.

`python -m tests.development.compare_memory FILE [FILE ...] [--options JSON]`. Each is
loaded in a process of its own, reads three full batches, and is asked for its
resident memory. Linux only.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from inference.backends.base import BackendSettings
from inference.backends.llama_cpp import describe_need
from inference.backends.llama_options import build_config
from inference.engine.binding import LlamaRunner
from inference.engine.scheduler import Chunk, Step
from inference.engine.sequence import Sequence


def measure(path: str, options: dict) -> float:
    """Return the resident memory of this process in MB after three full batches."""
    config = build_config(path, options)
    runner = LlamaRunner(config)
    size = min(config.max_batch_tokens, runner.limit_tokens // 3)
    for number in range(3):
        tokens = (5 + number,) * size
        chunk = Chunk(Sequence("x", [1]), 0, number * size, tokens, is_last=True)
        runner.compute(Step((), (chunk,)))
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--one", action="store_true", help="for its own processes")
    arguments = parser.parse_args()
    if arguments.one:
        sys.stdout.write(f"{measure(arguments.files[0], arguments.options)}\n")
        return
    sys.stdout.write("| model | options | said, MB | taken, MB | said / taken |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    options = json.dumps(arguments.options)
    for path in arguments.files:
        _, sentence = describe_need(BackendSettings("x", path, arguments.options))
        number, unit = re.findall(r"about ([\d.,]+) (MB|GB)", sentence)[0]
        said_mb = float(number.replace(",", "")) * (1000 if unit == "GB" else 1)
        command = [sys.executable, "-m", "tests.development.compare_memory", "--one"]
        command += [path, "--options", options]
        taken = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        taken_mb = float(taken)
        sys.stdout.write(
            f"| {Path(path).name} | `{options}` | {said_mb:.0f} | {taken_mb:.0f} |"
            f" {said_mb / taken_mb:.2f} |\n"
        )


if __name__ == "__main__":
    main()
