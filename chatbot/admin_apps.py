"""Makes our own admin site the default one."""

from django.contrib.admin.apps import AdminConfig


class ChatbotAdminConfig(AdminConfig):
    """Django's admin with `ChatbotAdminSite` in place of the stock site."""

    default_site = "chatbot.admin_site.ChatbotAdminSite"
