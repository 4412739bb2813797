"""All addresses of the project."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def livez(_: HttpRequest) -> HttpResponse:
    """Say that the process answers; touches nothing else."""
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("", include("support.chat.urls")),
    path("help/", include("support.knowledge.urls")),
    path("admin/", admin.site.urls),
    path("livez", livez, name="livez"),
]
