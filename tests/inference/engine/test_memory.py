"""What a process has of its own, and the limit of the engine's."""

import subprocess
import sys
from dataclasses import replace

import pytest

from inference.engine.host import HostState
from inference.engine.memory import read_own_bytes
from inference.engine.wire import Finished
from inference.errors import BackendError
from inference.types import ChatMessage, CompletionRequest
from tests.inference.conftest import QUICK, wait_until

DEADLY = replace(QUICK, module="tests.inference.engine.deadly_child")
LIMIT = 200_000_000


def ask(question, max_tokens=1500):
    messages = (ChatMessage("user", question),)
    return CompletionRequest(messages, max_tokens, temperature=2.0, seed=1)


def read(ticket):
    while not isinstance(ticket.take(), Finished):
        pass


def test_own_memory_grows_with_what_is_taken():
    before = read_own_bytes()
    taken = bytearray(b"x" * 50_000_000)
    assert 40_000_000 < read_own_bytes() - before < 80_000_000
    assert len(taken) == 50_000_000


def test_nothing_is_known_of_a_process_that_has_ended():
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert read_own_bytes(ended.pid) is None


def test_far_beyond_the_limit_nothing_is_given():
    script = (
        "from inference.engine.memory import limit_own_bytes\n"
        "limit_own_bytes(10**8)\n"
        "try: bytearray(2 * 10**9)\n"
        "except MemoryError: print('refused')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert ended.stdout == b"refused\n"


def test_an_engine_that_takes_too_much_is_replaced_by_a_fresh_one(start_host):
    host = start_host(policy=DEADLY, memory_limit_bytes=LIMIT)
    ticket = host.submit(ask("hemlock hog"))
    with pytest.raises(BackendError, match=r"MB of memory, more than the 200 MB"):
        read(ticket)
    assert host.wait_until_ready(30)
    wait_until(lambda: 0 < host.read_stats().own_bytes < LIMIT)
    assert host.num_starts == 2


def test_a_limit_that_the_model_does_not_fit_is_said_so(start_host):
    host = start_host(memory_limit_bytes=10_000_000, wait=False)
    wait_until(lambda: host.state is HostState.BROKEN)
    assert "more than the 10 MB of memory_limit_bytes" in host.why_broken
