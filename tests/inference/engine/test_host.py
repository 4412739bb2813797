"""The engine process under real faults: killed, frozen, broken, orphaned."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from inference.engine.host import HostState
from inference.engine.wire import Finished, Text
from inference.errors import (
    BackendError,
    Interrupted,
    Overloaded,
    PromptTooLong,
    Unavailable,
)
from inference.types import ChatMessage, CompletionRequest, FinishReason
from tests.inference.conftest import wait_until


def ask(question="Where is my tent?", max_tokens=30, **options):
    return CompletionRequest((ChatMessage("user", question),), max_tokens, **options)


def endless():
    """A request that only ends by force: hot enough never to say goodbye soon."""
    return ask("Tell me everything.", max_tokens=1500, temperature=2.0, seed=1)


def read(ticket):
    text = ""
    while not isinstance(event := ticket.take(), Finished):
        text += event.text
    return text, event.completion


def start_talking(host):
    ticket = host.submit(endless())
    assert isinstance(ticket.take(), Text)
    return ticket


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_answers_and_counts(start_host):
    host = start_host()
    _, completion = read(host.submit(ask()))
    assert completion.usage.prompt_tokens > 5
    assert completion.engine.waiting_ms >= 0
    assert host.num_requests == 0


def test_many_threads_get_the_text_they_get_alone(start_host):
    host = start_host()
    questions = [f"Is the number {number} in stock?" for number in range(12)]
    alone = [read(host.submit(ask(question)))[0] for question in questions]
    together = {}

    def talk(number):
        together[number] = read(host.submit(ask(questions[number])))[0]

    threads = [threading.Thread(target=talk, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [together[number] for number in range(12)] == alone


def test_killed_in_mid_reply_it_fails_at_once_and_comes_back(start_host):
    host = start_host()
    ticket = start_talking(host)
    killed_pid, killed_s = host.pid, time.monotonic()
    os.kill(killed_pid, signal.SIGKILL)
    with pytest.raises(Interrupted, match="the engine stopped"):
        read(ticket)
    assert time.monotonic() - killed_s < 1.0
    assert host.wait_until_ready(20)
    assert host.pid != killed_pid
    assert read(host.submit(ask()))[1].finish_reason in FinishReason


def test_a_request_without_text_is_told_that_nothing_was_lost(start_host):
    host = start_host(max_sequences=1)
    start_talking(host)
    waiting = host.submit(ask())
    os.kill(host.pid, signal.SIGKILL)
    with pytest.raises(Unavailable):
        read(waiting)


def test_a_native_abort_is_survived(start_host):
    host = start_host()
    os.kill(host.pid, signal.SIGABRT)
    wait_until(lambda: host.num_starts == 2)
    assert host.wait_until_ready(20)


def test_it_pauses_longer_when_the_child_keeps_dying(start_host):
    host = start_host()
    started_s = []
    for number in range(1, 4):
        assert host.wait_until_ready(20)
        os.kill(host.pid, signal.SIGKILL)
        killed_s = time.monotonic()
        wait_until(lambda n=number: host.num_starts > n)
        started_s.append(time.monotonic() - killed_s)
    assert started_s[2] >= 0.2 > started_s[0]


def test_a_frozen_child_is_replaced(start_host):
    host = start_host()
    ticket = start_talking(host)
    os.kill(host.pid, signal.SIGSTOP)
    with pytest.raises(Interrupted, match="TimeoutError"):
        read(ticket)
    assert host.wait_until_ready(20)


def test_the_child_leaves_when_its_host_is_killed(model_path):
    script = (
        "import sys, time; from inference.engine.host import EngineHost;"
        "from inference.engine.config import EngineConfig;"
        "host = EngineHost(EngineConfig(sys.argv[1], num_threads=1)); host.start();"
        "host.wait_until_ready(30); print(host.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, model_path], stdout=subprocess.PIPE, text=True
    )
    with parent:
        child_pid = int(parent.stdout.readline())
        assert is_alive(child_pid)
        parent.kill()
    wait_until(lambda: not is_alive(child_pid), timeout_s=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_a_whole_service_ends_no_reply(start_host, number):
    host = start_host()
    ticket = start_talking(host)
    os.kill(host.pid, number)
    for later in (ticket, host.submit(ask())):
        _, completion = read(later)
        assert completion.finish_reason is not FinishReason.CANCELLED
    assert host.num_starts == 1


def test_closing_ends_the_child_and_what_it_was_doing(start_host):
    host = start_host()
    ticket, pid = start_talking(host), host.pid
    host.close()
    with pytest.raises(BackendError):
        read(ticket)
    assert (host.state, is_alive(pid)) == (HostState.STOPPED, False)
    with pytest.raises(Unavailable, match="stopped"):
        host.submit(ask())


def test_a_cancelled_reply_stops_and_says_what_it_used(start_host):
    host = start_host()
    ticket = start_talking(host)
    cancelled_s = time.monotonic()
    ticket.cancel()
    _, completion = read(ticket)
    assert time.monotonic() - cancelled_s < 1.0
    assert completion.finish_reason is FinishReason.CANCELLED
    assert 0 < completion.usage.completion_tokens < 1500


def test_a_prompt_can_be_cancelled_while_it_is_read(start_host):
    host = start_host(max_batch_tokens=16)
    ticket = host.submit(ask("word " * 1500))
    ticket.cancel()
    text, completion = read(ticket)
    assert (text, completion.finish_reason) == ("", FinishReason.CANCELLED)
    assert completion.usage.completion_tokens == 0


def test_a_full_queue_refuses_and_says_when_to_come_back(start_host):
    host = start_host(max_sequences=1, max_waiting=1)
    first = start_talking(host)
    host.submit(endless())
    with pytest.raises(Overloaded) as caught:
        host.submit(ask())
    assert caught.value.retry_after_s > 0
    first.cancel()
    wait_until(lambda: not host.is_full)
    host.submit(ask())


def test_a_prompt_that_is_too_long_is_refused_with_numbers(start_host):
    host = start_host()
    with pytest.raises(PromptTooLong) as caught:
        read(host.submit(ask("word " * 5000)))
    assert caught.value.prompt_tokens > caught.value.limit_tokens
    assert read(host.submit(ask()))[1].usage.completion_tokens > 0


def test_a_model_that_cannot_be_loaded_is_told_at_once(start_host, tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"not a model")
    host = start_host(str(path), wait=False)
    wait_until(lambda: host.state is HostState.BROKEN)
    with pytest.raises(Unavailable, match=r"broken\.gguf"):
        host.submit(ask())


def test_a_mended_model_file_is_picked_up(start_host, tmp_path, model_path):
    path = tmp_path / "late.gguf"
    host = start_host(str(path), wait=False)
    wait_until(lambda: host.state is HostState.BROKEN)
    path.symlink_to(model_path)
    wait_until(lambda: host.state is HostState.READY)
    assert host.why_broken == ""


def test_tells_how_it_is_doing(start_host):
    host = start_host()
    _, completion = read(host.submit(ask()))
    num_tokens = completion.usage.completion_tokens
    wait_until(lambda: host.read_stats().num_completion_tokens == num_tokens)
    assert host.read_stats().num_cells == host.loaded.num_cells


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("inference.engine.child", "django.db"),
        ("inference.engine.child", "chatbot"),
        ("inference.backends.llama_cpp", "llama_cpp"),
    ],
)
def test_imports_no_more_than_it_should(module, unwanted):
    script = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
