"""What processes of this machine use, from /proc, and where there is none from `ps`."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc/self")

# [[days-]hours:]minutes:seconds, as ps writes it
_CPU_TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory in use now, and processor time since the start."""

    memory_bytes: int
    cpu_s: float


def read_usage(pids: Sequence[int]) -> Usage:
    """Return what the processes use together; raises ValueError if one is not there."""
    usages = [_read_proc(pid) if _PROC.exists() else _ask_ps(pid) for pid in pids]
    return Usage(
        sum(usage.memory_bytes for usage in usages),
        sum(usage.cpu_s for usage in usages),
    )


def _read_proc(pid: int) -> Usage:
    try:
        # the name in brackets may hold anything; what follows it is numbers
        fields = (_PROC.parent / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise ValueError(f"there is no process {pid} on this machine") from error
    user, system, pages = int(fields[11]), int(fields[12]), int(fields[21])
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), (user + system) / ticks_per_s)


def _ask_ps(pid: int) -> Usage:
    command = ["ps", "-o", "rss=,time=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a number
    if listed.returncode:
        raise ValueError(f"there is no process {pid} on this machine")
    memory_kib, cpu_time = listed.stdout.split()
    return Usage(int(memory_kib) * 1024, parse_cpu_time(cpu_time))


def parse_cpu_time(text: str) -> float:
    """Return the seconds of a processor time as `ps` writes it."""
    match = _CPU_TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no processor time")
    days, hours, minutes, seconds = match.groups()
    total_h = int(days or 0) * 24 + int(hours or 0)
    return (total_h * 60 + int(minutes)) * 60 + float(seconds)
