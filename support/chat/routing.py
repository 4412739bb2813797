"""The chat's websocket addresses."""

from typing import Any, cast

from django.urls import path, re_path

from support.chat.consumers import WidgetConsumer


async def refuse(_scope: Any, receive: Any, send: Any) -> None:
    """Refuse a websocket at an address where there is none (HTTP 403, no traceback)."""
    await receive()
    await send({"type": "websocket.close"})


websocket_urlpatterns = [
    path("ws/chat/", WidgetConsumer.as_asgi()),
    re_path("", cast("Any", refuse)),  # Django's types know views only
]
