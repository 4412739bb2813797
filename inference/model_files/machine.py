"""How much memory a process on this machine could still get."""

from pathlib import Path

_ROOT = Path("/")


def read_free_bytes(root: Path = _ROOT) -> int | None:
    """Return the bytes that are free, or used for files only; None if not known.

    The smaller of what the machine and what a container's limit leave. Linux only.
    """
    free = [
        value
        for value in (_read_machine(root), _read_container(root))
        if value is not None
    ]
    return min(free, default=None)


def _read_machine(root: Path) -> int | None:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def _read_container(root: Path) -> int | None:
    """Return what the memory limit of cgroup 2 leaves; None where there is none."""
    folder = root / "sys/fs/cgroup"
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
        # pages of files go when somebody needs the room
        cached = int(statistics.get("inactive_file", 0))
        return None if limit == "max" else max(0, int(limit) - used + cached)
    except (OSError, ValueError):
        return None
