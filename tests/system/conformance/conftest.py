"""One real server for all of these tests: each must leave it as good as new."""

import pytest

from tests.system.conformance.echo import EchoServer
from tests.system.conformance.raw_socket import TEXT, build_frame, open_socket
from tests.system.server import Server

PING_FRAME = build_frame(TEXT, b'{"type":"ping"}')
PONG_TEXT = b'{"type":"pong"}'


@pytest.fixture(scope="package")
def running_server(tmp_path_factory, set_up_server):
    server = Server(tmp_path_factory.mktemp("conformance"))
    server.set_up_like(set_up_server)
    server.use_scripts("say fine")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(running_server):
    """The server; afterwards a fair client is served, and nothing broke in the log."""
    num_read = len(running_server.read_log())
    yield running_server
    with open_socket(running_server.port) as raw:
        raw.send(PING_FRAME)
        assert raw.read_frame().payload == PONG_TEXT
    log = running_server.read_log()[num_read:]
    assert "Traceback" not in log
    assert "ERROR" not in log


@pytest.fixture
def port(server):
    return server.port


@pytest.fixture
def raw(server):
    """A websocket that has not said hello."""
    with open_socket(server.port) as raw:
        yield raw


@pytest.fixture
def echo():
    """An echo on the product's server options, in a thread of this process."""
    with EchoServer() as server:
        yield server
