"""The web process and the worker that are measured, as docs/operations.md has them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings

_START_S = 60.0
_STOP_S = 20.0
_WORKER = ("celery", "-A", "chatbot", "worker", "-Q", "local,cloud",
           "--without-gossip", "--without-mingle", "--without-heartbeat")  # fmt: skip

# All visitors come from one address, and without pauses.
_LIMITS = {
    "SESSIONS_PER_HOUR": "100000",
    "SOCKETS_PER_ADDRESS": "1000",
    "MESSAGES_PER_MINUTE": "100000",
    "FRAMES_PER_MINUTE": "100000",
}


class NotServed(Exception):  # noqa: N818 - says what happened
    """A process of the stack did not come up; the message has the end of its log."""


@contextmanager
def serving(folder: Path, options: Mapping[str, str]) -> Iterator[str]:
    """Run one web process and one worker, which log to `folder`; yield their address.

    They are asked for by `/readyz`, so that the worker takes jobs. Raises NotServed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = _find_port()
    # the settings of this process, so that all three have the same
    shared = {"EMBEDDED_WORKER": "false", "HOST": "127.0.0.1", "PORT": str(port)}
    environment = {**os.environ, **_LIMITS, **shared, **options}
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(_running(command, environment, folder / name))
            for name, command in (("web", ("chatbot",)), ("worker", _WORKER))
        }
        until_s = time.monotonic() + _START_S
        while not _is_ready(url):
            ended = [name for name in processes if processes[name].poll() is not None]
            if ended or time.monotonic() > until_s:
                name = ended[0] if ended else "worker"
                raise NotServed(f"{name}: {(folder / name).read_text()[-2000:]}")
            time.sleep(0.1)
        yield url


@contextmanager
def _running(
    module: tuple[str, ...], environment: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with open(log, "wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", *module],
            cwd=settings.BASE_DIR, env=environment, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
