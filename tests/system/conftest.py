"""A server for each test."""

import pytest

from tests.system.server import Server, Visitor


@pytest.fixture
def server(tmp_path):
    """A server that is set up, without articles, and not started yet."""
    server = Server(tmp_path)
    server.manage("setup", "--no-samples")
    yield server
    server.kill()


@pytest.fixture
def visitor(server):
    """Return a maker of visitors; their sockets are closed at the end."""
    visitors = []

    def make() -> Visitor:
        visitors.append(Visitor(server))
        visitors[-1].connect()
        return visitors[-1]

    yield make
    for one in visitors:
        one.disconnect()
