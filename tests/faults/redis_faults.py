"""F9 to F15: what happens to Redis."""

import signal
from collections.abc import Iterator
from random import Random

from tests.faults.registry import fault
from tests.faults.system import System

# Redis itself needs about this much: with it every write is refused
_FULL = "1mb"


@fault("F9", "Redis is killed and comes back empty", target="redis",
       promises=(1, 12), hold_s=4.0, within_s=10.0, is_over_when_healed=True,
       acks_within_s=2.0, is_quick=True)  # fmt: skip
def kill_and_empty_redis(system: System, dice: Random) -> Iterator[None]:
    system.redis.kill()
    yield
    system.empty_redis_folder()
    system.redis.start()


@fault("F10", "Redis is killed and comes back with its file", target="redis",
       promises=(1, 12), hold_s=4.0, within_s=10.0, is_over_when_healed=True,
       acks_within_s=2.0)  # fmt: skip
def kill_redis(system: System, dice: Random) -> Iterator[None]:
    system.redis.kill()
    yield
    system.redis.start()


@fault("F11", "Redis is frozen", target="redis", promises=(12,), hold_s=8.0,
       within_s=10.0, is_over_when_healed=True, acks_within_s=2.0)  # fmt: skip
def freeze_redis(system: System, dice: Random) -> Iterator[None]:
    system.redis.process.send_signal(signal.SIGSTOP)
    yield
    system.redis.process.send_signal(signal.SIGCONT)


@fault("F11b", "every connection to Redis is half open", target="redis",
       promises=(12,), hold_s=3.0, within_s=40.0, acks_within_s=2.0)  # fmt: skip
def freeze_connections(system: System, dice: Random) -> Iterator[None]:
    """New connections work: whoever notices can go on at once."""
    for process in system.processes:
        process.redis.freeze_existing()
    yield


@fault("F12", "Redis is full", target="redis", promises=(12,), hold_s=6.0,
       within_s=10.0, is_over_when_healed=True, acks_within_s=2.0)  # fmt: skip
def fill_redis(system: System, dice: Random) -> Iterator[None]:
    with system.ask_redis() as client:
        client.config_set("maxmemory", _FULL)
        yield
        client.config_set("maxmemory", "0")


@fault("F13", "FLUSHALL", target="redis", promises=(1, 12), within_s=10.0,
       acks_within_s=2.0)  # fmt: skip
def flush_redis(system: System, dice: Random) -> Iterator[None]:
    with system.ask_redis() as client:
        client.flushall()
    yield


@fault("F14", "Redis cuts its subscribers, then everybody", target="redis",
       promises=(7, 12), hold_s=1.0, within_s=10.0, acks_within_s=2.0)  # fmt: skip
def cut_clients(system: System, dice: Random) -> Iterator[None]:
    with system.ask_redis() as client:
        client.client_kill_filter(_type="pubsub")
        yield
        client.client_kill_filter(_type="normal", skipme=True)


@fault("F15", "Redis is read-only", target="redis", promises=(12,), hold_s=6.0,
       within_s=10.0, is_over_when_healed=True, acks_within_s=2.0)  # fmt: skip
def make_redis_read_only(system: System, dice: Random) -> Iterator[None]:
    """As a replica that nobody has promoted yet."""
    with system.ask_redis() as client:
        client.replicaof("127.0.0.1", "1")
        yield
        client.replicaof("NO", "ONE")
