"""The project's Django apps: the admin with our own site, checks, the database."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.backends.signals import connection_created
from django.utils.module_loading import autodiscover_modules

from chatbot.prepared import watch_statements


class ChatbotAdminConfig(AdminConfig):
    """Django's admin with `ChatbotAdminSite` in place of the stock site."""

    default_site = "chatbot.admin_site.ChatbotAdminSite"


class ChatbotConfig(AppConfig):
    """The project itself: its system checks, and what watches over statements."""

    name = "chatbot"

    def ready(self) -> None:
        """Register the checks; they read models, so not before now."""
        autodiscover_modules("checks")
        connection_created.connect(watch_statements)
