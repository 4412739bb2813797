"""Clients that say too much, and read nothing: they cost little, and are let go."""

import contextlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.conformance.conftest import PING_FRAME
from tests.system.conformance.raw_socket import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawSocket,
    build_frame,
    open_socket,
)

FEW_BYTES = 4096  # the client's receive buffer: it takes next to nothing
MAX_TAKEN_BYTES = 60_000_000
BEGIN = build_frame(TEXT, is_final=False)

# what is said once, and what is said again and again
FLOODS = {
    "pings": (b"", build_frame(PING, b"x" * 125) * 500),
    "empty pings": (b"", build_frame(PING) * 10_000),
    "pongs": (b"", build_frame(PONG, b"x" * 125) * 500),
    "messages": (b"", PING_FRAME * 3000),
    "empty messages": (b"", build_frame(TEXT) * 10_000),
    "vast messages": (b"", build_frame(TEXT, b"x" * 131072)),
    "empty parts": (BEGIN, build_frame(CONTINUATION, is_final=False) * 9000),
    "small parts": (BEGIN, build_frame(CONTINUATION, b"x", is_final=False) * 9000),
}
COSTLY = ("pings", "empty messages", "empty parts")


def flood(raw: RawSocket, data: bytes) -> None:
    """Send without an end, read nothing; raises OSError where the server hangs up."""
    num_bytes, until_s = 0, time.monotonic() + 20
    while num_bytes < MAX_TAKEN_BYTES and time.monotonic() < until_s:
        num_bytes += raw.connection.send(data)


@pytest.mark.parametrize(("first", "data"), FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_cut_off(port, first, data):
    with open_socket(port, FEW_BYTES) as raw:
        raw.send(first)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            flood(raw, data)


def cut_off(port: int, first: bytes, data: bytes) -> None:
    with open_socket(port, FEW_BYTES) as raw, contextlib.suppress(OSError):
        raw.send(first)
        flood(raw, data)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_floods_cost_little_memory(server):
    """The worst at once, two of each; of uvicorn alone, one's pings took 180 MB."""

    def resident_kb() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    before_kb = peak_kb = resident_kb()
    with ThreadPoolExecutor(6) as pool:
        cuts = [pool.submit(cut_off, server.port, *FLOODS[name]) for name in COSTLY * 2]
        while not all(cut.done() for cut in cuts):
            peak_kb = max(peak_kb, resident_kb())
            time.sleep(0.01)
    assert [cut.exception() for cut in cuts] == [None] * 6
    assert peak_kb - before_kb < 30_000
