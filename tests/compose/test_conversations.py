"""docker-compose.yml on a real engine: conversations, kills, restarts.

`make compose-test`. The tests share one stack and run in this order; each leaves it
healthy for the next.
"""

import json
import subprocess
import sys
import time

import pytest
from websockets.exceptions import WebSocketException

from tests.compose.conftest import SERVICES
from tests.system.server import ROOT, Visitor

pytestmark = pytest.mark.compose

# no digits: a number that was not in the prompt would be taken back as invented
WORDS = " ".join(a + b + "o" for a in "bdfklmnprs" for b in "aeioux")
# twenty-four seconds
SLOW_WORDS = "pace 0.4\n" + "\n".join(f'say "{word} "' for word in WORDS.split())
QUESTION = "How long do I have to return something?"


def second_tab(first: Visitor) -> Visitor:
    """Return the same conversation on another screen, connected."""
    tab = Visitor.__new__(Visitor)
    tab.__dict__ |= first.__dict__ | {
        "socket": None, "messages": {}, "shown": {}, "views": {}, "finals": {},
        "acks": {},
    }  # fmt: skip
    tab.connect()
    return tab


def ask_slowly(one: Visitor) -> None:
    """Ask a question and read the first words of the answer."""
    one.ask("count")
    for _ in range(5):
        one.receive_until("delta")


def connect_again(one: Visitor) -> None:
    """Connect as a widget does: once more after a second, until it works."""
    until_s = time.monotonic() + 60
    while True:
        try:
            return one.connect()
        except (OSError, WebSocketException):
            assert time.monotonic() < until_s
            time.sleep(1)


def seen_order(one: Visitor) -> list[str]:
    return [one.messages[seq]["content"] for seq in sorted(one.messages)]


def test_the_bundled_model_answers_right_and_cited(stack, visitor):
    one = visitor()
    started_s = time.monotonic()
    one.ask(QUESTION)
    done = one.receive_until("done", 60)
    stack.measure("first answer of the bundled model", started_s)
    assert "60 days" in done["message"]["content"]
    assert "Returning an item" in {x["title"] for x in done["message"]["citations"]}
    one.check_views()


def test_two_tabs_see_one_order(visitor):
    first = visitor()
    second = second_tab(first)
    for number in range(3):
        first.ask(f"{QUESTION} {number}")
        second.ask(f"What does delivery cost? {number}")
    for tab in (first, second):
        tab.receive_outcomes(6, 60)
    second.disconnect()
    assert len(first.messages) == 12
    assert seen_order(first) == seen_order(second)


def test_a_question_waits_for_a_worker_that_is_gone(stack, visitor):
    one = visitor()
    container = stack.kill("worker-local")
    one.ask(QUESTION)
    one.receive_until("ack")
    started_s = time.monotonic()
    stack.docker("start", container)
    done = one.receive_until("done", 90)
    stack.measure("worker-local started again, until the answer", started_s)
    assert "60 days" in done["message"]["content"]
    stack.wait_until_healthy("worker-local")


@pytest.fixture
def two_workers(stack):
    """Two workers for APIs, healthy; one again afterwards."""
    command = ("up", "-d", "--no-recreate", "--scale")
    stack.run(*command, "worker-cloud=2", "worker-cloud")
    stack.wait_until_healthy("worker-cloud")
    yield stack.containers("worker-cloud")
    stack.run(*command, "worker-cloud=1", "worker-cloud")
    stack.wait_until_healthy("worker-cloud")


def test_another_worker_answers_when_one_is_killed_in_mid_answer(
    stack, visitor, two_workers
):
    first, second = two_workers
    stack.lead_with(SLOW_WORDS)
    stack.docker("stop", second)
    one = visitor()
    ask_slowly(one)
    stack.docker("start", second)
    stack.docker("kill", first)
    killed_s = time.monotonic()
    one.receive_until("reset", 90)
    stack.measure("worker-cloud killed, until another begins again", killed_s)
    done = one.receive_until("done", 120)
    assert done["message"]["content"].split() == WORDS.split()
    assert done["attempt"] == 2
    one.check_views()


