"""F1 to F8: what happens to workers and to the engines in them.

The pool of a worker is threads, so that there is no pool process to kill: the process
of its own that a reply needs is the engine with the model (F1, F5, F6), and a worker
dies as a whole (F2, F4).
"""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from random import Random

from tests.faults.points import HANG, POINTS, STREAMING
from tests.faults.registry import fault
from tests.faults.system import Process, System, wait_until
from tests.system.processes import find_children, read_command, slowed

_ENGINE = "inference.engine.child"
_PILE_UP_S = 1.0
_DIE_S = 60.0


@fault("F1", "the engine of a worker is killed in mid-reply", target="worker",
       promises=(4, 6, 10), backend="model", within_s=5.0)  # fmt: skip
def kill_engine(system: System, dice: Random) -> Iterator[None]:
    end_engine(system.choose_worker(dice), signal.SIGKILL)
    yield


@fault("F2", "a worker is killed", target="worker", promises=(1, 4, 6, 10),
       hold_s=1.0, within_s=20.0, is_quick=True)  # fmt: skip
def kill_worker(system: System, dice: Random) -> Iterator[None]:
    system.choose_worker(dice).kill()
    yield


@fault("F3", "a worker is frozen for longer than its lease, and wakes", target="worker",
       promises=(4, 6, 10), hold_s=4.0, hold_leases=1.0, within_s=20.0)  # fmt: skip
def freeze_worker(system: System, dice: Random) -> Iterator[None]:
    worker = system.choose_worker(dice)
    worker.freeze()
    yield
    worker.wake()


def _register_points() -> None:
    for number, point in enumerate(POINTS, start=1):

        @fault(f"F4.{number}", f"a worker dies: {point}", target="worker",
               promises=(1, 4, 6, 10), within_s=20.0, is_for_chaos=False)  # fmt: skip
        def die(system: System, dice: Random, point: str = point) -> Iterator[None]:
            worker = system.choose_worker(dice)
            worker.die_at(point)
            wait_until(lambda: not worker.is_running, _DIE_S, f"dies {point}")
            yield


_register_points()


@fault("F5", "the engine of a worker aborts, as by an assertion", target="worker",
       promises=(4, 6, 11), backend="model", within_s=10.0)  # fmt: skip
def abort_engine(system: System, dice: Random) -> Iterator[None]:
    end_engine(system.choose_worker(dice), signal.SIGABRT)
    yield


@fault("F6", "the engines of all workers get no more memory", target="worker",
       promises=(4, 6, 11), backend="model", hold_s=4.0, within_s=10.0)  # fmt: skip
def starve_engines(system: System, dice: Random) -> Iterator[None]:
    """Of those that run: what is started instead has memory again."""
    for worker in system.workers:
        limit_memory(find_engine(worker))
    yield


@fault("F6b", "a worker gets no more memory", target="worker", promises=(4, 6, 14),
       hold_s=5.0, within_s=80.0, is_over_when_healed=True)  # fmt: skip
def starve_worker(system: System, dice: Random) -> Iterator[None]:
    """It may end of that, or its threads hang: their turns are free after 60 s."""
    worker = system.choose_worker(dice)
    worker.is_wanted = False
    before = limit_memory(worker.pid)
    yield
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(worker.pid, resource.RLIMIT_AS, before)
        worker.is_wanted = worker.is_running


@fault("F7", "a worker is deaf: its connections to Redis are half open",
       target="worker", promises=(4, 19), hold_s=30.0, within_s=40.0)  # fmt: skip
def deafen_worker(system: System, dice: Random) -> Iterator[None]:
    worker = system.choose_worker(dice)
    worker.redis.freeze_existing()
    yield


@fault("F8", "a worker is told to end in mid-reply", target="worker",
       promises=(4, 6, 16), within_s=10.0)  # fmt: skip
def terminate_worker(system: System, dice: Random) -> Iterator[None]:
    took_s = system.choose_worker(dice).terminate()
    assert took_s < 15, f"it took {took_s:.1f} s to end"
    yield


@fault("F8b", "a worker with a thread that hangs is told to end", target="worker",
       promises=(4, 6, 16), within_s=20.0, is_for_chaos=False)  # fmt: skip
def terminate_hanging_worker(system: System, dice: Random) -> Iterator[None]:
    worker = system.choose_worker(dice)
    worker.die_at(f"{HANG} {STREAMING}")
    wait_until(lambda: not worker.fault_file.exists(), _DIE_S, "a thread hangs")
    took_s = worker.terminate()
    assert took_s < 15, f"it took {took_s:.1f} s to end"
    yield


def find_engine(worker: Process) -> int:
    """Return the process id of a worker's engine, waiting until it is there."""
    found: list[int] = []

    def is_there() -> bool:
        children = find_children(worker.pid)
        found[:] = [pid for pid in children if _ENGINE in read_command(pid)]
        return bool(found)

    wait_until(is_there, 60, f"an engine of {worker.name}")
    return found[0]


def end_engine(worker: Process, number: int) -> None:
    """End an engine by a signal while replies are under way in it."""
    engine = find_engine(worker)
    with slowed(engine):  # or they are done before the signal arrives
        time.sleep(_PILE_UP_S)
        os.kill(engine, number)


def limit_memory(pid: int) -> tuple[int, int]:
    """Give a process no more address space than it has; return its old limits."""
    with open(f"/proc/{pid}/statm") as file:
        num_pages = int(file.read().split()[0])
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    now_bytes = num_pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (now_bytes, before[1]))
    return before
