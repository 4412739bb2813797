import socket

import pytest


@pytest.fixture
def silent():
    """Accepts connections and says nothing: a TLS handshake without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
