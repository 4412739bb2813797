"""All addresses of the project."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("support.chat.urls")),
    path("help/", include("support.knowledge.urls")),
    path("admin/", admin.site.urls),
]
