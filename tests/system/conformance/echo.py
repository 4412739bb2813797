"""An echo on the web process's own server options, for websocket test suites.

In a thread (`EchoServer`), or as a process: `python -m` and this module, then the port.
"""

import asyncio
import os
import sys
import threading
import time
from typing import Any, Self

import django
import uvicorn

from chatbot.serving import build_options
from tests.ports import free_port


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Send each message back; HTTP is answered by nothing at all."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


class EchoServer:
    """The echo in a thread; `hold` makes it stop listening until `let_go`."""

    def __init__(self) -> None:
        self.port = free_port()
        self._gate = threading.Event()
        self._gate.set()
        options = build_options("127.0.0.1", self.port)
        config = uvicorn.Config(self._serve, interface="asgi3", **options)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        async def receive_when_let() -> Any:
            while not self._gate.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.01)
            return await receive()

        await application(scope, receive_when_let, send)

    def hold(self) -> None:
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    @property
    def connections(self) -> list[Any]:
        """The server's ends of the open connections."""
        return list(self.server.server_state.connections)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self.server.should_exit = True
        self._thread.join()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
    django.setup()
    uvicorn.run(application, **build_options("127.0.0.1", int(sys.argv[1])))


if __name__ == "__main__":
    main()
