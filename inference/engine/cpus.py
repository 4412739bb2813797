"""How many processors this process may really use."""

import os
from pathlib import Path

_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")

# Below this many parameters a second thread costs more in waiting than it computes.
_SMALL_MODEL = 50_000_000


def choose_num_threads(num_parameters: int, num_cpus: int) -> int:
    """Return how many threads should compute a model of that size.

    One processor is left to everybody else. llama.cpp's threads wait for each other
    by spinning, some hundred times a token: with two threads on two processors that
    others used too, steps of 0.3 ms took 12 to 65 ms on average, with one 0.7 ms
    (4 M parameters, Zen 5, load 9).
    """
    if num_parameters < _SMALL_MODEL:
        return 1
    return max(1, num_cpus - 1)


def count_usable_cpus(quota_file: Path = _QUOTA_FILE) -> int:
    """Return the number of processors, as limited by affinity and by cgroup quota.

    A container with two of sixty-four processors sees all sixty-four; threads for
    all of them would wait for each other most of the time.
    """
    if hasattr(os, "sched_getaffinity"):
        num_cpus = len(os.sched_getaffinity(0))
    else:
        num_cpus = os.cpu_count() or 1
    return max(1, min(num_cpus, _read_quota(quota_file, num_cpus)))


def _read_quota(quota_file: Path, default: int) -> int:
    try:
        quota, period = quota_file.read_text().split()
        return round(int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup 2, or "max", which is no limit
        return default
