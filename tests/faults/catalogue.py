"""All faults: importing a module registers what is in it."""

from tests.faults import process_faults, redis_faults
from tests.faults.registry import FAULTS

__all__ = ["FAULTS", "process_faults", "redis_faults"]
