"""The chat's websocket addresses."""

from django.urls import path

from support.chat.consumers import WidgetConsumer

websocket_urlpatterns = [path("ws/chat/", WidgetConsumer.as_asgi())]
