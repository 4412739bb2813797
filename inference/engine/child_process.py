"""The host's end of a child process: start it, talk to it, end it."""

import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inference.engine.black_box import BlackBox, Moment
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.wire import Event, Load, Order, decode_event, encode

_PROJECT_ROOT = Path(__file__).resolve().parents[2]

# Silence is counted in so many parts, so that a pause of this process itself, or of the
# whole container, passes for one of them.
_NUM_PARTS = 4

_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ChildProcess:
    """A running child, our end of the socket pair between us, and its black box.

    `patience_s` is for how long it may be silent; at first that of one that starts.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        connection: socket.socket,
        black_box: BlackBox,
        policy: HostPolicy,
    ) -> None:
        self._process = process
        self._connection = connection
        self._connection.settimeout(policy.silence_s)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._black_box = black_box
        self._policy = policy
        self._send_lock = threading.Lock()
        self._is_ended_by_us = False
        self.patience_s = policy.start_s

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
        black_box = BlackBox.create()
        try:
            with ours:
                with theirs:
                    ends = (theirs.fileno(), black_box.descriptor)
                    process = _start(policy.module, *ends)
                child = cls(process, ours, black_box, policy)
                try:
                    with suppress(OSError):
                        child.send(Load(config))
                    yield child
                finally:
                    child.end()
        finally:
            black_box.close()

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
        rest = b""
        while received := self._receive():
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                yield decode_event(line)

    def _receive(self) -> bytes:
        """Return the next bytes, none at the end."""
        silent_s = 0.0
        while silent_s < self.patience_s:
            part_s = self.patience_s / _NUM_PARTS
            if self._poll.poll(part_s * 1000):
                return self._connection.recv(2**16)
            silent_s += part_s
        raise TimeoutError(f"silent for {silent_s:.0f} s")

    def read_black_box(self) -> Moment:
        """Return what the child was working on when it wrote that last."""
        return self._black_box.read()

    def hang_up(self) -> None:
        """Close the line, which the child takes as its cue to leave."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """Kill it; nothing happens if it has ended."""
        self._is_ended_by_us = True
        self._process.kill()

    def end(self) -> None:
        """Wait for its end, with force if it takes too long."""
        self.hang_up()
        try:
            self._process.wait(self._policy.close_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    @property
    def is_killed_from_outside(self) -> bool:
        """Return whether somebody else ended it, and not a fault of its own."""
        return not self._is_ended_by_us and -self._process.returncode in _FROM_OUTSIDE

    def describe_end(self) -> str:
        """Return how it ended."""
        code = self._process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _start(module: str, line: int, box: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module, no input
        [sys.executable, "-m", module, str(line), str(box)],
        pass_fds=[line, box],
        stdin=subprocess.DEVNULL,
        cwd=_PROJECT_ROOT,
    )
