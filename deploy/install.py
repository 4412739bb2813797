"""Installs a requirements file into the running Python's environment, with progress.

llama-cpp-python comes as source only and compiles for minutes without a word from
pip; this says so beforehand and shows that it is alive.
"""

import subprocess
import sys
import threading
from importlib import metadata
from time import monotonic

SLOW = "llama-cpp-python"
TICK_S = 15.0


def read_pin(path: str, name: str) -> str | None:
    """Return the version that a requirements file pins a package to."""
    with open(path) as lines:
        for line in lines:
            if line.startswith(f"{name}=="):
                return line.split("==")[1].split()[0].rstrip(";\\")
    return None


def is_installed(name: str, version: str) -> bool:
    """Return whether exactly that version of a package is there."""
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_with_progress(command: list[str], label: str) -> None:
    """Run a command quietly, saying every 15 s that it still runs; exit if it fails."""
    started_s = monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK_S):
            say(f"    ... {label}, {monotonic() - started_s:.0f} s")

    threading.Thread(target=tick, daemon=True).start()
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    done.set()
    if result.returncode:
        sys.stderr.write(result.stdout[-4000:] + result.stderr[-4000:])
        raise SystemExit(f"{label} failed; the output is above.")
    say(f"    {label}: done in {monotonic() - started_s:.0f} s")


def main() -> None:
    """Install the file named on the command line, the slow package on its own."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        version = ".".join(map(str, sys.version_info[:2]))
        raise SystemExit(f"Python 3.11, 3.12 or 3.13 is needed; this is {version}.")
    path = sys.argv[1]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    version = read_pin(path, SLOW)
    if version and not is_installed(SLOW, version):
        say(
            f"  Compiling the local engine ({SLOW} {version}). This takes about five\n"
            "  minutes on two cores, once; needs a C and C++ compiler."
        )
        run_with_progress([*pip, f"{SLOW}=={version}", "-c", path], "compiling")
    say(f"  Installing {path}")
    run_with_progress([*pip, "-r", path], "installing")


if __name__ == "__main__":
    main()
