"""The host's end of a child process: start it, talk to it, end it."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.wire import Event, Load, Order, decode_event, encode

_PROJECT_ROOT = Path(__file__).resolve().parents[2]


class ChildProcess:
    """A running child and our end of the socket pair between us."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        connection: socket.socket,
        policy: HostPolicy,
    ) -> None:
        self._process = process
        self._connection = connection
        self._connection.settimeout(policy.silence_s)
        self._close_s = policy.close_s
        self._send_lock = threading.Lock()

    @classmethod
    @contextmanager
    def started(
        cls, config: EngineConfig, policy: HostPolicy
    ) -> Iterator["ChildProcess"]:
        """Start a child that loads `config`; end it on leaving.

        A fresh interpreter and not a fork or `multiprocessing`: locks of other
        threads are not copied, and the main module of the host is not imported.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - our own module, no input
                    [
                        sys.executable,
                        "-m",
                        f"{__package__}.child",
                        str(theirs.fileno()),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    cwd=_PROJECT_ROOT,
                )
            child = cls(process, ours, policy)
            try:
                with suppress(OSError):
                    child.send(Load(config))
                yield child
            finally:
                child.end()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def send(self, order: Order) -> None:
        """Send an order, from any thread; raises OSError if the child is gone."""
        with self._send_lock:
            self._connection.sendall(encode(order))

    def events(self) -> Iterator[Event]:
        """Yield what the child says until it ends; raises TimeoutError on silence."""
        with self._connection.makefile("rb") as lines:
            for line in lines:
                yield decode_event(line)

    def hang_up(self) -> None:
        """Close the line, which the child takes as its cue to leave."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """Kill it; nothing happens if it has ended."""
        self._process.kill()

    def end(self) -> None:
        """Wait for its end, with force if it takes too long."""
        self.hang_up()
        try:
            self._process.wait(self._close_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def describe_end(self) -> str:
        """Return how it ended."""
        code = self._process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"
