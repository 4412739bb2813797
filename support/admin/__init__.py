"""The admin of the domain: one module for each group of models."""

from support.admin import articles, conversations, sites

__all__ = ["articles", "conversations", "sites"]
