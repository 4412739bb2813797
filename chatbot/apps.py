"""The project's Django apps: the admin with our own site, and the system checks."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.module_loading import autodiscover_modules


class ChatbotAdminConfig(AdminConfig):
    """Django's admin with `ChatbotAdminSite` in place of the stock site."""

    default_site = "chatbot.admin_site.ChatbotAdminSite"


class ChatbotConfig(AppConfig):
    """The project itself, for its system checks."""

    name = "chatbot"

    def ready(self) -> None:
        """Register the checks; they read models, so not before now."""
        autodiscover_modules("checks")
