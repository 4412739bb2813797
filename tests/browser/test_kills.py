"""Each kind of process is killed in mid-answer while two pages are open.

The pages are the real widget, the processes those of docs/operations.md.
"""

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from deploy.services import Postgres, Redis
from tests.browser.chat import Chat
from tests.services import TestPostgres, running
from tests.system.stack import Stack

WORDS = [a + b + "o" for a in "bdfklmnprs" for b in "aeiou"]
REPLY = " ".join(WORDS)
SCRIPT = "pace 0.1\n" + "\n".join(f'say "{word} "' for word in WORDS)

pytestmark = pytest.mark.faults


class DurablePostgres(TestPostgres):
    """As in operation: what is committed is on the disk."""

    options: dict[str, str] = {}


@pytest.fixture(scope="module")
def redis():
    with running(Redis) as redis:
        yield redis


@pytest.fixture(scope="module")
def postgres():
    with running(DurablePostgres) as postgres:
        yield postgres


@pytest.fixture(scope="module")
def stack(browser: Browser, redis: Redis, postgres: Postgres, tmp_path_factory):
    """One web process and two workers, of which one may go."""
    folder = tmp_path_factory.mktemp("kills")
    stack = Stack(folder, database_url=postgres.url, redis_url=redis.url)
    stack.manage("setup", "--no-samples")
    stack.use_scripts(SCRIPT)
    stack.start()
    stack.start_worker()
    stack.start_worker()
    yield stack
    stack.kill()


@pytest.fixture
def kill(stack: Stack, redis: Redis, postgres: Postgres) -> Callable[[str], None]:
    """Return a function that kills a process without a warning, and heals."""

    def kill_worker() -> None:
        [(owner,)] = stack.fetch(
            "SELECT lease_owner FROM support_turn WHERE state = 'running'"
        )
        pid = int(owner.split(":")[1])
        [worker] = [one for one in stack.workers if one.pid == pid]
        worker.kill()
        worker.wait()
        stack.workers.remove(worker)
        stack.start_worker()

    def kill_web() -> None:
        assert stack.process is not None
        stack.process.kill()
        stack.process.wait()
        stack.log.close()
        stack.process = None
        stack.start()

    def kill_service(service: Redis | Postgres) -> None:
        service.kill()
        time.sleep(2)
        service.start()

    kills: dict[str, Callable[[], None]] = {
        "worker": kill_worker,
        "web": kill_web,
        "redis": lambda: kill_service(redis),
        "postgres": lambda: kill_service(postgres),
    }
    return lambda kind: kills[kind]()


@pytest.fixture
def tabs(open_chat: Callable[..., Chat], stack: Stack) -> list[Chat]:
    """Two pages of one visitor."""
    first = open_chat(f"{stack.url}/").open()
    first.ask("the first question")
    second = open_chat(f"{stack.url}/", context=first.page.context).open()
    expect(second.answers).to_have_count(1)
    return [first, second]


@pytest.mark.parametrize("kind", ["worker", "web", "redis", "postgres"])
def test_a_kill_costs_the_visitor_a_pause(tabs, kill, kind, tmp_path):
    first, second = tabs
    first.say("the second question")
    for tab in tabs:
        expect(tab.streaming).to_contain_text(WORDS[9])
    kill(kind)
    for number, tab in enumerate(tabs):
        expect(tab.answers).to_have_count(2, timeout=60_000)
        expect(tab.answers.last).to_have_text(REPLY)
        tab.page.screenshot(path=tmp_path / f"{kind}-{number}.png")
    second.say("the third question")
    for tab in tabs:
        expect(tab.answers).to_have_count(3, timeout=60_000)
    assert first.transcript() == second.transcript()
    questions = [text for text in first.transcript() if "question" in text]
    assert questions == [
        f"the {name} question" for name in ("first", "second", "third")
    ]
