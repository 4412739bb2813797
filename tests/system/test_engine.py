"""Server, chat, retrieval and the real engine with the bundled model, joined."""

import os
import re
import signal
import time

import pytest

from tests.system.processes import find_children, read_command, slowed
from tests.system.server import Server

QUESTION = "How long do I have to return something?"
ENGINE = "inference.engine.child"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The server as `make run` starts it: the sample articles, the bundled model."""
    server = Server(tmp_path_factory.mktemp("engine"))
    server.start("--setup", timeout_s=90)
    yield server
    server.kill()


def find_engine(server: Server) -> int:
    """Return the process id of the server's engine, waiting until it is there."""
    for _ in range(300):
        for pid in find_children(server.process.pid):
            if ENGINE in read_command(pid):
                return pid
        time.sleep(0.1)
    raise AssertionError(f"no engine: {server.read_log()}")


def read_cited(server: Server, turn: str) -> list[str]:
    """Return the sentences of the passages that a reply cites."""
    rows = server.execute(
        "SELECT text FROM support_usedpassage WHERE is_cited AND turn_id = ?",
        turn.replace("-", ""),
    )
    return [sentence for (text,) in rows for sentence in SENTENCE_END.split(text)]


def check_answer(server: Server, done: dict) -> None:
    """Assert that a reply holds a sentence of an article, and cites it."""
    message = done["message"]
    assert (done["state"], message["notice"]) == ("answered", None)
    assert message["citations"], message["content"]
    assert message["content"].endswith((".", "!", "?"))
    cited = read_cited(server, done["turn"])
    assert [sentence for sentence in cited if sentence in message["content"]]


def test_the_bundled_model_answers_from_the_articles(server, visitor):
    one = visitor()
    one.ask(QUESTION)
    done = one.receive_until("done", timeout_s=60)
    check_answer(server, done)
    assert done["message"]["citations"][0]["url"].startswith("/help/")
    one.check_views()
    booked = server.execute(
        "SELECT backend, outcome, completion_tokens > 5, prompt_tokens > 50,"
        " cost_usd FROM support_attempt"
    )
    assert booked == [("bundled", "completed", 1, 1, 0)]


def test_killing_the_engine_in_mid_reply_costs_no_answer(server, visitor):
    undisturbed = visitor()
    undisturbed.ask(QUESTION)
    whole = undisturbed.receive_until("done", timeout_s=60)["message"]["content"]
    visitors = [visitor() for _ in range(4)]
    killed = find_engine(server)
    with slowed(killed):  # or it is done before the kill arrives
        for one in visitors:
            one.ask(QUESTION)
        visitors[0].receive_until("delta", timeout_s=60)
        os.kill(killed, signal.SIGKILL)
    for one in visitors:
        one.receive_outcomes(1, timeout_s=60)
        [[done]] = one.finals.values()
        assert done["message"]["content"] == whole
        check_answer(server, done)
        one.check_views()
    assert find_engine(server) != killed
    errors = server.execute("SELECT error FROM support_attempt WHERE outcome='failed'")
    assert set(errors) & {("Interrupted",), ("Unavailable",)}
