"""The whole software as an operator runs it, on private ports, with proxies between.

    visitors -> front -> web processes -> \
                             workers   -> / Redis (a proxy for each process), Postgres

Every process is a direct child. What dies unasked is a defect and is reported.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from redis import Redis as Client

from deploy.services import Postgres, Redis
from tests.faults.proxy import HOST, FaultProxy
from tests.ports import free_port
from tests.services import running
from tests.system.server import ROOT
from tests.system.stack import Stack, create_database

_START_S = 120.0
# what a test may do that a visitor may not
_SETTINGS = {
    "SESSIONS_PER_HOUR": "100000",
    "MESSAGES_PER_MINUTE": "100000",
    "FRAMES_PER_MINUTE": "10000",
    "SOCKETS_PER_CONVERSATION": "1000",
    "SOCKETS_PER_ADDRESS": "10000",
    "WORKER_THREADS": "16",
    "DATABASE_CONNECTIONS": "24",
}
# as the settings are by default; the tests' own server has shorter ones
PRODUCTION = {"TURN_LEASE_S": "15", "REAPER_INTERVAL_S": "2"}
QUICK = {"TURN_LEASE_S": "3", "REAPER_INTERVAL_S": "0.5"}


class DurablePostgres(Postgres):
    """Postgres that survives its own death, though not that of the machine."""

    options = {"fsync": "off", "full_page_writes": "off"}


class Process:
    """A web process or a worker, with a way to Redis of its own (`redis`)."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        redis: FaultProxy,
    ) -> None:
        self.name = name
        self.redis = redis
        self.environment = dict(environment)
        self.process: subprocess.Popen[bytes] | None = None
        self.is_wanted = True  # false while a fault has taken it away
        self._command = command
        self.fault_file = folder / f"{name}.fault"
        self._log = folder / f"{name}.log"

    @property
    def port(self) -> int:
        """Return where a web process listens."""
        return int(self.environment["PORT"])

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, **environment: str) -> None:
        """Start it; `wait_until_ready` says when it serves."""
        self.is_wanted = True
        self.fault_file.unlink(missing_ok=True)
        self._num_ready = self.read_log().count("worker ready")
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self.environment | environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        until_s = time.monotonic() + _START_S
        while not self._is_ready():
            assert self.is_running, f"{self.name} ended: {self.read_log()[-3000:]}"
            assert time.monotonic() < until_s, self.read_log()[-3000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL it, without a warning."""
        self.is_wanted = False
        self._end(signal.SIGKILL, 10)

    def terminate(self) -> float:
        """SIGTERM it; return how many seconds it took to end."""
        self.is_wanted = False
        began_s = time.monotonic()
        self._end(signal.SIGTERM, 30)
        return time.monotonic() - began_s

    def die_at(self, point: str) -> None:
        """Have a worker die where `deadly.py` says, when it gets there."""
        self.is_wanted = False
        unfinished = self.fault_file.with_suffix(".part")
        unfinished.write_text(point)
        unfinished.rename(self.fault_file)

    def freeze(self) -> None:
        """Stop it where it is, as a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def read_log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _is_ready(self) -> bool:
        if self.name.startswith("worker"):
            return self.read_log().count("worker ready") > self._num_ready
        try:
            urllib.request.urlopen(f"http://{HOST}:{self.port}/livez", timeout=2)
        except OSError:
            return False
        return True

    def _signal(self, number: int) -> None:
        if self.is_running:
            os.killpg(self.pid, number)

    def _end(self, number: int, timeout_s: float) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            self.process.wait(timeout_s)


class System:
    """Private services, web processes and workers; a context that starts and ends all.

    `settings` are given to all processes. Faults choose among `webs` and `workers` with
    the dice that they get.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        num_webs: int = 1,
        num_workers: int = 2,
    ) -> None:
        self.folder = folder
        self.settings = _SETTINGS | dict(settings)
        self.webs: list[Process] = []
        self.workers: list[Process] = []
        self._num_webs, self._num_workers = num_webs, num_workers
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._open(opened)
            self._closing = opened.pop_all()
        return self

    def _open(self, opened: ExitStack) -> None:
        self.postgres = opened.enter_context(running(DurablePostgres))
        self.redis = opened.enter_context(running(Redis))
        self.postgres_proxy = opened.enter_context(FaultProxy(self.postgres.port))
        url = create_database(self.postgres.url)
        self.direct_database_url = url
        self.database_url = with_port(url, self.postgres_proxy.port)
        self.stack = Stack(
            self.folder, self.settings, database_url=url, redis_url=self.redis.url
        )
        self.stack.manage("setup")
        self.use_scripts("echo")  # or each worker loads the model as it starts
        ports = [free_port() for _ in range(self._num_webs)]
        self.front = opened.enter_context(FaultProxy(*ports))
        self.stack.port = self.front.port
        opened.callback(self._kill_all)
        for number, port in enumerate(ports, start=1):
            web = self._build(opened, f"web{number}", [sys.executable, "-m", "chatbot"])
            web.environment["PORT"] = str(port)
            self.webs.append(web)
        for number in range(1, self._num_workers + 1):
            name = f"worker{number}"
            command = build_worker_command(name, "tests.faults.deadly")
            worker = self._build(opened, name, command)
            worker.environment["FAULT_FILE"] = str(worker.fault_file)
            self.workers.append(worker)
        for process in self.processes:
            process.start()
        for process in self.processes:
            process.wait_until_ready()

    def _build(self, opened: ExitStack, name: str, command: list[str]) -> Process:
        redis = opened.enter_context(FaultProxy(self.redis.port))
        environment = self.stack.environment | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": with_port(self.redis.url, redis.port),
        }
        return Process(name, command, environment, self.folder, redis)

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    @property
    def processes(self) -> list[Process]:
        """Return web processes and workers."""
        return [*self.webs, *self.workers]

    @property
    def proxies(self) -> list[FaultProxy]:
        """Return all proxies."""
        own = [process.redis for process in self.processes]
        return [self.front, self.postgres_proxy, *own]

    @property
    def url(self) -> str:
        """Return where visitors go."""
        return f"http://{HOST}:{self.front.port}"

    @property
    def lease_s(self) -> float:
        """Return how long a worker that is silent keeps its turns."""
        return float(self.settings["TURN_LEASE_S"])

    def use_scripts(self, *scripts: str) -> None:
        """Let a scripted backend answer."""
        self.stack.use_scripts(*scripts)

    def use_model(self) -> None:
        """Let the bundled model answer, in a child process of each worker."""
        self.stack.execute(
            "UPDATE inference_backend SET name = 'bundled', kind = 'llama_cpp',"
            " options = '{}', updated_at = now()"
        )

    @contextlib.contextmanager
    def ask_redis(self) -> Iterator[Client]:
        """Give a client of Redis that no fault is in the way of."""
        with Client.from_url(self.redis.url, socket_timeout=5) as client:
            yield client

    def empty_redis_folder(self) -> None:
        """Remove what Redis kept; it has to be dead."""
        for path in self.redis.folder.glob("append*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.redis.folder.glob("*.rdb"):
            path.unlink()

    def choose_worker(self, dice: Random) -> Process:
        """Return a worker that runs."""
        return dice.choice([worker for worker in self.workers if worker.is_running])

    def choose_web(self, dice: Random) -> Process:
        """Return a web process that runs."""
        return dice.choice([web for web in self.webs if web.is_running])

    def find_dead(self) -> list[str]:
        """Return who has ended though no fault has killed it."""
        return [
            f"{process.name} ended by itself: {process.read_log()[-1500:]}"
            for process in self.processes
            if process.is_wanted and not process.is_running
        ]

    def repair(self) -> None:
        """Heal the proxies, start what is dead, and wait until all of it serves."""
        for proxy in self.proxies:
            proxy.heal()
        for service in (self.postgres, self.redis):
            if service.process is None or service.process.poll() is not None:
                service.kill()
                service.start()
        self.start_dead()
        self.wait_until_ready()

    def start_dead(self) -> None:
        """Start processes that have ended, as a supervisor does; does not wait."""
        for process in self.processes:
            if not process.is_running:
                process.start()

    def wait_until_ready(self) -> None:
        """Wait until all processes serve."""
        for process in self.processes:
            process.wait_until_ready()

    def probe(self) -> tuple[int, str]:
        """Return the status of `/readyz` and its body."""
        address = f"http://{HOST}:{self.webs[0].port}/readyz"
        try:
            with urllib.request.urlopen(address, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def read_logs(self) -> str:
        """Return what all processes wrote."""
        return "".join(process.read_log() for process in self.processes)

    def _kill_all(self) -> None:
        for process in self.processes:
            process.wake()
            process.kill()


def build_worker_command(name: str, application: str = "chatbot") -> list[str]:
    """Return the command of docs/operations.md for a worker of both queues."""
    return [
        sys.executable, "-m", "celery", "-A", application, "worker",
        "-Q", "local,cloud",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
        "-n", f"{name}@test",
    ]  # fmt: skip


def with_port(url: str, port: int) -> str:
    """Return the address with another port, for a way through a proxy."""
    parts = urlsplit(url)
    host = f"{parts.netloc.rpartition(':')[0]}:{port}"
    return urlunsplit(parts._replace(netloc=host))


def wait_until(is_so: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Return how long it took; raises AssertionError after the timeout."""
    began_s = time.monotonic()
    while not is_so():
        waited_s = time.monotonic() - began_s
        assert waited_s < timeout_s, f"{what}: not within {timeout_s:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - began_s
