"""How much memory a process has of its own, and what keeps it from taking more.

Own is what only this process uses and what the machine cannot take back: the cache of
keys and values, intermediate results, the interpreter, what is swapped out of it. A
model file that is mapped does not count, as its pages go when somebody needs the room;
one that is read into memory (`mmap` false) does.
"""

import resource
from contextlib import suppress
from pathlib import Path

# Address space may be reserved far beyond what is ever touched: stacks and arenas of
# threads, 120 MB with four of them. So the system's own limit lies this much higher,
# where it stops what would take the machine down before anybody looks.
_UNTOUCHED_BYTES = 2**30

_OWN = ("RssAnon:", "VmSwap:")


def read_own_bytes(pid: int | str = "self") -> int | None:
    """Return what a process has of its own; None where that is not known.

    Linux only. The process may have ended: that is not known, too.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * sum(
            int(line.split()[1]) for line in lines if line.startswith(_OWN)
        )
    except (OSError, ValueError, IndexError):
        return None


def limit_own_bytes(limit: int) -> None:
    """Let this process fail to allocate far beyond its limit, at once.

    Whoever watches it ends it at the limit itself.
    """
    with suppress(ValueError, OSError):  # somebody has set a lower one
        resource.setrlimit(
            resource.RLIMIT_DATA, (limit + _UNTOUCHED_BYTES, limit + _UNTOUCHED_BYTES)
        )
