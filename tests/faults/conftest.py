"""The servers of the system tests."""

from tests.system.conftest import server, set_up_server

__all__ = ["server", "set_up_server"]
