"""The ASGI application: HTTP goes to Django, websockets to the chat's consumers."""

import os
import warnings

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
http_application = get_asgi_application()  # sets Django up; models come after it

from chatbot.embedded import start_worker  # noqa: E402  after Django's set-up
from support.chat.routing import websocket_urlpatterns  # noqa: E402  as above

# WhiteNoise reads its files synchronously; they are small, and Django reads them whole
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous")

application = ProtocolTypeRouter(
    {"http": http_application, "websocket": URLRouter(websocket_urlpatterns)}
)

if settings.EMBEDDED_WORKER:
    start_worker()
