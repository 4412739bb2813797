"""The channel layer between processes: Redis pub/sub that may be away for a while."""

import asyncio
import logging
from uuid import uuid4

from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


class PatientLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # no types
    """Pub/sub groups whose members keep their sockets while Redis is gone.

    The layer it is made of subscribes to Redis before a socket is accepted, so that
    without Redis nobody could even send. Here a channel is a queue of this process,
    groups reach all processes, and a subscription that fails is left to the
    consumer, which subscribes again and again and reads what it missed.
    """

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return the name of a new queue of this process; asks nobody."""
        layer = self._get_layer()
        name = f"{layer.prefix}{prefix}{uuid4().hex}"
        layer.channels[name] = asyncio.Queue()
        return name

    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel of this process to a group, now or at the next call."""
        try:
            await self._get_layer().group_add(group, channel)
        except (RedisError, OSError) as error:
            logger.warning("not subscribed yet: %s", error)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take a channel of this process out of a group."""
        try:
            await self._get_layer().group_discard(group, channel)
        except (RedisError, OSError) as error:
            logger.warning("not unsubscribed: %s", error)
