"""Processes by parentage: from /proc, and where there is none from `ps`."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_RUN_S, _REST_S = 0.005, 0.05


def find_children(parent: int) -> list[int]:
    """Return the ids of a process's children."""
    return [pid for pid, of, _ in _list_processes() if of == parent]


def read_command(pid: int) -> str:
    """Return a process's command line, empty if it is gone."""
    return next((line for number, _, line in _list_processes() if number == pid), "")


@contextmanager
def slowed(pid: int) -> Iterator[None]:
    """Let a process run for a tenth of the time; it may be killed meanwhile."""
    is_over = threading.Event()

    def pace() -> None:
        while not is_over.wait(_RUN_S):
            os.kill(pid, signal.SIGSTOP)
            is_over.wait(_REST_S)
            os.kill(pid, signal.SIGCONT)

    def run() -> None:
        with suppress(ProcessLookupError):
            pace()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _list_processes() -> list[tuple[int, int, str]]:
    if not Path("/proc/self/stat").exists():
        return _ask_ps()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # the name in brackets may hold anything; what follows it is numbers
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue  # it has ended
        found.append((int(folder.name), parent, command.decode(errors="replace")))
    return found


def _ask_ps() -> list[tuple[int, int, str]]:
    listed = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,args="])
    rows = [
        line.split(None, 2) for line in listed.decode(errors="replace").splitlines()
    ]
    return [(int(row[0]), int(row[1]), row[2]) for row in rows if len(row) == 3]
