"""Where websockets are taken."""

import pytest

from support.chat.routing import refuse, websocket_urlpatterns


def find(address):
    found = (pattern.resolve(address) for pattern in websocket_urlpatterns)
    return next(match.func for match in found if match)


def test_only_the_chats_address_takes_sockets():
    assert find("ws/chat/") is not refuse
    assert find("ws/elsewhere/") is refuse


def test_a_socket_is_refused_before_it_is_accepted():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    with pytest.raises(StopIteration):  # it never waits
        refuse({}, receive, send).send(None)
    assert sent == [{"type": "websocket.close"}]
