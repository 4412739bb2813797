"""A server for each test."""

import shutil

import pytest

from tests.system.server import Server, Visitor


@pytest.fixture(scope="session")
def set_up_database(tmp_path_factory):
    """The database that a set-up without articles leaves; it takes seconds."""
    server = Server(tmp_path_factory.mktemp("set-up"))
    server.manage("setup", "--no-samples")
    return server.database


@pytest.fixture
def server(tmp_path, set_up_database):
    """A server that is set up, without articles, and not started yet."""
    server = Server(tmp_path)
    shutil.copy(set_up_database, server.database)
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
