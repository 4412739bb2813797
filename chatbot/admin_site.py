"""Our admin site."""

from django.contrib import admin


class ChatbotAdminSite(admin.AdminSite):
    """Django's admin under the project's name."""

    site_header = "Support desk"
    site_title = "Support desk"
    index_title = "What would you like to look after?"
    site_url = "/"
