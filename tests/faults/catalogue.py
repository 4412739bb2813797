"""All faults: importing a module registers what is in it."""

from tests.faults import postgres_faults, process_faults, redis_faults, web_faults
from tests.faults.registry import FAULTS

__all__ = ["FAULTS", "postgres_faults", "process_faults", "redis_faults", "web_faults"]
