"""`make conformance`: the Autobahn test suite against the web process's server options.

The suite is Python 2 code. Its interpreter comes from Debian 11 and is unpacked, not
installed, into var/autobahn, as are its packages; the Docker image
crossbario/autobahn-testsuite holds the same for other systems. The echo behind the
server (echo.py) exists for tests only. Left out are messages larger than the server
takes (9.*) and compression, which it does not offer (12.*, 13.*).
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

from tests.ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHIVES = ("http://deb.debian.org/debian", "http://archive.debian.org/debian")
DEBS = (
    "python2.7-minimal", "libpython2.7-minimal", "libpython2.7-stdlib", "libssl1.1",
    "libffi7",
)  # fmt: skip
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.2.1", "9.7.*"]
CASES += ["9.8.*", "10.*"]
# NON-STRICT: right by the standard, and stricter is possible
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
PIP = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes")
PYTHON_2: tuple[str, ...] = (
    "--python-version",
    "27",
    "--implementation",
    "cp",
    "--abi",
    "cp27mu",
)
PYTHON_2 += ("--platform", "manylinux1_x86_64", "--platform", "manylinux2010_x86_64")


def main() -> None:
    """Fetch what is not there, run all cases; exit with 1 if one fails."""
    folder = ROOT / "var" / "autobahn"
    check_machine()
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fetch_interpreter(folder)
        fetch_packages(folder)
        (folder / "complete").touch()
    run_suite(folder)
    results = json.loads((folder / "reports" / "index.json").read_text())["web"]
    sys.exit(print_report(results))


def check_machine() -> None:
    """Exit where Debian's packages cannot be had."""
    is_fit = platform.machine() == "x86_64" and shutil.which("apt-get")
    if not is_fit or not KEYRING.exists():
        sys.exit(
            "make conformance needs Linux on x86_64 with apt-get and the package "
            "debian-archive-keyring. Elsewhere start the server by\n"
            "  python -m tests.system.conformance.echo 9001\n"
            "and run the Docker image crossbario/autobahn-testsuite against it."
        )


def fetch_interpreter(folder: Path) -> None:
    """Unpack Python 2.7 into the folder; exits if no archive has it."""
    apt = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial", "etc/preferences.d"):
        (apt / name).mkdir(parents=True)
    options = [f"Dir::Etc={apt}/etc", f"Dir::State::lists={apt}/lists"]
    options += [f"Dir::Cache={apt}/cache", f"Dir::Etc::sourcelist={apt}/etc/list"]
    options += ["Dir::Etc::sourceparts=-", "Acquire::Check-Valid-Until=false"]
    options += ["APT::Sandbox::User=root"]
    command = ["apt-get", "-qq", *[f"-o{option}" for option in options]]
    for archive in ARCHIVES:
        source = f"deb [signed-by={KEYRING}] {archive} bullseye main\n"
        (apt / "etc/list").write_text(source)
        run(*command, "update", is_checked=False)
        if run(*command, "download", *DEBS, folder=apt, is_checked=False) == 0:
            break
    else:
        sys.exit("Debian 11 is in none of the archives any more.")
    for deb in apt.glob("*.deb"):
        run("dpkg-deb", "-x", str(deb), str(folder / "python"))


def fetch_packages(folder: Path) -> None:
    """Lay the suite's packages into one folder; none of them is built."""
    files, sources, site = folder / "files", folder / "sources", folder / "site"
    wheels_list, sources_list = (
        str(HERE / f"autobahn-{kind}.txt") for kind in ("wheels", "sources")
    )
    run(*PIP, "-d", str(files), *PYTHON_2, "--only-binary=:all:", "-r", wheels_list)
    run(*PIP, "-d", str(files), "--no-binary=:all:", "-r", sources_list)
    for wheel in files.glob("*.whl"):
        shutil.unpack_archive(wheel, site, "zip")
    for archive in files.glob("*.tar.*"):
        shutil.unpack_archive(archive, sources, filter="data")
    for package in ("src/twisted", "src/hamcrest", "autobahn", "txaio"):
        [found] = sources.glob(f"*/{package}")
        shutil.copytree(found, site / found.name)
    [suite] = sources.glob("*/autobahntestsuite")
    shutil.copytree(suite, site / suite.name)
    (site / "zope" / "__init__.py").touch()


def run(*command: str, folder: Path = ROOT, is_checked: bool = True) -> int:
    """Run a program; exits if it fails, or else returns its status."""
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status and is_checked:
        sys.exit(f"{command[0]} failed: {status}")
    return status


def run_suite(folder: Path) -> None:
    """Serve the echo and let the suite at it."""
    port = free_port()
    server = {"agent": "web", "url": f"ws://127.0.0.1:{port}"}
    specification = {
        "outdir": "./reports", "servers": [server], "cases": CASES,
        "exclude-cases": [], "exclude-agent-cases": {},
    }  # fmt: skip
    (folder / "cases.json").write_text(json.dumps(specification))
    echo = subprocess.Popen(
        [sys.executable, "-m", "tests.system.conformance.echo", str(port)], cwd=ROOT
    )
    try:
        wait_until_up(port)
        with open(folder / "suite.log", "wb") as log:
            subprocess.run(
                [
                    str(folder / "python/usr/bin/python2.7"), "-c",
                    "from autobahntestsuite.wstest import run; run()",
                    "-m", "fuzzingclient", "-s", "cases.json",
                ],
                cwd=folder, env=build_environment(folder), stdout=log, stderr=log,
                timeout=600, check=True,
            )  # fmt: skip
    finally:
        echo.terminate()
        echo.wait()


def build_environment(folder: Path) -> dict[str, str]:
    """Return the environment in which Python 2 finds its libraries and packages."""
    libraries = folder / "python/usr/lib/x86_64-linux-gnu"
    paths = {"LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(folder / "site")}
    return os.environ | paths


def wait_until_up(port: int) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the echo does not answer")


def print_report(results: dict[str, dict[str, object]]) -> int:
    """Print how many cases had which result, and what failed; return 1 if one did."""
    counts = Counter(str(result["behavior"]) for result in results.values())
    failed = {
        case: result
        for case, result in results.items()
        if not {result["behavior"], result["behaviorClose"]} <= PASSED
    }
    for behavior, count in counts.most_common():
        sys.stdout.write(f"{count:5}  {behavior}\n")
    for case, result in failed.items():
        sys.stdout.write(
            f"{case}: {result['behavior']}, close {result['behaviorClose']},"
            f" code {result['remoteCloseCode']} (var/autobahn/reports)\n"
        )
    sys.stdout.write(f"{len(results)} cases, {len(failed)} failed\n")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    main()
