"""Our admin site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from support.monitoring.views import monitoring


class ChatbotAdminSite(admin.AdminSite):
    """Django's admin under the project's name."""

    site_header = "Support desk"
    site_title = "Support desk"
    index_title = "What would you like to look after?"
    site_url = "/"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return the pages of the admin with those of our own."""
        page = path("monitoring/", self.admin_view(monitoring), name="monitoring")
        return [page, *super().get_urls()]
