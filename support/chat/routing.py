"""The chat's websocket addresses."""

from typing import Any, cast

from django.urls import path, re_path

from support.chat.consumers import WidgetConsumer


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer a websocket at an address where there is none: HTTP 404.

    A server that cannot say so, such as daphne, says 403.
    """
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"Not found.\n"})


websocket_urlpatterns = [
    path("ws/chat/", WidgetConsumer.as_asgi()),
    re_path("", cast("Any", refuse)),  # Django's types know views only
]
