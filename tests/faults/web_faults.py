"""F23 to F25 and F27: what happens to web processes, and on the way to them."""

from collections.abc import Iterator
from random import Random

from tests.faults.proxy import Direction
from tests.faults.registry import fault
from tests.faults.system import System

_NUM_RESTARTS = 3


@fault("F23", "a web process is killed", target="web", promises=(2, 7, 16),
       within_s=10.0, is_over_when_healed=True)  # fmt: skip
def kill_web(system: System, dice: Random) -> Iterator[None]:
    """Where it was the only one, a visitor waits until it is there again."""
    web = system.choose_web(dice)
    web.kill()
    yield
    web.start()
    web.wait_until_ready()


@fault("F24", "the web processes are restarted one after the other", target="web",
       promises=(2, 7, 16), within_s=10.0, is_over_when_healed=True,
       is_quick=True)  # fmt: skip
def restart_webs(system: System, dice: Random) -> Iterator[None]:
    for number in range(_NUM_RESTARTS):
        web = system.webs[number % len(system.webs)]
        took_s = web.terminate()
        assert took_s < 10, f"{web.name} took {took_s:.1f} s to end"
        web.start()
        web.wait_until_ready()
    yield


@fault("F25", "every connection of a visitor is half open", target="client",
       promises=(2, 7), hold_s=45.0, within_s=60.0)  # fmt: skip
def freeze_visitors(system: System, dice: Random) -> Iterator[None]:
    """Their next ping tells them, within 40 s; new connections work."""
    system.front.freeze_existing()
    yield


@fault("F27", "visitors' connections are cut after some bytes", target="client",
       promises=(2, 3, 6, 7), hold_s=6.0, within_s=10.0)  # fmt: skip
def cut_connections(system: System, dice: Random) -> Iterator[None]:
    for direction in Direction:
        system.front.cut_after(dice.randrange(1, 4000), direction)
    yield


@fault("F28", "all visitors are cut off at once", target="client", promises=(2, 7, 17),
       within_s=10.0)  # fmt: skip
def cut_everybody(system: System, dice: Random) -> Iterator[None]:
    system.front.cut_all()
    yield
