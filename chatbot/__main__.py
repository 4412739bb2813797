"""`python -m chatbot`: serves everything on one port, in one command.

The web process runs here; with EMBEDDED_WORKER the worker runs in a thread of it,
and the model in a child process of that.
"""

import os

import uvicorn

from chatbot.asgi import application
from chatbot.embedded import stop_worker

WS_MAX_BYTES = 65536


def main() -> None:
    """Serve until Ctrl-C or SIGTERM, then stop the worker and the engine."""
    port = int(os.environ.get("PORT", "8000"))
    host = os.environ.get("HOST", "127.0.0.1")
    try:
        uvicorn.run(
            application,
            host=host,
            port=port,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=WS_MAX_BYTES,
            ws_max_queue=8,
            ws_per_message_deflate=False,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            timeout_graceful_shutdown=5,
            server_header=False,
            access_log=False,
            log_level="warning",
        )
    finally:
        stop_worker()


if __name__ == "__main__":
    main()
