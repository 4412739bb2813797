"""Servers: one for each test, or one for all tests of a file."""

import pytest

from tests.system.server import Server, Visitor


@pytest.fixture(scope="session")
def set_up_server(tmp_path_factory):
    """A server that is set up, without articles, and never started."""
    server = Server(tmp_path_factory.mktemp("set-up"))
    server.set_up()
    return server


@pytest.fixture
def server(tmp_path, set_up_server):
    """A server that is set up, without articles, and not started yet."""
    server = Server(tmp_path)
    server.set_up_like(set_up_server)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def scripted_server(tmp_path_factory, set_up_server):
    """A running server for all tests of a file: starting takes seconds."""
    settings = {"WORKER_THREADS": "32"}  # that nobody waits for a free one
    server = Server(tmp_path_factory.mktemp("scripted"), settings)
    server.set_up_like(set_up_server)
    server.use_scripts("say fine")
    server.start()
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
