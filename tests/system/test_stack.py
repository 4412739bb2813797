"""Web and workers as processes of their own, on a real Postgres and a real Redis."""

import json
import signal
import time
from subprocess import Popen
from urllib.parse import urlsplit

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from tests.services import TestRedis, running
from tests.system.server import Visitor
from tests.system.stack import Stack, create_database

WORDS = " ".join(a + b + "o" for a in "bdfklmnprs" for b in "aeioux")


def slow(pause_s: float, words: str = WORDS) -> str:
    return "\n".join(f'say "{word} "\npause {pause_s}' for word in words.split())


@pytest.fixture(scope="module")
def set_up_url(postgres_url, redis, tmp_path_factory):
    """A database that is set up, without articles, to be copied."""
    url = create_database(postgres_url)
    folder = tmp_path_factory.mktemp("set-up")
    Stack(folder, database_url=url, redis_url=redis.url).set_up()
    return url


@pytest.fixture(scope="module")
def redis():
    """A Redis of this file's own: it is killed here."""
    with running(TestRedis) as redis:
        yield redis


@pytest.fixture
def stack(tmp_path, postgres_url, set_up_url, redis):
    template = urlsplit(set_up_url).path.removeprefix("/")
    url = create_database(postgres_url, template)
    Redis.from_url(redis.url).flushall()
    stack = Stack(tmp_path, database_url=url, redis_url=redis.url)
    yield stack
    stack.kill()


@pytest.fixture
def visitor(stack):
    visitors = []

    def make(web: Stack = stack) -> Visitor:
        visitors.append(Visitor(web))
        visitors[-1].connect()
        return visitors[-1]

    yield make
    for one in visitors:
        one.disconnect()


@pytest.fixture
def begin(stack, visitor):
    """Return a function that has a slow reply begun: its worker, and who reads it."""

    def begin(pause_s: float) -> tuple[Popen, Visitor]:
        stack.use_scripts(slow(pause_s))
        worker = stack.start_with_worker()
        one = visitor()
        one.ask("count")
        one.receive_until("delta", 60)
        return worker, one

    return begin


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


def final_text(visitor: Visitor) -> str:
    return visitor.receive_until("done", 60)["message"]["content"].strip()


def close_code(visitor: Visitor) -> int:
    """Return the code that the server closed with, after what it sent before."""
    visitor.receive_all(quiet_s=10)
    with pytest.raises(ConnectionClosed) as closed:
        visitor.receive()
    return closed.value.rcvd.code


def test_text_streams_from_one_process_to_another(begin):
    _, one = begin(0.03)
    assert final_text(one) == WORDS
    [views] = one.views.values()
    assert len(views) > 10
    assert {attempt for attempt, _ in views} == {1}
    one.check_views()


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
    assert {final_text(one) for one in visitors} == {WORDS}


def test_a_worker_that_is_told_to_end_finishes_a_short_reply(stack, begin):
    worker, one = begin(0.05)
    assert stack.terminate(worker) < 10
    assert final_text(one) == WORDS
    assert {attempt for views in one.views.values() for attempt, _ in views} == {1}


def test_a_worker_that_is_told_to_end_hands_a_long_reply_over(stack, begin):
    stack.settings["SHUTDOWN_GRACE_S"] = "1"
    worker, one = begin(0.5)  # longer than a worker takes to start
    stack.use_scripts(slow(0.01))
    stack.start_worker()
    assert stack.terminate(worker) < 10
    assert final_text(one) == WORDS
    one.check_views()
    [(claims, attempts)] = stack.fetch("SELECT num_claims, attempt FROM support_turn")
    assert (claims, attempts) == (1, 2)


def test_a_killed_worker_is_replaced(stack, begin):
    worker, one = begin(0.5)  # longer than a worker takes to start
    stack.use_scripts(slow(0.01))
    stack.start_worker()
    worker.kill()
    assert final_text(one) == WORDS
    one.check_views()
    assert stack.fetch("SELECT attempt FROM support_turn") == [(2,)]


def test_a_web_process_that_is_told_to_end_says_so_to_its_sockets(stack, begin):
    _, one = begin(0.1)
    assert stack.terminate_web() < 10
    assert close_code(one) == 1012
    stack.start()
    one.connect()
    assert final_text(one) == WORDS
    assert {attempt for views in one.views.values() for attempt, _ in views} == {1}


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
    assert final_text(visitors[0]) == "fine"
    for one in visitors[1:]:  # more than one worker writes at once
        one.ask("then")
    assert {final_text(one) for one in visitors[1:]} == {"fine"}
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


def test_redis_that_comes_back_empty_costs_a_pause(stack, begin, redis):
    _, one = begin(0.1)
    stack.use_scripts(slow(0.01))
    redis.kill()
    one.ask("second", "client-without-redis")
    one.receive_until("ack", 5)
    redis.start()
    one.receive_outcomes(2, 60)
    texts = [final[-1]["message"]["content"].strip() for final in one.finals.values()]
    assert texts == [WORDS, WORDS]
    one.check_views()


def test_a_redis_that_fails_over_ends_no_worker(begin, redis):
    worker, one = begin(0.05)
    with Redis.from_url(redis.url) as client:
        client.replicaof("127.0.0.1", "1")  # read-only from here on
        one.ask("second", "client-without-redis")
        one.receive_until("ack", 5)
        client.client_kill_filter(_type="normal", skipme=True)
        client.replicaof("NO", "ONE")
    one.receive_outcomes(2, 60)
    one.check_views()
    assert worker.poll() is None


def test_two_web_processes_show_one_conversation_and_count_together(stack, visitor):
    stack.settings["SOCKETS_PER_CONVERSATION"] = "2"
    stack.use_scripts(slow(0.02, "some words"))
    stack.start_with_worker()
    other = stack.second_web()
    other.start()
    try:
        one = visitor()
        tabs = [Visitor.__new__(Visitor) for _ in range(2)]
        for tab in tabs:
            tab.__dict__ |= one.__dict__ | {"server": other, "socket": None}
        second, third = tabs
        second.messages, second.shown, second.finals = {}, {}, {}
        second.connect()
        second.receive_until("replay_done")
        one.ask("count")
        assert final_text(one) == final_text(second) == "some words"
        third.connect()
        assert close_code(third) == 4429
        second.disconnect()
    finally:
        other.kill()


def test_a_frozen_redis_keeps_nobody_from_sending(stack, visitor, redis):
    stack.use_scripts("say fine")
    stack.start_with_worker()
    one = visitor()
    one.receive_until("replay_done")
    redis.process.send_signal(signal.SIGSTOP)
    try:
        times_s = [measure_ack(one) for _ in range(3)]
        one.connect()  # a new socket too
        one.receive_until("replay_done", 10)
    finally:
        redis.process.send_signal(signal.SIGCONT)
    assert max(times_s) < 3  # one waits for the limit of a second, the others do not
    assert min(times_s) < 1
    one.receive_outcomes(3, 60)


def measure_ack(visitor: Visitor) -> float:
    started_s = time.monotonic()
    visitor.ask("hello")
    visitor.receive_until("ack", 10)
    return time.monotonic() - started_s
