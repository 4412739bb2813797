"""Counts the open sockets of this process, to bound them."""

import threading
from collections import Counter


class SocketCount:
    """Open sockets by key, such as a conversation or an address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def take(self, key: str, limit: int) -> bool:
        """Count one more socket of `key`; return whether that was within `limit`."""
        with self._lock:
            if self._open[key] >= limit:
                return False
            self._open[key] += 1
            return True

    def give_back(self, key: str) -> None:
        """Count one socket of `key` less."""
        with self._lock:
            self._open[key] -= 1
            if self._open[key] <= 0:
                del self._open[key]

    def __len__(self) -> int:
        return len(self._open)


sockets = SocketCount()
