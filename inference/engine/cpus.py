"""How many processors this process may really use."""

import os
from pathlib import Path

_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


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
