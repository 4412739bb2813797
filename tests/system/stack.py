"""The same software as separate processes: web and workers on Postgres and Redis."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.ports import free_port
from tests.system.server import ROOT, Server

# no digits: a number that was not in the prompt would be taken back as invented
WORDS = " ".join(a + b + "o" for a in "bdfklmnprs" for b in "aeioux")


def slow(pause_s: float, words: str = WORDS) -> str:
    """Return a script that says these words with pauses."""
    return "\n".join(f'say "{word} "\npause {pause_s}' for word in words.split())


def create_database(postgres_url: str, template: str = "") -> str:
    """Make a database of its own, like `template` if that is named; return its URL."""
    name = f"system_{uuid4().hex[:12]}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template1")
    )
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(statement)
    return urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))


@dataclass
class Stack(Server):
    """One web process, as `Server`, and workers beside it."""

    database_url: str = ""
    redis_url: str = ""
    workers: list[subprocess.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        shared = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "EMBEDDED_WORKER": "false",
            "TURN_LEASE_S": "4",
            "WORKER_THREADS": "4",
        }
        return super().environment | shared | self.settings

    def use_scripts(self, *scripts: str, kind: str = "scripted") -> None:
        """Leave one backend, a scripted one."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(
                "UPDATE inference_backend SET name = 'scripted', kind = %s,"
                " options = %s, updated_at = now()",
                [kind, json.dumps({"scripts": list(scripts)})],
            )

    def fetch(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement).fetchall()

    def execute(self, statement: str, *values: object) -> list[tuple]:
        """Run SQL with `?` for values on the server's database."""
        with psycopg.connect(self.database_url) as connection:
            done = connection.execute(statement.replace("?", "%s"), values)
            return done.fetchall() if done.description else []

    def start_worker(self, queues: str = "local,cloud") -> subprocess.Popen:
        """Start a worker as docs/operations.md says; return when it is ready."""
        ready = self._count_ready()
        log = open(self.folder / "worker.log", "ab")  # noqa: SIM115 - the child has it
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "chatbot", "worker", "-Q", queues,
             "--without-gossip", "--without-mingle", "--without-heartbeat",
             "-n", f"{uuid4().hex[:8]}@test"],
            cwd=ROOT, env=self.environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        log.close()
        self.workers.append(worker)
        until_s = time.monotonic() + 60
        while self._count_ready() == ready:
            assert worker.poll() is None, self.read_worker_log()
            assert time.monotonic() < until_s, self.read_worker_log()
            time.sleep(0.05)
        return worker

    def start_with_worker(self) -> subprocess.Popen:
        """Start the web process and a worker, where none runs; return a worker."""
        if self.process is None:
            self.launch()
        running = [worker for worker in self.workers if worker.poll() is None]
        worker = running[0] if running else self.start_worker()
        self.wait_until_up()
        return worker

    def _count_ready(self) -> int:
        return self.read_worker_log().count("worker ready")

    def read_worker_log(self) -> str:
        path = self.folder / "worker.log"
        return path.read_text() if path.exists() else ""

    def second_web(self) -> "Stack":
        """Return another web process of the same installation, not started."""
        folder = self.folder / f"web-{uuid4().hex[:6]}"
        folder.mkdir()
        return Stack(
            folder, self.settings, free_port(),
            database_url=self.database_url, redis_url=self.redis_url,
        )  # fmt: skip

    def terminate(self, process: subprocess.Popen, timeout_s: float = 20) -> float:
        """SIGTERM a process; return how many seconds it took to end."""
        started_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout_s)
        return time.monotonic() - started_s

    def terminate_web(self) -> float:
        """SIGTERM the web process; return how many seconds it took to end."""
        assert self.process is not None
        took_s = self.terminate(self.process)
        self.log.close()
        self.process = None
        return took_s

    def kill(self) -> None:
        """SIGKILL all processes."""
        super().kill()
        self.kill_workers()

    def kill_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers.clear()