def test_a_widget_goes_on_when_web_is_killed_in_mid_answer(stack, visitor):
    one = visitor()
    ask_slowly(one)
    container = stack.kill("web")
    killed_s = time.monotonic()
    one.receive_all()
    stack.docker("start", container)
    connect_again(one)
    one.receive_until("delta")
    stack.measure("web killed and started, until the text goes on", killed_s)
    done = one.receive_until("done", 90)
    assert done["message"]["content"].split() == WORDS.split()
    assert done["attempt"] == 1
    one.check_views()
    stack.wait_until_healthy("web")


@pytest.mark.parametrize("service", ["redis", "db"])
def test_a_service_is_restarted_in_mid_answer(stack, visitor, service):
    one = visitor()
    ask_slowly(one)
    started_s = time.monotonic()
    stack.run("restart", service)
    stack.measure(f"{service} restarted", started_s)
    done = one.receive_until("done", 150)
    stack.measure(f"{service} restarted, until the answer was whole", started_s)
    assert done["message"]["content"].split() == WORDS.split()
    one.check_views()
    stack.wait_until_healthy(*SERVICES)


def test_workers_and_web_are_replaced_in_mid_answer(stack, visitor):
    one = visitor()
    ask_slowly(one)
    started_s = time.monotonic()
    stack.run("run", "--rm", "-T", "migrate")
    for service in ("worker-local", "worker-cloud"):
        stack.run("up", "-d", "--no-deps", "--force-recreate", service)
        stack.wait_until_healthy(service)
    stack.run("up", "-d", "--no-deps", "--force-recreate", "web")
    stack.measure("set-up run, workers and web replaced one after the other", started_s)
    one.receive_all()
    connect_again(one)
    if not one.finals:
        one.receive_until("done", 120)
    [done] = [final for finals in one.finals.values() for final in finals[:1]]
    assert done["message"]["content"].split() == WORDS.split()
    one.check_views()
    stack.wait_until_healthy(*SERVICES)


def test_ten_visitors_lose_nothing_while_all_is_replaced(stack, tmp_path):
    stack.lead_with('pace 0.05\necho\nsay " and more"')
    report = tmp_path / "report.json"
    play = subprocess.Popen(
        [sys.executable, "manage.py", "loadtest", stack.url, "--chats", "10",
         "--duration-s", "90", "--drop", "0.2", "--json", str(report)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    time.sleep(10)
    for service in ("web", "db", "redis", "worker-cloud", "worker-local"):
        stack.run("up", "-d", "--no-deps", "--force-recreate", service)
        stack.wait_until_healthy(service)
    printed, _ = play.communicate(timeout=300)
    assert play.returncode == 0, printed
    found = json.loads(report.read_text())
    assert found["errors"]  # sockets of the first web were closed
    stack.sizes["load test while all was replaced"] = ", ".join(
        f"{name} {found[name]}" for name in ("messages", "errors", "promises")
    )
    stack.wait_until_healthy(*SERVICES)


def test_a_backup_is_restored(stack, visitor):
    stack.lead_with()
    before = stack.query("print(Message.objects.count(), Article.objects.count())")
    stack.shell("docker compose exec -T db pg_dump -U chatbot -Fc chatbot > it.dump")
    one = visitor()
    one.ask(QUESTION)
    one.receive_until("done", 60)
    stack.shell("docker compose stop web worker-local worker-cloud")
    stack.shell(
        "docker compose exec -T db pg_restore -U chatbot -d chatbot --clean"
        " --if-exists --no-owner --single-transaction < it.dump"
    )
    stack.run("up", "-d")
    stack.wait_until_healthy(*SERVICES)
    after = stack.query("print(Message.objects.count(), Article.objects.count())")
    assert after == before


def test_a_process_that_dies_is_started_again(stack):
    container = stack.containers("worker-local")[0]
    before = stack.inspect(container)["RestartCount"]
    # a child cannot kill process 1 of its container, so that asks itself to end
    stack.docker("exec", container, "python", "-c", "import os; os.kill(1, 15)")
    until_s = time.monotonic() + 60
    while stack.inspect(container)["RestartCount"] == before:
        assert time.monotonic() < until_s
        time.sleep(0.5)
    stack.wait_until_healthy("worker-local")


def test_the_bundled_model_still_answers_after_all_that(stack, visitor):
    one = visitor()
    one.ask(QUESTION)
    assert "60 days" in one.receive_until("done", 60)["message"]["content"]
    lost = stack.query("print(Turn.objects.exclude(state='answered').count())")
    assert lost == "0"
