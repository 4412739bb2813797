"""Where websockets are taken."""

from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from support.chat.routing import websocket_urlpatterns


async def test_a_socket_at_no_address_is_refused():
    router = URLRouter(websocket_urlpatterns)
    communicator = WebsocketCommunicator(router, "/ws/elsewhere/")
    connected, _ = await communicator.connect()
    assert not connected
