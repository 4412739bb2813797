"""The servers of the system tests, and the system that is hurt, with its report."""

import os
from pathlib import Path

import pytest

from tests.faults.play import Round
from tests.faults.report import format_rounds, write_report
from tests.faults.system import PRODUCTION, QUICK, System
from tests.services import skip_without_programs
from tests.system.conftest import server, set_up_server

__all__ = ["server", "set_up_server"]

_rounds: list[Round] = []
_measured: dict[str, dict[str, float]] = {}
REPORT = Path(os.environ.get("FAULTS_REPORT") or "var/faults.json")


@pytest.fixture
def rounds():
    """What came of the rounds of this run, for the report at its end."""
    return _rounds


@pytest.fixture
def measured(request):
    """What a test has measured, by name, for the report at the end of the run."""
    return _measured.setdefault(request.node.name, {})


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    """Two web processes and two workers with the settings of production."""
    skip_without_programs()
    folder = tmp_path_factory.mktemp("system")
    with System(folder, PRODUCTION, num_webs=2, num_workers=2) as system:
        yield system


@pytest.fixture(scope="session")
def quick_system(tmp_path_factory):
    """One web process and two workers with short leases."""
    skip_without_programs()
    with System(tmp_path_factory.mktemp("system"), QUICK) as system:
        yield system


def pytest_terminal_summary(terminalreporter):
    """Show the table of all rounds and keep it as JSON."""
    if _rounds:
        write_report(REPORT, _rounds)
        terminalreporter.section(f"faults ({REPORT})")
        terminalreporter.write(format_rounds(_rounds))
    if _measured:
        terminalreporter.section("measured")
    for name, values in _measured.items():
        written = " ".join(f"{key}={value:.1f}" for key, value in values.items())
        terminalreporter.write_line(f"{name}: {written}")
