"""F20: the disk of Postgres is full for a while."""

import os
import shutil
import subprocess
import time

import pytest

from deploy.services import ServiceFailed
from tests.faults.system import DurablePostgres
from tests.ports import free_port
from tests.services import TestRedis, running, skip_without_programs
from tests.system.server import Visitor
from tests.system.stack import Stack

pytestmark = pytest.mark.faults

SIZE_MB = 100
_BACK_WITHIN_S = 60.0


class SmallPostgres(DurablePostgres):
    """Postgres that keeps little, so that it fits on a small disk."""

    options = DurablePostgres.options | {
        "max_wal_size": "32MB", "min_wal_size": "32MB", "shared_buffers": "16MB",
    }  # fmt: skip


@pytest.fixture
def small_disk(tmp_path_factory):
    """A folder that takes 100 MB."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=755", "tmpfs", folder]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("this machine does not let a small disk be mounted")
    for parent in folder.parents:  # Postgres is another user
        if parent.owner() == "root" and parent.is_relative_to("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def postgres(small_disk):
    skip_without_programs()
    with SmallPostgres(small_disk / "postgres", free_port()) as postgres:
        yield postgres


@pytest.fixture
def stack(tmp_path, postgres):
    with running(TestRedis) as redis:
        stack = Stack(tmp_path, database_url=postgres.url, redis_url=redis.url)
        stack.set_up()
        stack.use_scripts("say fine")
        try:
            stack.start()
            stack.start_worker()
            yield stack
        finally:
            stack.kill()


@pytest.fixture
def one(stack):
    one = Visitor(stack)
    one.connect()
    one.receive_until("replay_done")
    yield one
    one.disconnect()


def fill(folder) -> None:
    """Write until nothing more fits."""
    with open(folder / "filling", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass


def ask_until_refused(one) -> int:
    """Send until the disk does not take it; return how many were acknowledged.

    What fits into the space that Postgres already has is stored.
    """
    for number in range(1000):
        one.ask("x" * 2000, f"client-full-{number:04}")
        frame = receive_answer(one)
        if frame["type"] == "error":
            assert frame["code"] == "unavailable"
            return number
    raise AssertionError("the disk is not full")


def receive_answer(one) -> dict:
    """Return the acknowledgement, or what was wrong."""
    while (frame := one.receive())["type"] not in ("ack", "error"):
        pass
    return frame


def test_nothing_is_acknowledged_that_the_disk_does_not_take(
    one, postgres, small_disk, measured
):
    fill(small_disk)
    num_acknowledged = ask_until_refused(one)
    (small_disk / "filling").unlink()
    restart_if_ended(postgres)
    began_s = time.monotonic()
    last = f"client-full-{num_acknowledged:04}"
    while last not in one.acks:
        assert time.monotonic() - began_s < _BACK_WITHIN_S
        one.ask("x" * 2000, last)
        receive_answer(one)
        time.sleep(0.2)
    measured["back_s"] = time.monotonic() - began_s
    one.receive_outcomes(num_acknowledged + 1, 120)
    stored = one.server.fetch(
        "SELECT client_id FROM support_message WHERE client_id IS NOT NULL"
    )
    assert {client_id for (client_id,) in stored} == one.acks.keys()


def restart_if_ended(postgres) -> None:
    """A Postgres that cannot write its log ends itself; a supervisor starts it."""
    until_s = time.monotonic() + 5
    while postgres.process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.1)
    if postgres.process.poll() is not None:
        postgres.kill()
        for _ in range(3):
            try:
                postgres.start()
            except ServiceFailed:
                continue
            return
