"""The operator's rows: backends, prices, budgets, switches, and what happened."""

from inference.models.backend import Backend, BackendKind, Queue, build_deadlines
from inference.models.budget import Budget, BudgetPeriod, Reservation, Spend
from inference.models.history import (
    BackendEvent,
    BackendTest,
    Drill,
    EventKind,
    writing_speed,
)
from inference.models.policy import Canary, CanaryState, RoutingPolicy, Rung
from inference.models.price import HourlyCost, Price

__all__ = [
    "Backend",
    "BackendEvent",
    "BackendKind",
    "BackendTest",
    "Budget",
    "BudgetPeriod",
    "Canary",
    "CanaryState",
    "Drill",
    "EventKind",
    "HourlyCost",
    "Price",
    "Queue",
    "Reservation",
    "RoutingPolicy",
    "Rung",
    "Spend",
    "build_deadlines",
    "writing_speed",
]
