"""The channel layer of one process, for many sockets at once."""

from time import monotonic

from channels.layers import InMemoryChannelLayer

_CLEAN_INTERVAL_S = 5.0


class MemoryChannelLayer(InMemoryChannelLayer):  # type: ignore[misc]  # channels has no types
    """Looks for what has expired every few seconds, not with each message.

    The base class goes through all channels and groups whenever anything is sent or
    waited for: with 50 replies streaming that was 41 % of the event loop's time, and
    it grows with the square of the sockets. Messages expire after 60 s and
    memberships after a day, so that some seconds more change nothing.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self._cleaned_s = monotonic()

    def _clean_expired(self) -> None:
        if monotonic() - self._cleaned_s >= _CLEAN_INTERVAL_S:
            self._cleaned_s = monotonic()
            super()._clean_expired()
