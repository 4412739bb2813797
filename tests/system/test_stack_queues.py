"""Which worker writes what: queues, breakers and threads that workers share."""

import json
import time

import pytest

from tests.system.stack import WORDS, Stack, slow


@pytest.fixture
def stack(new_stack):
    stack = new_stack()
    yield stack
    stack.kill()


@pytest.fixture
def server(stack):
    """Where visitors go."""
    return stack


def add_backend(
    stack: Stack, name: str, kind: str, options: dict, position: int, target_s=None
) -> None:
    stack.execute(
        "INSERT INTO inference_backend (name, kind, model, endpoint, key, key_end,"
        " options, is_in_house, region, is_enabled, position, weight, connect_s,"
        " first_token_s, gap_s, target_ttft_s, updated_at)"
        " VALUES (?, ?, '', '', '', '', ?, false, '', true, ?, 1, 3, 9, 9, ?, now())",
        name, kind, json.dumps(options), position, target_s,
    )  # fmt: skip


def test_replies_that_are_written_hold_no_connection(stack, visitor):
    stack.settings |= {"WORKER_THREADS": "24", "DATABASE_CONNECTIONS": "12"}
    stack.use_scripts(slow(0.1))
    stack.start_with_worker()
    visitors = [visitor() for _ in range(20)]
    for one in visitors:
        one.ask("count")
    for one in visitors:
        one.receive_until("delta")
    running = "SELECT count(*) FROM support_turn WHERE state = 'running'"
    assert stack.fetch(running) == [(20,)]
    assert {one.receive_reply() for one in visitors} == {WORDS}


def test_a_worker_for_apis_passes_on_what_only_a_model_can_answer(stack, visitor):
    stack.use_scripts("fail Unavailable")
    add_backend(stack, "bundled", "llama_cpp", {}, position=99)
    stack.launch()
    stack.start_worker("cloud")
    stack.start_worker("local")
    stack.wait_until_up()
    one = visitor()
    one.ask("Thank you, bye!")
    one.receive_until("done", 60)
    calls = stack.fetch("SELECT backend FROM support_attempt ORDER BY number")
    assert calls[-1] == ("bundled",)
    assert ("scripted",) in calls
    log = stack.read_worker_log()
    assert log.count("engine ready") == 1


def test_a_breaker_that_one_worker_opened_is_open_in_the_other(stack, visitor):
    stack.settings["WORKER_THREADS"] = "1"  # so that one alone is too slow
    stack.use_scripts("fail AuthenticationFailed")
    slow_enough = {"scripts": ["pause 0.5\nsay fine"]}
    add_backend(stack, "spare", "scripted", slow_enough, position=99)
    stack.launch()
    stack.start_worker()
    stack.start_worker()
    stack.wait_until_up()
    visitors = [visitor() for _ in range(6)]
    visitors[0].ask("first")
    assert visitors[0].receive_reply() == "fine"
    for one in visitors[1:]:  # more than one worker writes at once
        one.ask("then")
    assert {one.receive_reply() for one in visitors[1:]} == {"fine"}
    owners = stack.fetch("SELECT lease_owner FROM support_turn")
    assert len({owner.split(":")[1] for (owner,) in owners}) == 2
    calls = stack.fetch("SELECT backend, count(*) FROM support_attempt GROUP BY 1")
    assert dict(calls) == {"scripted": 1, "spare": 6}
    events = stack.fetch("SELECT backend, kind, text FROM inference_backendevent")
    assert events == [("scripted", "breaker_opened", "for 60 s: AuthenticationFailed")]


def test_what_a_model_would_answer_late_is_answered_by_an_api(stack, visitor):
    stack.use_scripts("say fine")
    add_backend(stack, "bundled", "llama_cpp", {}, position=1, target_s=0.0001)
    stack.launch()
    stack.start_worker("cloud")
    stack.start_worker("local")
    stack.wait_until_up()
    one = visitor()
    until_s = time.monotonic() + 60
    # first the model has to be there, and its speed to be known
    while not stack.fetch("SELECT 1 FROM support_turn WHERE spilled_from = 'bundled'"):
        assert time.monotonic() < until_s, stack.fetch("SELECT trace FROM support_turn")
        one.finals.clear()
        one.ask("Thank you, bye!")
        one.receive_outcomes(1, 60)
        one.check_views()
    calls = stack.fetch("SELECT backend FROM support_attempt ORDER BY started_at")
    assert calls[-1] == ("scripted",)
