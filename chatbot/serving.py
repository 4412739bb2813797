"""How the web process serves: uvicorn's options, whatever the application.

The conformance tests serve an echo with them, so that a changed option is tested.
"""

from typing import Any

from django.conf import settings

# Above FRAME_BYTES, which is answered by an error; what is larger still is not read.
WS_MAX_BYTES = 131072
WS_MAX_QUEUE = 8


def build_options(host: str, port: int) -> dict[str, Any]:
    """Return the options of `uvicorn.run`."""
    return {
        "host": host,
        "port": port,
        "workers": settings.WEB_PROCESSES,
        "forwarded_allow_ips": list(map(str, settings.FORWARDED_ALLOW_IPS)),
        "lifespan": "off",
        "http": "chatbot.http_reading:BoundedHttpProtocol",
        "ws": "chatbot.websocket:WebSocketProtocol",
        "ws_max_size": WS_MAX_BYTES,
        "ws_max_queue": WS_MAX_QUEUE,
        "ws_per_message_deflate": False,
        "ws_ping_interval": settings.WS_PING_S,
        "ws_ping_timeout": settings.WS_PING_S,
        "timeout_graceful_shutdown": 5,
        "server_header": False,
        "access_log": False,
        "log_level": "warning",
    }
