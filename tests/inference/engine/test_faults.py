"""The engine under each fault of docs/faults.md that is not in test_host.py."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inference.engine.config import HostPolicy
from inference.engine.host import HostState
from inference.engine.wire import Text
from inference.errors import (
    BackendError,
    Overloaded,
    PromptTooLong,
    Unavailable,
)
from inference.types import FinishReason
from tests.inference.conftest import wait_until
from tests.inference.engine.asking import ask, finish, start_talking
from tests.inference.toy_models import GgufFile, embedder

ENDED = {FinishReason.STOP, FinishReason.LENGTH}


def wait_until_broken(host):
    wait_until(lambda: host.state is HostState.BROKEN, timeout_s=60)
    return host.why_broken


@pytest.mark.faults
def test_frozen_for_20_s_it_is_replaced_meanwhile(start_host):
    host = start_host(policy=HostPolicy())
    ticket, frozen = start_talking(host), host.pid
    os.kill(frozen, signal.SIGSTOP)
    began_s = time.monotonic()
    with pytest.raises(BackendError, match="silent for"):
        finish(ticket)
    assert 9 < time.monotonic() - began_s < 18
    assert host.wait_until_ready(60)
    assert finish(host.submit(ask())).finish_reason in ENDED
    assert host.pid != frozen


@pytest.mark.faults
def test_frozen_for_less_than_its_patience_it_goes_on(start_host):
    host = start_host(policy=HostPolicy())
    ticket = start_talking(host)
    os.kill(host.pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(host.pid, signal.SIGCONT)
    ticket.cancel()
    assert finish(ticket).finish_reason is FinishReason.CANCELLED
    assert host.num_starts == 1


def test_with_the_context_full_all_are_answered_in_turn(start_host):
    host = start_host(num_cells=512, max_sequences=6)
    questions = [f"{number} " * 60 for number in range(6)]
    tickets = [
        host.submit(ask(text, max_tokens=120, temperature=2.0, seed=3))
        for text in questions
    ]
    assert {finish(ticket).finish_reason for ticket in tickets} <= ENDED
    wait_until(lambda: host.read_stats().num_preemptions > 0)
    assert host.num_starts == 1


def test_ten_thousand_tokens_are_refused_beside_a_reply_that_goes_on(start_host):
    host = start_host()
    talking = start_talking(host)
    with pytest.raises(PromptTooLong) as caught:
        finish(host.submit(ask("tent " * 10_000)))
    assert caught.value.prompt_tokens >= 10_000
    assert isinstance(talking.take(), Text)
    talking.cancel()


@pytest.mark.parametrize(
    "question", ["", " \n\t", "<|im_end|>" * 40, "<|im_start|>system\n<|im_end|>", "\0"]
)
def test_prompts_of_nothing_or_of_markup_only_are_answered(start_host, question):
    host = start_host()
    talking = start_talking(host)
    assert finish(host.submit(ask(question))).finish_reason in ENDED
    assert isinstance(talking.take(), Text)
    assert host.num_starts == 1


def test_text_that_is_no_text_is_refused(start_host):
    host = start_host()
    with pytest.raises(BackendError, match="not valid text"):
        finish(host.submit(ask("\ud800")))
    assert finish(host.submit(ask())).finish_reason in ENDED


def cut_short(path, model_path):
    content = Path(model_path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def overwrite_header(path, model_path):
    content = bytearray(Path(model_path).read_bytes())
    content[200:4000] = b"\xff" * 3800
    path.write_bytes(content)


def write_unknown_architecture(path, model_path):
    file = GgufFile("abacus")
    file.set(context_length=64, block_count=1, embedding_length=8)
    file.write(path)


def write_embedder(path, model_path):
    embedder().write(path)


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (cut_short, "is cut off"),
        (overwrite_header, "is damaged"),
        (write_unknown_architecture, "abacus"),
        (write_embedder, "writes no text"),
    ],
)
def test_a_file_that_is_no_model_is_named_and_harms_no_other(
    start_host, model_path, tmp_path, write, why
):
    path = tmp_path / "odd.gguf"
    write(path, model_path)
    good = start_host()
    talking = start_talking(good)
    bad = start_host(str(path), wait=False)
    wait_until(lambda: bad.state is HostState.BROKEN, timeout_s=60)
    with pytest.raises(Unavailable, match=why):
        bad.submit(ask())
    assert isinstance(talking.take(), Text)


@pytest.fixture
def borrowed(tmp_path, model_path):
    """A model file that can be taken away."""
    return shutil.copy(model_path, tmp_path / "borrowed.gguf")


def test_a_file_that_is_gone_is_missed_at_the_next_start_only(start_host, borrowed):
    host = start_host(str(borrowed))
    away = borrowed.rename(borrowed.with_suffix(".away"))
    assert finish(host.submit(ask())).finish_reason in ENDED
    os.kill(host.pid, signal.SIGKILL)
    assert "no model file at" in wait_until_broken(host)
    with pytest.raises(Unavailable, match=r"borrowed\.gguf"):
        host.submit(ask())
    away.rename(borrowed)
    wait_until(lambda: host.state is HostState.READY, timeout_s=60)
    assert finish(host.submit(ask())).finish_reason in ENDED


def test_a_file_that_is_emptied_under_the_engine_ends_nothing_else(
    start_host, borrowed
):
    good, host = start_host(), start_host(str(borrowed), mmap=True)
    os.truncate(borrowed, 0)
    with pytest.raises(Unavailable):
        finish(host.submit(ask()))
    assert "borrowed.gguf is empty" in wait_until_broken(host)
    assert finish(good.submit(ask())).finish_reason in ENDED


def test_what_would_come_too_late_is_refused_at_once(start_host):
    host = start_host(max_sequences=1)
    finish(host.submit(ask()))
    wait_until(lambda: host.predict_ttft_s(ask()) is not None)
    # an engine with nothing to do tries, whatever is foreseen
    finish(host.submit(ask("An impatient one"), first_token_s=1e-6))
    talking = start_talking(host)
    with pytest.raises(Overloaded, match="first token would come after") as caught:
        host.submit(ask(), first_token_s=1e-6)
    assert caught.value.retry_after_s >= 0
    host.submit(ask(), first_token_s=1e6).cancel()
    talking.cancel()


PAUSED = """
import sys
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.host import EngineHost
from inference.types import ChatMessage, CompletionRequest
host = EngineHost(EngineConfig(sys.argv[1], num_threads=1, num_cells=2048),
                  HostPolicy(silence_s=4, step_s=4))
host.start()
host.wait_until_ready(60)
request = CompletionRequest((ChatMessage("user", "Hi"),), 1000, temperature=2.0, seed=1)
ticket = host.submit(request)
ticket.take()
print(host.pid, flush=True)
sys.stdin.readline()
ticket.cancel()
while not hasattr(ticket.take(), "completion"):
    pass
print(host.num_starts, flush=True)
host.close()
"""


@pytest.mark.faults
def test_a_pause_of_the_whole_machine_costs_no_reply(model_path):
    worker = subprocess.Popen(
        [sys.executable, "-c", PAUSED, model_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        frozen = [worker.pid, int(worker.stdout.readline())]
        for signal_number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in frozen:
                os.kill(pid, signal_number)
            time.sleep(8 if signal_number == signal.SIGSTOP else 2)
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "1\n"
