"""`make services`: what it starts ends with it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest

from tests.ports import free_port
from tests.services import skip_without_programs
from tests.system.server import ROOT


@pytest.fixture
def ports() -> list[int]:
    skip_without_programs()
    return [free_port(), free_port()]


@pytest.fixture
def command(ports) -> Iterator[list[str]]:
    """The command line that starts both; what runs meanwhile may follow."""
    redis, postgres = map(str, ports)
    with TemporaryDirectory(prefix="chatbot-services-") as folder:
        os.chmod(folder, 0o755)  # the servers' user may be another one
        yield [
            sys.executable, "deploy/services.py", "--redis-port", redis,
            "--postgres-port", postgres, f"{folder}/var",
        ]  # fmt: skip


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_command_finds_both_and_its_status_is_kept(command, ports):
    look = (
        "import os; print(os.environ['DATABASE_URL'], os.environ['REDIS_URL']); exit(7)"
    )
    done = subprocess.run(
        [*command, sys.executable, "-c", look],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 7
    assert f":{ports[1]}/chatbot redis://:" in done.stdout
    assert not any(map(is_taken, ports))


def test_a_command_that_is_none_is_said_without_a_trace(command):
    done = subprocess.run(
        [*command, "no-such-program"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip() == "no-such-program: No such file or directory"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_it_is_told_to_end(command, ports, number):
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(b"REDIS_URL"):
                    break
            assert all(map(is_taken, ports))
            process.send_signal(number)
            assert process.wait(20) == 130
        finally:
            process.kill()
    assert not any(map(is_taken, ports))
