"""The stack that all these tests share: built, started from nothing, removed."""

import time
from collections.abc import Callable, Generator, Iterator
from uuid import uuid4

import pytest

from tests.compose.stack import ComposeStack, NoDocker, find_compose
from tests.system.server import Visitor

SERVICES = ("db", "redis", "web", "worker-local", "worker-cloud", "proxy")
_stacks: list[ComposeStack] = []


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The project, up and healthy. Without Docker all ends here, in the open."""
    try:
        compose = find_compose()
    except NoDocker as missing:
        pytest.exit(f"These tests need Docker and Compose: {missing}.", returncode=3)
    name = f"chatbottest{uuid4().hex[:6]}"
    stack = ComposeStack(tmp_path_factory.mktemp("project"), compose, name)
    _stacks.append(stack)
    stack.copy_project()
    started_s = time.monotonic()
    stack.run("build", timeout_s=3 * 3600)
    stack.measure("build", started_s)
    try:
        started_s = time.monotonic()
        stack.run("up", "-d")
        stack.measure("up -d, from nothing", started_s)
        stack.wait_until_healthy(*SERVICES)
        stack.measure("up -d, from nothing, until all are healthy", started_s)
        stack.keep_password()
        yield stack
    finally:
        stack.remove()


@pytest.fixture
def visitor(stack: ComposeStack) -> Iterator[Callable[[], Visitor]]:
    """Return a maker of visitors; their sockets are closed at the end."""
    visitors: list[Visitor] = []

    def make() -> Visitor:
        visitors.append(Visitor(stack))  # type: ignore[arg-type]  # has what it uses
        visitors[-1].connect()
        return visitors[-1]

    yield make
    for one in visitors:
        one.disconnect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the containers of a failed test wrote."""
    report = yield
    if report.failed and call.when == "call" and item.get_closest_marker("compose"):
        for stack in _stacks:
            report.sections.append(("containers", stack.logs()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    for stack in _stacks:
        terminalreporter.section("measured")
        for what, size in stack.sizes.items():
            terminalreporter.write_line(f"{what}: {size}")
        for what, time_s in stack.times_s.items():
            terminalreporter.write_line(f"{what}: {time_s:.1f} s")
