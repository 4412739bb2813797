"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from inference.engine.cpus import count_usable_cpus


def describe_machine(model: Path, num_threads: int) -> dict[str, object]:
    """Return what a reader needs to repeat the measurement, and how busy it was."""
    return {
        "model": model.name,
        "threads": num_threads,
        "processors": count_usable_cpus(),
        "processor": _find_processor(Path("/proc/cpuinfo")),
        "python": platform.python_version(),
        "llama-cpp-python": version("llama-cpp-python"),
        "load at the start": round(os.getloadavg()[0], 1),
    }


def _find_processor(cpuinfo: Path) -> str:
    """Return the name of the first processor."""
    if not cpuinfo.is_file():
        return platform.processor()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
