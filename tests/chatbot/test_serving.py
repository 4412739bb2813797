"""The options that the web process gives uvicorn."""

import pytest
from django.conf import settings as defaults
from uvicorn.importer import import_from_string

from chatbot.http_reading import BoundedHttpProtocol
from chatbot.serving import build_options
from chatbot.websocket_reading import BoundedWebSocketProtocol


@pytest.fixture
def options():
    return build_options("127.0.0.1", 8000)


def test_what_is_read_of_a_client_is_bounded(options):
    http, websocket = map(import_from_string, (options["http"], options["ws"]))
    assert issubclass(http, BoundedHttpProtocol)
    assert issubclass(websocket, BoundedWebSocketProtocol)


def test_a_frame_that_is_too_big_is_heard_up_to_the_transports_limit(options):
    """Four times: the error says what was wrong, a closed socket does not."""
    assert options["ws_max_size"] == 4 * defaults.FRAME_BYTES


def test_nothing_is_compressed(options):
    assert options["ws_per_message_deflate"] is False


def test_a_socket_is_pinged_every_twenty_seconds(options):
    assert options["ws_ping_interval"] == options["ws_ping_timeout"] == 20


def test_the_interval_is_a_setting(settings):
    settings.WS_PING_S = 5.0
    options = build_options("127.0.0.1", 8000)
    assert options["ws_ping_interval"] == options["ws_ping_timeout"] == 5
