"""The admin of the domain: one module for each group of models."""

from support.admin import (
    articles,
    backends,
    conversations,
    policies,
    sites,
    turns,
)

__all__ = ["articles", "backends", "conversations", "policies", "sites", "turns"]
