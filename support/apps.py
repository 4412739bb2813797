"""The Django app of the domain."""

from django.apps import AppConfig


class SupportConfig(AppConfig):
    """Conversations, chat, knowledge, staff and monitoring."""

    name = "support"
    verbose_name = "Support"
