"""Starts a Redis and a Postgres of our own in a folder, for developing and tests.

    python deploy/services.py var/services            until Ctrl-C
    python deploy/services.py var/services make test  while that command runs

Nothing of the machine's own services is touched: both listen on ports of their own on
127.0.0.1, ask for a password made here, and keep what they store in the folder. Their
programs must be installed; if not, this says which packages have them.
"""

import argparse
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from glob import glob
from pathlib import Path
from types import TracebackType
from typing import Self

REDIS_PORT = 6390
POSTGRES_PORT = 5439
PACKAGES = {"redis-server": "redis-server", "initdb": "postgresql"}
_START_S = 30.0
_STOP_S = 10.0
# Postgres refuses to run as root, which is who runs in a container
_UNPRIVILEGED = ("postgres", "nobody")


class ServiceFailed(Exception):  # noqa: N818 - says what happened
    """A service did not start; the message has the end of its log."""


def find_program(name: str) -> str | None:
    """Return the path of a service's program; Debian keeps Postgres' off the PATH."""
    kept = sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or next(reversed(kept), None)


def find_missing() -> list[str]:
    """Return the packages to install before anything here can start."""
    return [package for name, package in PACKAGES.items() if find_program(name) is None]


class Service(ABC):
    """A server as a direct child of this process, on 127.0.0.1, in `folder`.

    It can be killed and started again; what it stored on disk is still there. A child
    that is killed must be waited for, as `stop` and `kill` do: a dead Postgres that
    nobody has waited for keeps the next one from starting.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._user = choose_user()

    @property
    @abstractmethod
    def url(self) -> str:
        """Return what settings call the service."""

    @abstractmethod
    def prepare(self) -> list[str]:
        """Write what the server needs; return its command line."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether the server answers."""

    @property
    def password(self) -> str:
        """Return the password, made at the first call and kept in the folder."""
        path = self.folder / "password"
        if not path.exists():
            write_private(path, secrets.token_hex(16), self._user)
        return path.read_text()

    def start(self) -> Self:
        """Start the server and wait until it answers; raises ServiceFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        command = self.prepare()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                command, stdout=log, stderr=log, user=self._user, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        until_s = time.monotonic() + _START_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > until_s:
                self.kill()
                raise ServiceFailed(f"{command[0]}: {self.read_log()[-2000:]}")
            time.sleep(0.05)
        return self

    def read_log(self) -> str:
        """Return what the server wrote."""
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End the server in order; kill it after 10 s."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """SIGKILL the server, without a warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Redis(Service):
    """Redis as docs/operations.md wants it: on disk, and never evicting."""

    options = {"appendonly": "yes", "appendfsync": "everysec", "save": '""',
               "maxmemory-policy": "noeviction"}  # fmt: skip

    @property
    def url(self) -> str:
        """Return the REDIS_URL."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> list[str]:
        """Write the configuration: on the command line all could read the password."""
        lines = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder),
                 "requirepass": self.password} | self.options  # fmt: skip
        text = "".join(f"{name} {value}\n" for name, value in lines.items())
        write_private(self.folder / "redis.conf", text, self._user)
        return [find_program("redis-server") or "", str(self.folder / "redis.conf")]

    def is_ready(self) -> bool:
        """Return whether it answers PING, which it does not while it loads."""
        try:
            address = ("127.0.0.1", self.port)
            with socket.create_connection(address, timeout=1) as client:
                client.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\n") < 2:
                    received = client.recv(100)
                    if not received:
                        return False
                    answer += received
        except OSError:
            return False
        return answer.endswith(b"+PONG\r\n")


class Postgres(Service):
    """Postgres with one database and its owner, both named `chatbot`."""

    options: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Return the DATABASE_URL."""
        return f"postgres://chatbot:{self.password}@127.0.0.1:{self.port}/chatbot"

    def prepare(self) -> list[str]:
        """Make the cluster at the first start."""
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            self._run(
                "initdb", "--pgdata", str(data), "--username", "chatbot",
                "--pwfile", str(self._password_file()), "--auth", "scram-sha-256",
                "--encoding", "UTF8", "--locale", "C.UTF-8",
            )  # fmt: skip
        settings = {"port": str(self.port), "listen_addresses": "127.0.0.1",
                    "unix_socket_directories": ""} | self.options  # fmt: skip
        flags = [part for item in settings.items() for part in ("-c", "=".join(item))]
        return [find_program("postgres") or "", "-D", str(data), *flags]

    def is_ready(self) -> bool:
        """Return whether it takes connections; makes the database if it is missing."""
        arguments = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "chatbot")
        try:
            self._run("psql", *arguments, "-d", "postgres", "-c", "SELECT 1")
        except ServiceFailed:
            return False
        if not (self.folder / "created").exists():
            self._run("createdb", *arguments, "chatbot")
            write_private(self.folder / "created", "", self._user)
        return True

    def _password_file(self) -> Path:
        assert self.password
        return self.folder / "password"

    def _run(self, name: str, *arguments: str) -> None:
        result = subprocess.run(  # noqa: S603 - our own command
            [find_program(name) or "", *arguments], user=self._user, check=False,
            env=os.environ | {"PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "2"},
            capture_output=True, text=True, cwd=self.folder,
        )  # fmt: skip
        if result.returncode:
            raise ServiceFailed(f"{name}: {result.stderr}")


def choose_user() -> str | None:
    """Return who the servers run as, None for whoever runs this."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _UNPRIVILEGED if name in known), None)


def write_private(path: Path, text: str, user: str | None) -> None:
    """Write a file that only the servers' user may read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
    if user is not None:
        shutil.chown(path, user)


def read_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    parser.add_argument("--redis-port", type=int, default=REDIS_PORT)
    parser.add_argument("--postgres-port", type=int, default=POSTGRES_PORT)
    return parser.parse_args()


def main() -> int:
    """Start both; run the command, or wait for Ctrl-C; stop both."""
    missing = find_missing()
    if missing:
        raise SystemExit(
            f"Install first: {' '.join(missing)} (Debian, Ubuntu: apt-get install; "
            "their system services are not needed and may be disabled)."
        )
    arguments = read_arguments()
    folder = arguments.folder.resolve()
    # Else the two outlive this process: it may have been started with Ctrl-C ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(folder / "redis", arguments.redis_port))
        postgres = stack.enter_context(
            Postgres(folder / "postgres", arguments.postgres_port)
        )
        urls = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
        if arguments.command:
            return run_command(arguments.command, os.environ | urls)
        sys.stdout.write("Ctrl-C stops both. In the environment or .env:\n\n")
        sys.stdout.writelines(f"{name}={url}\n" for name, url in urls.items())
        sys.stdout.flush()
        signal.pause()
    return 0


def run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return a command's exit status; a name that is none is said without a trace."""
    try:
        return subprocess.call(command, env=environment)  # noqa: S603 - the developer's own command
    except OSError as error:
        raise ServiceFailed(f"{command[0]}: {error.strerror}") from error


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServiceFailed as failed:
        sys.exit(str(failed))
    except KeyboardInterrupt:
        sys.exit(130)
