"""What can go wrong: the register of faults, one function each.

A fault is a generator function that is registered by `@fault`. It gets the running
`System` and dice of its own; what is before its one `yield` injects, what is after it
heals:

    @fault("F11", "Redis is frozen", target="redis", promises=(12,),
           hold_s=8, within_s=10, acks_within_s=2)
    def freeze_redis(system: System, dice: Random) -> Iterator[None]:
        system.redis.process.send_signal(signal.SIGSTOP)
        yield
        system.redis.process.send_signal(signal.SIGCONT)

While it holds, visitors go on asking (`crowd.py`); afterwards the history of what they
sent and saw, and the database, are checked (`play.py`). A fault that leaves processes
dead need not start them again: `System.repair` does, after every fault. Modules with
faults are named in `catalogue.py`; chaos picks from all of them, and holds at most one
fault of each `target` at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

from tests.faults.system import System

Inject = Callable[[System, Random], Iterator[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, and what is promised for it.

    It lasts for `hold_s` and `hold_leases` times a worker's lease. Within `within_s`
    every visitor who waits must see something new: counted from the injection, or,
    where `is_over_when_healed`, from the end of the fault. `acks_within_s` is the
    longest that an acknowledgement may take meanwhile, None where it may not come.
    """

    name: str
    title: str
    target: str
    promises: tuple[int, ...]
    inject: Callable[[System, Random], AbstractContextManager[None]]
    hold_s: float = 0.0
    hold_leases: float = 0.0
    within_s: float = 20.0
    is_over_when_healed: bool = False
    acks_within_s: float | None = None
    backend: str = "scripted"
    is_quick: bool = False  # runs in `make test` too
    is_for_chaos: bool = True


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, title: str, **fields: object
) -> Callable[[Inject], Callable[[System, Random], AbstractContextManager[None]]]:
    """Register a function as the fault `name`; `fields` are those of `Fault`."""

    def register(
        inject: Inject,
    ) -> Callable[[System, Random], AbstractContextManager[None]]:
        if name in FAULTS:
            raise ValueError(f"there is a fault {name} already")
        managed = contextmanager(inject)
        FAULTS[name] = Fault(name=name, title=title, inject=managed, **fields)  # type: ignore[arg-type]
        return managed

    return register
