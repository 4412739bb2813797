"""`/readyz` of real processes whose worker is busy, frozen, or on its way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests.ports import free_port
from tests.system.server import ROOT, Server

RED_WITHIN_S = 10.0


def probe(server: Server) -> tuple[int, str]:
    """Return the status of `/readyz` and its body."""
    try:
        with urllib.request.urlopen(f"{server.url}/readyz", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(server: Server, status: int, timeout_s: float) -> float:
    """Return how long it took until `/readyz` had that status."""
    started_s = time.monotonic()
    while (found := probe(server))[0] != status:
        assert time.monotonic() - started_s < timeout_s, found
        time.sleep(0.2)
    return time.monotonic() - started_s


def test_the_embedded_worker_takes_jobs(server):
    server.start()
    wait_for(server, 200, 30)


def test_a_worker_with_as_many_replies_as_it_may_write_is_ready(server, visitor):
    server.settings["WORKER_THREADS"] = "1"
    server.use_scripts("say a\n" + "pause 1\nsay b\n" * 14)
    server.start()
    wait_for(server, 200, 30)
    one = visitor()
    one.ask("a long one")
    one.receive_until("delta")
    until_s = time.monotonic() + RED_WITHIN_S + 1
    bodies = []
    while time.monotonic() < until_s:
        status, body = probe(server)
        bodies.append(body)
        assert status == 200, body
        time.sleep(0.5)
    assert "busy" in bodies[-1]
    assert one.finals == {}


@pytest.fixture
def redis_url(tmp_path) -> Iterator[str]:
    """A Redis of its own; skips without one unless REQUIRE_SERVICES is set."""
    program = shutil.which("redis-server")
    if program is None and os.environ.get("REQUIRE_SERVICES"):
        pytest.fail("no redis-server found: apt-get install redis-server")
    if program is None:
        pytest.skip("no redis-server found: apt-get install redis-server")
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


@pytest.fixture
def start_worker(server, redis_url) -> Iterator[Callable[[], subprocess.Popen]]:
    """Make the server a web process of its own; return a maker of workers."""
    server.settings |= {
        "EMBEDDED_WORKER": "false",
        "REDIS_URL": redis_url,
        "CELERY_BROKER_URL": redis_url,
    }
    workers = []

    def start() -> subprocess.Popen:
        with open(server.folder / "worker.log", "ab") as log:
            workers.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "celery",
                        "-A",
                        "chatbot",
                        "worker",
                        "--pool=threads",
                        "--concurrency=2",
                    ],
                    cwd=ROOT,
                    env=server.environment,
                    stdout=log,
                    stderr=log,
                )
            )
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
        worker.wait()


def test_a_frozen_worker_turns_readiness_red_and_its_return_green(server, start_worker):
    server.use_scripts("say hi")
    server.start()
    status, body = probe(server)
    assert (status, json.loads(body)["checks"]["broker"]["ok"]) == (503, True)
    worker = start_worker()
    wait_for(server, 200, 60)
    worker.send_signal(signal.SIGSTOP)
    wait_for(server, 503, RED_WITHIN_S)
    worker.send_signal(signal.SIGCONT)
    wait_for(server, 200, RED_WITHIN_S)
