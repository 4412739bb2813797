"""What the workers know together of backends: breakers, and which of them spill.

In the Redis of ROUTING_STATE_URL; in the memory of the process where there is none.
"""

from django.conf import settings

from inference.history import store_change, store_spill
from inference.redis_link import link_to
from inference.routing.breakers import Breakers, ProcessBreakers
from inference.routing.spill import SpillBoard, Spills
from inference.shared_breakers import SharedBreakers
from inference.shared_spills import ProcessSpillBoard, SharedSpillBoard


def _is_shared() -> bool:
    return not settings.ROUTING_STATE_URL.startswith("memory:")


def open_breakers() -> Breakers:
    """Return the breakers; what changes is written down."""
    if _is_shared():
        return SharedBreakers(link_to(settings.ROUTING_STATE_URL), store_change)
    return ProcessBreakers(on_change=store_change)


def open_spills() -> Spills:
    """Return the spills of this process; what changes is written down."""
    return Spills(on_spill=store_spill)


def open_spill_board() -> SpillBoard:
    """Return where workers say what spills."""
    if _is_shared():
        return SharedSpillBoard(link_to(settings.ROUTING_STATE_URL))
    return ProcessSpillBoard()
