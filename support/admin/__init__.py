"""The admin of the domain: one module for each group of models."""

from support.admin import articles, conversations, sites, turns

__all__ = ["articles", "conversations", "sites", "turns"]
