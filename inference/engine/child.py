"""The engine's own process: orders in, events out, until the host hangs up.

Started by `host.py` as `python -m inference.engine.child FD FD`, with one end of a
socket pair and a page of shared memory (black_box.py). A process of its own, because a
failed assertion in llama.cpp aborts the process it is in, and because decoding should
not compete with an event loop for the interpreter lock. Nothing of Django is imported
here.
"""

import logging
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from inference.engine.binding import LlamaRunner
from inference.engine.black_box import BlackBox
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.memory import limit_own_bytes, read_own_bytes
from inference.engine.wire import (
    Cancel,
    Event,
    Finished,
    Load,
    Loaded,
    LoadFailed,
    Order,
    Refused,
    Submit,
    Text,
    decode_order,
    encode,
)
from inference.engine_stats import EngineStats
from inference.errors import ModelError

logger = logging.getLogger(__name__)

HEARTBEAT_S = 1.0

# Text is gathered this long before it crosses to the host: a small model writes a
# thousand tokens a second, and each crossing costs the host some 50 microseconds.
GATHER_S = 0.01

# Processor time of a loading process that is more than its sign of life itself takes.
_MOVED_S = 0.01


class Outbox:
    """Sends events to the host, from any thread, gathering text a little."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._seen: set[str] = set()
        self._flushed_s = 0.0

    def send(self, event: Event) -> None:
        """Send one event now."""
        with self._lock:
            self._connection.sendall(encode(event))

    def gather(self, events: Iterable[Event]) -> None:
        """Send what cannot wait, and all text before it; keep other text a moment.

        The first text of a reply and the end of one do not wait. Called by the
        engine's thread only.
        """
        others: list[Event] = []
        is_urgent = time.monotonic() - self._flushed_s >= GATHER_S
        for event in events:
            if isinstance(event, Text):
                self._texts[event.key] = self._texts.get(event.key, "") + event.text
                is_urgent = is_urgent or event.key not in self._seen
                self._seen.add(event.key)
            else:
                others.append(event)
            if isinstance(event, Finished | Refused):
                self._seen.discard(event.key)
        if others or (is_urgent and self._texts):
            self._flush(others)

    def _flush(self, others: Iterable[Event]) -> None:
        texts = [Text(key, text) for key, text in self._texts.items()]
        self._texts = {}
        self._flushed_s = time.monotonic()
        with self._lock:
            self._connection.sendall(b"".join(map(encode, [*texts, *others])))


class Child:
    """The loop around an engine, and the two threads that serve it."""

    def __init__(self, connection: socket.socket, black_box: BlackBox) -> None:
        self._black_box = black_box
        self._orders = connection.makefile("rb")
        self._outbox = Outbox(connection)
        self._inbox: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._engine: Engine | None = None
        self._host_pid = os.getppid()

    def run(self) -> int:
        """Serve until the host hangs up; return 1 if the model cannot be used."""
        order = decode_order(self._orders.readline())
        if not isinstance(order, Load):
            raise TypeError(f"the first order must be Load, not {order!r}")
        self._start_thread(self._beat)
        self._start_thread(self._read_orders)
        try:
            self._engine = engine = self._load(order.config)
        except ModelError as error:
            self._outbox.send(LoadFailed(str(error)))
            return 1
        while True:
            self._outbox.gather(self._obey(engine))
            if engine.has_work:
                self._outbox.gather(engine.step())

    def _load(self, config: EngineConfig) -> Engine:
        if config.memory_limit_bytes is not None:
            limit_own_bytes(config.memory_limit_bytes)
        runner = LlamaRunner(config)
        engine = Engine(runner, config, black_box=self._black_box)
        self._outbox.send(
            Loaded(
                runner.model,
                runner.template.name,
                runner.limit_tokens,
                runner.num_cells,
            )
        )
        return engine

    def _obey(self, engine: Engine) -> list[Event]:
        """Carry out what was ordered; wait for an order when there is nothing to do."""
        events: list[Event] = []
        while True:
            try:
                order = self._inbox.get(block=not engine.has_work and not events)
            except queue.Empty:
                return events
            if isinstance(order, Submit):
                events += engine.submit(order.key, order.request)
            elif isinstance(order, Cancel):
                # Again, in order: the other thread's word may have come too early.
                engine.cancel_soon(order.key)

    def _read_orders(self) -> None:
        """Pass orders on; leave at once when the host hangs up or is gone."""
        for line in self._orders:
            order = decode_order(line)
            if isinstance(order, Cancel) and self._engine is not None:
                self._engine.cancel_soon(order.key)
            self._inbox.put(order)

    def _beat(self) -> None:
        """Send a sign of life every second, with the speed of the second before.

        While the model loads only if it got on: a disk that is gone is no life.
        """
        num_before, beat_s, moved = 0, time.monotonic(), 0.0
        while os.getppid() == self._host_pid:
            stats = self._engine.read_stats() if self._engine else EngineStats()
            now_s = time.monotonic()
            num_new = stats.num_written_tokens - num_before
            speed = num_new / max(now_s - beat_s, 1e-3)
            num_before, beat_s = stats.num_written_tokens, now_s
            stats = replace(
                stats,
                tokens_per_s=round(speed, 1),
                own_bytes=read_own_bytes() or 0,
            )
            if self._engine or _measure_moves() - moved >= _MOVED_S:
                moved = _measure_moves()
                self._outbox.send(stats)
            time.sleep(HEARTBEAT_S)

    def _start_thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=_work_to_the_end, args=[work], daemon=True).start()


def _measure_moves() -> float:
    """Return what grows while this process computes (s) or reads from a disk."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime + usage.ru_majflt + usage.ru_inblock


def _work_to_the_end(work: Callable[[], None]) -> None:
    """Do a thread's work; the process has no reason to live on without it."""
    try:
        work()
    except OSError:
        logger.info("the host is gone")
    except Exception:
        logger.exception("a thread of the engine failed")
    finally:
        os._exit(1)


def main() -> int:
    """Run the child on two file descriptors: a socket, and memory for a black box."""
    # Ctrl-C goes to the whole terminal, and who stops a service may signal all of its
    # processes; the host decides when we leave: it hangs up, as its death does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # A crash must be quick: by default ggml attaches a debugger for a backtrace.
    os.environ["GGML_NO_BACKTRACE"] = "1"
    line, box = map(int, sys.argv[1:])
    return Child(socket.socket(fileno=line), BlackBox(box)).run()


if __name__ == "__main__":
    sys.exit(main())
