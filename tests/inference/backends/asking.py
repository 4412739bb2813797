"""One call to a stand-in, through a backend of the dialect that is tested."""

import pytest

from inference.errors import BackendError
from inference.types import CancelToken, ChatMessage, CompletionRequest, Delta
from tests.inference.backends.openai_stand_in import DEADLINES, REQUEST, connected


def read(build, provider, request=REQUEST, *, path="", **options):
    """Return what a call yields."""
    with connected(provider.origin + path, build=build, **options) as backend:
        return list(backend.stream(request, DEADLINES, CancelToken()))


def send(build, provider, *messages, options=None, **values):
    """Ask, and return the body that arrived."""
    said = tuple(ChatMessage(role, text) for role, text in messages)
    request = CompletionRequest(said or REQUEST.messages, 7, **values)
    read(build, provider, request, **(options or {}))
    return provider.asked[-1].body


def fail(build, provider, deadlines=DEADLINES):
    """Return the error of a call and the texts that came before it."""
    items = []
    with (
        connected(provider.origin, build=build) as backend,
        pytest.raises(BackendError) as caught,
    ):
        items.extend(backend.stream(REQUEST, deadlines, CancelToken()))
    return caught.value, [item.text for item in items if isinstance(item, Delta)]
