"""A stand-in for providers: three dialects, real sockets, faults by script."""

from tests.inference.providers.faults import LINE_FAULTS, Fault, Order, parse_order
from tests.inference.providers.ledger import Call, Ledger
from tests.inference.providers.provider import DIALECTS, KEY, REPLY, Provider

__all__ = [
    "DIALECTS",
    "KEY",
    "LINE_FAULTS",
    "REPLY",
    "Call",
    "Fault",
    "Ledger",
    "Order",
    "Provider",
    "parse_order",
]
