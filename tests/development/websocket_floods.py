"""What a client costs that says too much: `python -m` and this module, PORT PID.

Floods the running server whose process is PID, one kind at a time, for 10 s or until
it hangs up, and prints what it took and how much larger the process was meanwhile.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.system.conformance.raw_socket import RawSocket, open_socket
from tests.system.conformance.test_floods import FEW_BYTES, FLOODS

FLOOD_S = 10.0
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "


def main() -> None:
    port, pid = map(int, sys.argv[1:])
    sys.stdout.write("| flood | taken MB | hung up after s | process larger by MB |\n")
    for name, (first, data) in FLOODS.items():
        with open_socket(port, FEW_BYTES) as raw:
            raw.send(first)
            report(name, *flood(raw, data, pid))
    raw = RawSocket.connect(port)
    with raw.connection:
        raw.send(HEAD)
        report("one endless header", *flood(raw, b"x" * 65536, pid))


def flood(raw: RawSocket, data: bytes, pid: int) -> tuple[float, float | None, float]:
    """Return the megabytes taken, the seconds to the end if it came, the growth."""
    before_mb = peak_mb = resident_mb(pid)
    num_bytes, began_s, ended_s = 0, time.monotonic(), None
    raw.connection.settimeout(0.2)
    while ended_s is None and time.monotonic() < began_s + FLOOD_S:
        try:
            with suppress(TimeoutError):
                num_bytes += raw.connection.send(data)
        except OSError:
            ended_s = time.monotonic() - began_s
        peak_mb = max(peak_mb, resident_mb(pid))
    return num_bytes / 1e6, ended_s, peak_mb - before_mb


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def report(name: str, taken_mb: float, ended_s: float | None, growth_mb: float) -> None:
    ended = "no" if ended_s is None else f"{ended_s:.1f}"
    sys.stdout.write(f"| {name} | {taken_mb:.1f} | {ended} | {growth_mb:.1f} |\n")
    sys.stdout.flush()
    time.sleep(1)


if __name__ == "__main__":
    main()
