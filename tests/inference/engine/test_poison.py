"""Requests that an engine dies of: found, refused, named; all others are answered."""

import logging
import os
import signal
import threading
from dataclasses import replace

import pytest

from inference.backends.llama_cpp import LlamaCppBackend
from inference.backends.scripted import ScriptedBackend
from inference.engine.config import EngineConfig
from inference.errors import BackendError, Interrupted, NoBackendLeft, Poisonous
from inference.types import (
    Deadlines,
    FinishReason,
    Routed,
)
from tests.inference.conftest import QUICK, wait_until
from tests.inference.engine.asking import ask, endless, finish, start_talking
from tests.inference.routing import errands

DEADLY = replace(QUICK, module="tests.inference.engine.deadly_child")


def fail(ticket):
    with pytest.raises(BackendError) as caught:
        finish(ticket)
    return caught.value


def die_once(host, request):
    """Have the engine die of a request that nothing was known of."""
    num_starts = host.num_starts
    error = fail(host.submit(request))
    wait_until(lambda: host.num_starts > num_starts)
    assert host.wait_until_ready(30)
    return error


@pytest.mark.parametrize(
    "place",
    [
        "read",
        pytest.param("build", marks=pytest.mark.faults),
        pytest.param("write", marks=pytest.mark.faults),
    ],
)
def test_a_request_that_killed_twice_is_refused_without_a_third_death(
    start_host, place
):
    host = start_host(policy=DEADLY)
    assert not isinstance(die_once(host, ask(f"hemlock {place}")), Poisonous)
    assert isinstance(die_once(host, ask(f"hemlock {place}")), Poisonous)
    with pytest.raises(Poisonous, match="died twice"):
        host.submit(ask(f"hemlock {place}"))
    assert host.num_starts == 3
    assert host.read_stats().num_poisonous == 1
    assert finish(host.submit(ask())).finish_reason in FinishReason


def test_the_log_names_the_request_and_not_what_it_says(start_host, caplog):
    host = start_host(policy=DEADLY)
    request = ask("I like hemlock read a lot", request_id="turn-7")
    with caplog.at_level(logging.INFO):
        die_once(host, request)
        error = die_once(host, request)
    assert "request=turn-7 is refused" in caplog.text
    assert "turn-7" in str(error)
    assert "lot" not in caplog.text + str(error)


def test_whoever_was_written_beside_a_prompt_is_not_suspected(start_host):
    host = start_host(policy=DEADLY)
    beside = start_talking(host)
    assert not isinstance(die_once(host, ask("hemlock read")), Poisonous)
    assert not fail(beside).is_others_fault
    beside = start_talking(host)
    poisonous = host.submit(ask("hemlock read"))
    assert isinstance(fail(poisonous), Poisonous)
    error = fail(beside)
    assert (type(error), error.is_others_fault) == (Interrupted, True)
    wait_until(lambda: host.num_starts == 3)
    assert host.wait_until_ready(30)
    start_talking(host).cancel()


def test_suspects_run_one_after_the_other(start_host):
    host = start_host(policy=replace(DEADLY, apart_s=30))
    good = [start_talking(host, endless(number)) for number in (1, 2)]
    assert not isinstance(die_once(host, ask("hemlock build")), Poisonous)
    assert [type(fail(ticket)) for ticket in good] == [Interrupted, Interrupted]
    good = [start_talking(host, endless(number)) for number in (1, 2)]
    poisonous = host.submit(ask("hemlock build"))
    assert poisonous.is_held
    for ticket in good:
        ticket.cancel()
        assert finish(ticket).finish_reason is FinishReason.CANCELLED
    assert isinstance(fail(poisonous), Poisonous)


def test_a_request_that_is_held_back_can_be_cancelled(start_host):
    host = start_host(policy=replace(DEADLY, apart_s=30))
    die_once(host, ask("hemlock read"))
    start_talking(host)
    held = host.submit(ask("hemlock read"))
    held.cancel()
    completion = finish(held)
    assert completion.finish_reason is FinishReason.CANCELLED
    assert (completion.usage.prompt_tokens, host.num_starts) == (0, 2)


def test_deaths_from_outside_are_blamed_on_nobody_of_many(start_host):
    host = start_host(policy=DEADLY)
    for number_of_starts in (2, 3):
        tickets = [start_talking(host, endless(number)) for number in (1, 2, 3)]
        os.kill(host.pid, signal.SIGKILL)
        assert not any(isinstance(fail(ticket), Poisonous) for ticket in tickets)
        wait_until(lambda n=number_of_starts: host.num_starts == n)
        assert host.wait_until_ready(30)
    start_talking(host).cancel()
    assert host.read_stats().num_poisonous == 0


@pytest.fixture
def deadly_backend(model_path):
    config = EngineConfig(model_path, num_cells=4096, num_threads=1)
    backend = LlamaCppBackend("local", config, DEADLY)
    backend.start()
    assert backend.host.wait_until_ready(30)
    yield backend
    backend.close()


def route(backends, request):
    """Return how a request ended at the router."""
    router, patient = errands.make_router(pause_s=0.3), Deadlines(first_token_s=30)
    *_, last = errands.route(router, request, backends, patient)
    return last


def test_only_the_poisonous_question_stays_without_an_answer(deadly_backend):
    requests = [ask(f"What of {n}?", max_tokens=400) for n in range(4)]
    requests.append(ask("hemlock read", request_id="poison"))
    ends = {}

    def run(number):
        try:
            ends[number] = route([deadly_backend], requests[number])
        except NoBackendLeft as error:
            ends[number] = error

    threads = [threading.Thread(target=run, args=[n]) for n in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(isinstance(ends[number], Routed) for number in range(4)), ends
    assert [report.error for report in ends[4].attempts][-1] == "Poisonous"


def test_another_backend_answers_what_kills_this_one(deadly_backend):
    die_once(deadly_backend.host, ask("hemlock build"))
    die_once(deadly_backend.host, ask("hemlock build"))
    cloud = ScriptedBackend("cloud", ["say hello"])
    routed = route([deadly_backend, cloud], ask("hemlock build"))
    assert [report.error for report in routed.attempts] == ["Poisonous", ""]
    assert routed.text == "hello"
