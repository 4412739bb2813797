"""Our admin site."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from auditlog.context import set_actor
from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path

from support.monitoring.views import monitoring


class ChatbotAdminSite(admin.AdminSite):
    """Django's admin under the project's name."""

    site_header = "Support desk"
    site_title = "Support desk"
    index_title = "What would you like to look after?"
    site_url = "/"

    def admin_view(
        self, view: Callable[..., HttpResponseBase], cacheable: bool = False
    ) -> Any:
        """Return the view for staff only; what it changes is written down as theirs."""

        def as_theirs(
            request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            with set_actor(request.user):
                return view(request, *args, **kwargs)

        guarded = super().admin_view(as_theirs, cacheable)
        return update_wrapper(guarded, view)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return the pages of the admin with those of our own."""
        page = path("monitoring/", self.admin_view(monitoring), name="monitoring")
        return [page, *super().get_urls()]
