"""The stack that all these tests share: built, started from nothing, removed."""

import time
from collections.abc import Callable, Iterator
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    for stack in _stacks:
        terminalreporter.section("measured")
        for what, size in stack.sizes.items():
            terminalreporter.write_line(f"{what}: {size}")
        for what, time_s in stack.times_s.items():
            terminalreporter.write_line(f"{what}: {time_s:.1f} s")
